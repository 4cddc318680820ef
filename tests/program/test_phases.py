"""Tableaus of every shape as programs: the phases, what passes between them, and what the program computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sympy import QQ

from derive.program.interpret import run
from derive.program.ir import Combine, Evaluate, Keep, Phase
from derive.program.memory import flow
from derive.program.passes import fuse, streams
from derive.program.phases import begin_names, names, phases_of, ways
from derive.program.verify import verify
from tests.program.methods import RK4, TABLEAUS, program, raw_program

every_program = pytest.mark.parametrize("name", TABLEAUS)
every_network = pytest.mark.parametrize(("converts", "scaled"), [(True, False), (False, False), (True, True)])


def text(phase: Phase) -> list[str]:
    return [line.strip() for line in str(phase).splitlines()]


@every_network
@every_program
def test_one_kernel_per_network_call_and_every_stream_once(name: str, converts: bool, scaled: bool) -> None:
    made = verify(program(name, converts, scaled))
    for phase in made.phases:
        assert [type(op) for op in phase.operations] == [Evaluate, Combine, Keep]
        read = {v for line in phase.lines for _, v in line.terms} & {"x", "raw", *phase.memory}
        new = {line.out for line in phase.lines} & {"x'", *phase.keep.values}
        assert streams(phase) == (len(read), len(new))


@every_network
@every_program
def test_no_pass_changes_what_is_computed(name: str, converts: bool, scaled: bool) -> None:
    """The lines are the same, and unpruned programs are sound too."""
    before, after = verify(fuse(raw_program(name, converts, scaled))), program(name, converts, scaled)
    assert [list(p.lines) for p in before.phases] == [list(p.lines) for p in after.phases]
    for a, b in zip(before.phases, after.phases, strict=True):
        assert set(b.memory) <= set(a.memory) and set(b.keep.values) <= set(a.keep.values)


@every_program
def test_every_column_has_its_place(name: str) -> None:
    made = program(name, True, True)
    used = {c for phase in made.phases for c in phase.coefficients}
    assert used <= set(made.columns) and len(set(made.columns)) == len(made.columns)
    order = ["a", "b", "d", "ca", "cb", "cx", "cr", "cin"]
    kinds = [c.rstrip("0123456789") for c in made.columns]
    assert sorted(kinds, key=order.index) == kinds


@every_program
def test_phases_are_named_by_the_way_they_belong_to(name: str) -> None:
    made = program(name)
    assert [n for way in made.steps for n in way] == [p.name for p in made.phases]


def test_multistep_is_a_phase_by_order() -> None:
    main = program("ab3").phase("main")
    assert text(main) == [
        "phase main: node n; finds m[1], m[2]",
        "raw      = evaluate x @ n",
        "m0       = combine cx*x + cr*raw",
        "x'       = combine a*x + b0*m0 + b1*m[1] + b2*m[2]",
        "keep m0, m[1]",
    ]
    assert program("ab3").columns == ("a", "b0", "b1", "b2", "cx", "cr")
    assert text(program("ab3").phase("start_1"))[-1] == "keep m0, up to 1 of what is left"


def test_stages_keep_the_state_and_their_integrands() -> None:
    made = program("etdrk3")
    assert made.steps == (("start_1",), ("stage_1", "stage_2", "main")) and made.history == 0
    assert [line for n in made.steps[1] for line in text(made.phase(n))] == [
        "phase stage_1: node n",
        "raw      = evaluate x @ n",
        "m0       = combine cx*x + cr*raw",
        "x'       = combine a*x + b0*m0",
        "keep x, m0",
        "phase stage_2: node n+c1; finds y, m0",
        "raw      = evaluate x @ n+c1",
        "k1       = combine cx*x + cr*raw",
        "x'       = combine a*y + b0*m0 + d1*k1",
        "keep y, m0, k1",
        "phase main: node n+c2; finds y, m0, k1",
        "raw      = evaluate x @ n+c2",
        "k2       = combine cx*x + cr*raw",
        "x'       = combine a*y + b0*m0 + d1*k1 + d2*k2",
        "keep nothing",
    ]


def test_a_method_of_stages_alone_has_a_first_order_phase() -> None:
    made = program("midpoint", converts=False)
    assert made.steps == (("start_1",), ("stage_1", "main"))
    assert text(made.phase("start_1"))[-2:] == ["x'       = combine a*x + b0*raw", "keep nothing"]


def test_what_has_no_weight_is_not_read_and_not_kept() -> None:
    """RK4's stages read one value each; the third-order formula of Heun forgets its first stage."""
    rk4, heun = program("rk4"), program("heun3")
    assert text(rk4.phase("stage_3"))[3] == "x'       = combine a*y + d2*k2"
    assert rk4.phase("main").memory == ("y", "m0", "k1", "k2")
    assert heun.phase("stage_2").keep.values == ("y", "m0") and heun.phase("main").memory == ("y", "m0")


def test_stages_beside_a_history() -> None:
    made = program("general")
    assert made.steps == (("start_1",), ("start_2",), ("stage_1", "main")) and made.history == 2
    assert made.phase("stage_1").memory == ("m[1]", "m[2]")
    assert text(made.phase("main")) == [
        "phase main: node n+c1; finds y, m0, m[1], m[2]",
        "raw      = evaluate x @ n+c1",
        "k1       = combine cx*x + cr*raw",
        "x'       = combine a*y + b0*m0 + b1*m[1] + b2*m[2] + d1*k1",
        "keep m0, m[1]",
    ]


