"""What a proof says of the leading error: terms of a predictor, trees with their signs, weights at z = 0."""

from __future__ import annotations

import pytest
from sympy import QQ

from derive.analysis.proof import prove_scheme
from derive.families import tableaux
from derive.families.runge_kutta import build as runge_kutta
from derive.symbolic.forms import ONE, ZERO, constant
from derive.symbolic.moments import alphabet, exact_moments
from derive.tableau import Kernel, Node, Row, Scheme, multistep_row

AB = alphabet()
FLAT = Kernel(QQ(0))


def corrected(predictor: int, steps: int, kernel: Kernel) -> Scheme:
    exact = exact_moments(steps + 2, kernel.closed)
    nodes = (Node("stage", 1, AB.ring.one), *multistep_row(steps, kernel).nodes)
    return Scheme((), multistep_row(predictor, kernel), Row("corrector", nodes, exact[: steps + 1], exact))


@pytest.mark.parametrize("kernel", [FLAT, Kernel(QQ(1)), Kernel(QQ(-2)), Kernel(None)], ids=str)
def test_the_error_of_a_prediction_goes_through_the_corrector(kernel: Kernel) -> None:
    """Trapezium after Euler: its own -1/12 F'' and half of the predictor's 1/2 F' through J; Adams-Moulton's 5/12 of 5/12 next."""
    first = prove_scheme(corrected(1, 1, kernel), kernel)
    assert first.variable_grid["J F'"] == "1/4" and "1/4 J F'" in first.leading
    second = prove_scheme(corrected(2, 2, kernel), kernel)
    assert "25/144 J F''" in second.leading and second.order == 3
    weak = prove_scheme(corrected(1, 3, kernel), kernel)
    assert weak.order == 2 and set(weak.variable_grid) == {"J F'"}
    strong = prove_scheme(corrected(3, 1, kernel), kernel)
    assert strong.order == 2 and set(strong.variable_grid) == {"F''"}


def test_the_error_of_the_trapezium_after_euler() -> None:
    assert prove_scheme(corrected(1, 1, FLAT), FLAT).leading == "-1/12 F'' + 1/4 J F'"


@pytest.mark.parametrize("name", tableaux.names("classical"))
def test_trees_are_listed_with_their_signs(name: str) -> None:
    tableau = runge_kutta(FLAT, "keep", tableau=name)
    proof = prove_scheme(tableau.schemes[-1], FLAT)
    assert "+ -" not in proof.leading and "N[" in proof.leading
    assert proof.shown_error.startswith(f"h^{proof.order + 1} [")


def test_a_typed_corrector_is_proved_with_its_prediction() -> None:
    """The trapezium after Euler on any grid; weights of two values on equal steps are of order 1 on uneven ones."""
    now, before, end = Node("history", 0, ZERO), Node("history", 1, -ONE), Node("stage", 1, ONE)

    def row(name: str, nodes: tuple[Node, ...], *weights: QQ) -> Row:
        return Row(name, nodes, (), (), ONE, given=tuple(map(constant, weights)))

    euler, trapezium = row("output", (now,), ONE), row("corrector", (end, now), QQ(1, 2), QQ(1, 2))
    proof = prove_scheme(Scheme((), euler, trapezium), FLAT)
    assert (proof.order, proof.predictor, proof.embedded, proof.values) == (2, 1, None, "1 value")
    adams = row("output", (now, before), QQ(3, 2), QQ(-1, 2))
    moulton = row("corrector", (end, now, before), QQ(5, 12), QQ(8, 12), QQ(-1, 12))
    uneven = prove_scheme(Scheme((), adams, moulton), FLAT)
    assert (uneven.order, uneven.predictor, uneven.values) == (1, 1, "2 values")


def test_one_value_is_not_plural() -> None:
    assert prove_scheme(Scheme((), multistep_row(1, FLAT)), FLAT).values == "1 value"
