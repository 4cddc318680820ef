"""The adjoint of a phase is its transpose: entry by entry on exact fractions, and one by hand."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction

import pytest

from derive.backends._kernel import kernels
from derive.errors import InternalError
from derive.program.adjoint import Adjoint, adjoint
from derive.program.ir import Line
from tests.program.methods import TABLEAUS, program

TWO_M = (
    Line("m0", (("cx", "x"), ("cr", "raw"))),
    Line("x'", (("a", "x"), ("b0", "m0"), ("b1", "m[1]"))),
)


def computed(lines: Sequence[Line], values: Mapping[str, Fraction], row: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Every value after the lines, in order."""
    known = dict(values)
    for line in lines:
        known[line.out] = sum(((row[c] if c else Fraction(1)) * known[v] for c, v in line.terms), Fraction(0))
    return known


def units(names: Sequence[str]) -> list[dict[str, Fraction]]:
    return [{name: Fraction(name == one) for name in names} for one in names]


@pytest.mark.parametrize("converts", [True, False], ids=["converts", "integrand"])
@pytest.mark.parametrize("name", TABLEAUS)
def test_every_entry_of_the_transpose(name: str, converts: bool) -> None:
    draw = random.Random(name)
    made = program(name, converts)
    row = {column: Fraction(draw.randrange(1, 2**60), draw.randrange(1, 2**60)) for column in made.columns}
    for kernel in kernels(made):
        read, new = [value for value, _ in kernel.loads], [value for value, _ in kernel.stores]
        back = kernel.adjoint
        assert (len(back.given), len(back.wanted)) == (len(new), len(read))
        forward = [computed(kernel.lines, unit, row) for unit in units(read)]
        backward = [computed(back.lines, unit, row) for unit in units(back.given)]
        for i, gradient in enumerate(back.wanted):
            for k, value in enumerate(new):
                assert backward[k].get(gradient, 0) == forward[i].get(value, 0), (kernel.name, gradient, value)


def test_dpm_solver_pp_2m_by_hand() -> None:
    """m0 is passed on to the next step and read in this one, so its gradient has two parts."""
    assert adjoint(TWO_M, ("x'", "m0"), ("x", "raw", "m[1]")) == Adjoint(
        ("g_x'", "later_m0"),
        (
            Line("g_m0", ((None, "later_m0"), ("b0", "g_x'"))),
            Line("g_x", (("a", "g_x'"), ("cx", "g_m0"))),
            Line("g_raw", (("cr", "g_m0"),)),
            Line("g_m[1]", (("b1", "g_x'"),)),
        ),
        ("g_x", "g_raw", "g_m[1]"),
    )


def test_a_value_that_is_passed_on_gives_its_gradient_back() -> None:
    lines = (Line("x'", (("a", "x"), ("b0", "raw"))),)
    assert adjoint(lines, ("x'", "raw"), ("x", "raw")).lines[-1] == Line("g_raw", ((None, "later_raw"), ("b0", "g_x'")))
    only = adjoint((Line("x'", (("a", "x"),)),), ("x'", "raw"), ("x", "raw"))
    assert only == Adjoint(("g_x'", "g_raw"), (Line("g_x", (("a", "g_x'"),)),), ("g_x", "g_raw"))


def test_what_nothing_depends_on_is_refused() -> None:
    with pytest.raises(InternalError, match="nothing depends on m0"):
        adjoint((*TWO_M[:1], Line("x'", (("a", "x"),))), ("x'",), ("x", "raw"))
    with pytest.raises(InternalError, match="nothing depends on raw"):
        adjoint((Line("x'", (("a", "x"),)),), ("x'",), ("x", "raw"))