def test_methods_of_several_orders_have_names_of_their_own() -> None:
    assert ways(TABLEAUS["singlestep"]) == (("start_1",), ("start_2_1", "start_2_2"), ("stage_1", "stage_2", "main"))
    assert names(1, TABLEAUS["singlestep"]) == ("start_2_1", "start_2_2")
    assert begin_names(TABLEAUS["ab2"]) == () and begin_names(TABLEAUS["begun4"])[-1] == "begin_4"


def test_predictor_correctors_correct_on_entry() -> None:
    made = program("pec2")
    assert made.columns == ("a", "b0", "b1", "ca", "cb0", "cb1", "cb2", "cx", "cr")
    assert [line for phase in made.phases for line in text(phase)] == [
        "phase start_1: node n",
        "raw      = evaluate x @ n",
        "m0       = combine cx*x + cr*raw",
        "x'       = combine a*x + b0*m0",
        "keep x, m0",
        "phase start_2: node n; finds y, m[1]",
        "raw      = evaluate x @ n",
        "m0       = combine cx*x + cr*raw",
        "xc       = combine ca*y + cb0*m0 + cb1*m[1]",
        "x'       = combine a*xc + b0*m0 + b1*m[1]",
        "keep xc, m0, m[1]",
        "phase main: node n; finds y, m[1], m[2]",
        "raw      = evaluate x @ n",
        "m0       = combine cx*x + cr*raw",
        "xc       = combine ca*y + cb0*m0 + cb1*m[1] + cb2*m[2]",
        "x'       = combine a*xc + b0*m0 + b1*m[1]",
        "keep xc, m0, m[1]",
    ]


def test_a_predictor_corrector_enters_with_the_history_of_its_starter() -> None:
    enter = program("pec_begun").phase("enter")
    assert enter.memory == ("m[1]", "m[2]") and enter.keep == Keep(("x", "m0", "m[1]", "m[2]"), 4)
    assert "enter" not in [p.name for p in program("pec3").phases]


def test_every_order_of_a_predictor_corrector_is_corrected() -> None:
    first, *rest = TABLEAUS["pec2"].schemes
    bad = replace(TABLEAUS["pec2"], schemes=(replace(first, corrector=None), *rest))
    with pytest.raises(ValueError, match="every order"):
        phases_of(bad, True, False)


def test_starters_leave_what_the_method_reads() -> None:
    made = program("begun4")
    assert made.steps[-1] == ("begin_1", "begin_2", "begin_3", "begin_4")
    assert {len(m) for m in flow(made).entries["begin_1"]} == {0, 1, 2, 3}
    assert made.phase("begin_4").keep == Keep(("m0",), 3)


def test_the_memory_is_known_before_every_phase() -> None:
    entries = flow(program("pec3")).entries
    assert entries["start_2"] == {("y", "m[1]"), ("y", "m[1]", "m[2]"), ("y", "m[1]", "m[2]", "m[3]")}
    assert entries["main"] == {("y", "m[1]", "m[2]", "m[3]")}
    assert flow(program("pec3")).longest(program("pec3").phase("main")) == 4


# What programs compute: solutions of x' = F(x) = x - x^3, kernel constant


def field(x: np.ndarray) -> np.ndarray:
    return x - x**3


def rk4_step(x: float, h: float) -> float:
    k1 = field(x)
    k2 = field(x + h / 2 * k1)
    k3 = field(x + h / 2 * k2)
    k4 = field(x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def test_rk4_is_the_textbook_formula() -> None:
    made, h = program("rk4", converts=False), 0.1
    rows = []
    for row in (*RK4.stages, RK4.output):
        weights = {
            f"{'b' if n.kind == 'history' else 'd'}{n.index}": w for n, w in zip(row.nodes, row.given, strict=True)
        }
        values = {k: h * float(w.series(1)[0]) for k, w in weights.items()}
        rows.append({"a": 1.0, **{c: values.get(c, 0.0) for c in made.columns if c != "a"}})
    got = run(made, [*made.steps[1]] * 3, rows * 3, np.array([0.3, 1.4]), lambda x, i: field(x))
    want = np.array([0.3, 1.4])
    for _ in range(3):
        want = rk4_step(want, h)
    np.testing.assert_allclose(got, want, rtol=1e-15)


def test_pec_is_the_textbook_formula() -> None:
    """Adams-Bashforth 2 and Adams-Moulton 2 (trapezoid) on a uniform grid, one evaluation a step."""
    made, h = program("pec2", converts=False), 0.1
    first = {"a": 1.0, "b0": h}
    second = {"a": 1.0, "b0": 1.5 * h, "b1": -0.5 * h, "ca": 1.0, "cb0": h / 2, "cb1": h / 2}
    third = second | {"cb0": 5 * h / 12, "cb1": 8 * h / 12, "cb2": -h / 12}
    got = run(made, ["start_1", "start_2", "main"], [first, second, third], np.array([0.3]), lambda x, i: field(x))
    x0 = 0.3
    f0 = field(x0)
    f1 = field(x0 + h * f0)
    x1 = x0 + h / 2 * (f1 + f0)
    f2 = field(x1 + h * (1.5 * f1 - 0.5 * f0))
    x2 = x1 + h / 12 * (5 * f2 + 8 * f1 - f0)
    np.testing.assert_allclose(got, [x2 + h * (1.5 * f2 - 0.5 * f1)], rtol=1e-15)


def test_the_abscissae_of_the_hand_made_methods_are_consistent() -> None:
    """Each stage's weights at z = 0 sum to its abscissa: the tests above test methods, not noise."""
    for row in (*RK4.stages, RK4.output):
        assert sum((w.series(1)[0] for w in row.given), QQ(0)) == row.end
