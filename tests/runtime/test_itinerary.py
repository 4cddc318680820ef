"""How grid steps are taken, by counting alone: orders, phases, limits, correctors and tables, without a coefficient."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.errors import LimitError
from runtime.itinerary import Leg, Route, _Walk, _why, _why_entry, call_nodes, kept, point, span, visits
from runtime.real import inf


def named(name: str) -> Any:
    def row(*args: Any) -> tuple:
        raise AssertionError(f"{name} is asked for a coefficient")

    row.__name__ = name
    return row


def code(steps: int = 3, **changes: Any) -> SimpleNamespace:
    """A multistep method of 1 .. ``steps`` values, one call each."""
    rows = (*(named(f"start_{k}") for k in range(1, steps)), named("main"))
    known: dict[str, Any] = {
        "STEPS": steps, "ROWS": rows, "ABSCISSAE": ((0,),) * steps, "BEGIN": (), "BEGIN_ABSCISSAE": (), "CORRECTORS": (),
        "FINAL": "keep", "CHART_FINITE": {"sigma_zero": True, "alpha_zero": True},
        "TO_SIGMA_ZERO": (), "FROM_SIGMA_ZERO": (), "TO_ALPHA_ZERO": (), "FROM_ALPHA_ZERO": (),
    }  # fmt: skip
    return SimpleNamespace(**(known | changes))


def legs(module: Any, count: int, history: int = 0, first: str | None = None, last: str | None = None) -> list[Leg]:
    return Route(module, count, history, first, last).legs()


def orders(found: list[Leg]) -> list[int]:
    return [leg.order for leg in found]


def phases(found: list[Leg]) -> list[str]:
    return [name for leg in found for name in leg.phases]


def test_a_ramp_and_a_given_history() -> None:
    found = legs(code(), 5)
    assert orders(found) == [1, 2, 3, 3, 3] and phases(found) == ["start_1", "start_2", "main", "main", "main"]
    assert [leg.step for leg in found] == [0, 1, 2, 3, 4] and [leg.spans for leg in found] == [1, 2, 3, 3, 3]
    assert all(leg.regular and leg.corrects == 0 and leg.abscissae == (0,) for leg in found)
    for history, want in ((1, [2, 3, 3]), (2, [3, 3, 3]), (3, [3, 3, 3])):
        begun = legs(code(), 3, history)
        assert orders(begun) == want and [leg.step for leg in begun] == [0, 1, 2]
    module = code()
    assert [leg.choices for leg in legs(module, 3)] == [((row,),) for row in module.ROWS]


def test_the_last_steps_of_lower_order() -> None:
    for count, want in ((5, [1, 2, 3, 2, 1]), (4, [1, 2, 2, 1]), (2, [1, 1]), (1, [1])):
        assert orders(legs(code(FINAL="lower_order"), count)) == want
    staged = code(1, ROWS=((named("stage_1"), named("main")),), ABSCISSAE=((0, 1),), FINAL="lower_order")
    assert phases(legs(staged, 2)) == ["stage_1", "main"] * 2
    euler = code(
        1, ROWS=(named("start_1"), (named("stage_1"), named("main"))), ABSCISSAE=((0,), (0, 1)), FINAL="lower_order"
    )
    assert orders(legs(euler, 3)) == [2, 2, 1] and phases(legs(euler, 3)) == ["stage_1", "main"] * 2 + ["start_1"]
    assert [leg.abscissae for leg in legs(euler, 3)] == [(0, 1), (0, 1), (0,)]


def test_a_starter_takes_the_steps_before_the_method() -> None:
    begin = (named("begin_row_1"), named("begin_row_2"))
    module = code(BEGIN=begin, BEGIN_ABSCISSAE=(0, 1))
    found = legs(module, 5)
    assert phases(found) == ["begin_1", "begin_2"] * 2 + ["main"] * 3 and orders(found) == [3] * 5
    assert [(leg.choices, leg.abscissae, leg.spans, leg.corrects, leg.regular) for leg in found[:2]] == [
        ((begin,), (0, 1), 1, 0, True)
    ] * 2
    assert phases(legs(module, 2, 1)) == ["begin_1", "begin_2", "main"]
    low = code(BEGIN=begin, BEGIN_ABSCISSAE=(0, 1), FINAL="lower_order")
    assert phases(legs(low, 2)) == ["begin_1", "begin_2", "start_1"]


def test_a_starter_does_not_begin_where_the_variable_is_infinite() -> None:
    """The first step there is one of order 1, although its limit is the ordinary row."""
    module = code(2, BEGIN=(named("begin_row"),), BEGIN_ABSCISSAE=(0,))
    module.CHART_FINITE, module.FROM_ALPHA_ZERO = {"sigma_zero": True, "alpha_zero": False}, module.ROWS[:1]
    assert phases(legs(module, 4, first="alpha_zero")) == ["start_1", "begin_1", "main", "main"]
    assert phases(legs(module, 4)) == ["begin_1", "main", "main", "main"]


def test_an_end_without_a_finite_variable_starts_the_count_anew() -> None:
    ends = {"sigma_zero": False, "alpha_zero": False}
    first = named("from_1")
    found = legs(code(CHART_FINITE=ends, FROM_ALPHA_ZERO=(first,)), 5, first="alpha_zero")
    assert orders(found) == [1, 1, 2, 3, 3] and found[0].choices == ((first,),)
    assert [leg.regular for leg in found] == [False, True, True, True, True]
    begin = code(CHART_FINITE=ends, FROM_ALPHA_ZERO=(first,), BEGIN=(named("b"),), BEGIN_ABSCISSAE=(0,))
    assert phases(legs(begin, 4, first="alpha_zero")) == ["start_1", "begin_1", "begin_1", "main"]
    route = Route(code(CHART_FINITE=ends), 3, 1, "alpha_zero", "sigma_zero")
    assert [route.charted(i) for i in range(5)] == [False, True, True, True, False] and route.total == 4
    assert [route.charted(i) for i in (0, 4)] != [
        Route(code(), 3, 1, "alpha_zero", "sigma_zero").charted(i) for i in (0, 4)
    ]
    assert Route(code(CHART_FINITE=ends), 3).charted(0)


def test_limits_are_those_of_the_end_that_a_step_touches() -> None:
    to, out = (named("to_1"), named("to_2")), (named("from_1"),)
    module = code(TO_SIGMA_ZERO=to, FROM_ALPHA_ZERO=out)
    route = Route(module, 3, 0, "alpha_zero", "sigma_zero")
    assert route.limits(0) == [("starts at alpha = 0", out)] and route.limits(1) == []
    assert route.limits(2) == [("ends at sigma = 0", to)]
    assert Route(module, 1, 0, "alpha_zero", "sigma_zero").limits(0) == [
        ("ends at sigma = 0", to), ("starts at alpha = 0", out),
    ]  # fmt: skip
    found = route.legs()
    assert orders(found) == [1, 2, 3] and [bool(leg.choices) for leg in found] == [True, True, False]
    assert [leg.regular for leg in found] == [False, True, False]
    low = legs(code(TO_SIGMA_ZERO=to, FINAL="lower_order"), 4, last="sigma_zero")
    assert orders(low) == [1, 2, 2, 1] and low[-1].choices == ((to[0],),) and not low[-1].regular


def test_a_step_off_an_end_has_the_highest_order_with_a_limit_there() -> None:
    for count, want in ((0, 1), (1, 1), (2, 2), (3, 3)):
        out = tuple(named(f"from_{k}") for k in range(1, count + 1))
        found = legs(
            code(1, ROWS=(named("a"), named("b"), named("main")), ABSCISSAE=((0,),) * 3, FROM_SIGMA_ZERO=out),
            2,
            first="sigma_zero",
        )
        assert orders(found) == [want, 3] and bool(found[0].choices) == (count > 0)
    same = code(BEGIN=(named("begin"),), BEGIN_ABSCISSAE=(0,))
    same.FROM_SIGMA_ZERO = (same.ROWS[0],)
    assert phases(legs(same, 3, first="sigma_zero")) == ["begin_1", "begin_1", "main"]
    other = code(BEGIN=(named("begin"),), BEGIN_ABSCISSAE=(0,), FROM_SIGMA_ZERO=(named("from"),))
    assert phases(legs(other, 3, first="sigma_zero")) == ["start_1", "begin_1", "main"]


def test_a_corrector_belongs_to_the_step_before() -> None:
    correct = (named("correct_1"), named("correct_2"))
    module = code(2, CORRECTORS=correct)
    found = legs(module, 4)
    assert phases(found) == ["start_1", "start_2", "main", "main"] and [leg.corrects for leg in found] == [0, 1, 2, 2]
    assert phases(legs(module, 3, 1)) == ["enter", "main", "main"]
    assert [leg.corrects for leg in legs(module, 3, 1)] == [0, 2, 2]
    begun = code(2, CORRECTORS=correct, BEGIN=(named("b"),), BEGIN_ABSCISSAE=(0,))
    assert phases(legs(begun, 4)) == ["begin_1", "enter", "main", "main"]
    assert [leg.corrects for leg in legs(begun, 4)] == [0, 0, 2, 2]
    low = legs(code(2, CORRECTORS=correct, FINAL="lower_order"), 4)
    assert orders(low) == [1, 2, 2, 1] and phases(low) == ["start_1", "start_2", "main", "main"]
    assert [leg.corrects for leg in low] == [0, 1, 2, 2]


def test_a_table_says_how_every_step_is_taken() -> None:
    rows = (named("step_1"), (named("stage_1"), named("last")), named("step_3"))
    module = code(3, ROWS=rows, TABLE=(0, 2, 1, 2), READS=(1, 2, 3), ABSCISSAE=((0,), (0, 1), (0,)))
    found = legs(module, 4)
    assert phases(found) == ["step_1", "step_3", "stage_1", "last", "step_3"] and orders(found) == [1, 3, 2, 3]
    assert [leg.spans for leg in found] == [1, 3, 2, 3] and [leg.abscissae for leg in found] == [
        (0,),
        (0,),
        (0, 1),
        (0,),
    ]
    assert [leg.choices for leg in found] == [((rows[0],),), (), (rows[1],), ((rows[2],),)]
    assert [leg.regular for leg in found] == [True, False, True, True] and [leg.corrects for leg in found] == [0] * 4
    assert [bool(leg.choices) for leg in legs(module, 4, 1)] == [True] * 4
    pec = code(
        3, ROWS=(rows[0], rows[2]), TABLE=(0, 1, 0), READS=(1, 2), ABSCISSAE=((0,), (0,)), CORRECTORS=(named("c"),) * 2
    )
    assert phases(legs(pec, 3)) == ["step_0_1", "step_1_2", "step_2_1"] and [leg.corrects for leg in legs(pec, 3)] == [
        0,
        1,
        2,
    ]


def test_a_table_at_the_ends_of_the_domain() -> None:
    rows, to, out = tuple(named(f"step_{k}") for k in (1, 2)), (None, named("to_2")), (named("from_1"), None)
    module = code(
        2, ROWS=rows, TABLE=(0, 1), READS=(1, 1), ABSCISSAE=((0,), (0,)), TO_SIGMA_ZERO=to, FROM_ALPHA_ZERO=out
    )
    found = legs(module, 2, first="alpha_zero", last="sigma_zero")
    assert [leg.choices for leg in found] == [((out[0],),), ((to[1],),)] and [leg.regular for leg in found] == [
        False,
        False,
    ]
    module.TABLE = (1, 0)
    assert [leg.choices for leg in legs(module, 2, first="alpha_zero", last="sigma_zero")] == [(), ()]
    module.TABLE = (0,)
    assert legs(module, 1, first="alpha_zero", last="sigma_zero")[0].choices == ()
    module.TO_SIGMA_ZERO = module.FROM_ALPHA_ZERO = ()
    assert legs(module, 1, last="sigma_zero")[0].choices == ()
    module.TO_SIGMA_ZERO = rows
    assert legs(module, 1, last="sigma_zero")[0].regular
    module.CHART_FINITE = {"sigma_zero": False, "alpha_zero": True}
    assert not legs(module, 1, last="sigma_zero")[0].regular


def test_a_limit_of_one_call_of_a_step_with_stages() -> None:
    """It has the phase of its order, not that of the last stage."""
    rows = (named("start_1"), (named("stage_1"), named("main")))
    module = code(1, ROWS=rows, ABSCISSAE=((0,), (0, 1)), TO_SIGMA_ZERO=(named("to_1"), named("to_2")))
    found = legs(module, 2, last="sigma_zero")
    assert phases(found) == ["stage_1", "main", "start_2"] and found[-1].abscissae == (0,) and not found[-1].regular


def test_nodes_that_count_as_history() -> None:
    ends = {"sigma_zero": False, "alpha_zero": False}

    def walk(**route: Any) -> _Walk:
        found = _Walk.__new__(_Walk)
        found.route = Route(code(CHART_FINITE=ends), 4, **route)
        return found

    assert [walk().finite(i) for i in range(4)] == [1, 2, 3, 4]
    assert [walk(first="alpha_zero").finite(i) for i in range(4)] == [0, 1, 2, 3]
    assert [walk(first="alpha_zero", history=1, last="sigma_zero").finite(i) for i in (4, 5)] == [4, 0]


def test_calls_at_equal_fractions_are_one_point() -> None:
    asked = []

    def inner(s: str, t: str, c: float) -> str:
        asked.append((s, t, c))
        return f"{s}{t}{c}"

    module = SimpleNamespace(inner=inner)
    assert call_nodes(module, "s", "t", (0, 0.5, 0.25, 0.5, 1)) == ["s", "st0.5", "st0.25", "st0.5", "t"]
    assert asked == [("s", "t", 0.5), ("s", "t", 0.25)]
    with pytest.raises(AssertionError, match="main is asked"):
        code().ROWS[-1](1, 2)


@pytest.mark.parametrize("error", [OverflowError, ValueError, ZeroDivisionError])
def test_a_span_beyond_all_numbers_is_infinite(error: type[Exception]) -> None:
    def far(s: float, t: float) -> float:
        raise error

    module = code(span=far, CHART_FINITE={"sigma_zero": True, "alpha_zero": False})
    assert span(Route(module, 3), [3.0, 2.0, 1.0, 0.0], 1, 2) == inf
    module.span = lambda s, t: s - t
    assert span(Route(module, 3, first="alpha_zero"), [3.0, 2.0, 1.0, 0.5], 1, 3) == 1.5
    assert span(Route(module, 3, first="alpha_zero"), [3.0, 2.0, 1.0, 0.5], 0, 1) == inf


def test_a_corrector_without_finite_coefficients_is_the_step_before_without_them() -> None:
    def row(*args: Any) -> tuple:
        return (1, 2, 0, 0)

    def correct(*args: Any) -> tuple:
        return (3, 4)

    module = code(1, ROWS=(row,), CORRECTORS=(correct,), COLUMNS=("a", "b0", "ca", "cb0"), span=lambda s, t: t.t - s.t)
    points = [SimpleNamespace(t=float(t)) for t in range(4)]
    assert [visit.row for visit in visits(module, points)] == [(1, 2, 0, 0), (1, 2, 3, 4), (1, 2, 3, 4)]
    with pytest.raises(LimitError, match=r"step 1 of 3 \(t = 1.0 to 2.0\)"):
        visits(module, points, attempt=lambda f, s, *rest: None if f is correct and s is points[1] else f(s, *rest))


def test_a_slope_that_is_infinite_at_an_end_is_inf_there_and_nothing_else_is() -> None:
    def broken(time: float) -> float:
        raise ZeroDivisionError

    node = namedtuple("node", ("t", "alpha", "dsigma"))
    module = SimpleNamespace(Node=node, node=broken, alpha=lambda time: 1 - time, dsigma=broken)
    assert point(module, 0.25) == (0.25, 0.75, inf)
    module.node = lambda time: node(time, 2, 3)
    assert point(module, 0.25) == (0.25, 2, 3)


def test_what_a_history_keeps_of_a_point() -> None:
    assert kept(SimpleNamespace(COLUMNS=("a", "b0", "cx", "cr"))) == (("cx", "cr"),)
    assert kept(SimpleNamespace(COLUMNS=("a", "b0"))) == ((),)
    assert kept(SimpleNamespace(COLUMNS=("a", "b0", "cx", "cr"), KEPT=((), ("dx", "dr")))) == ((), ("dx", "dr"))


def test_what_is_said_of_a_step_without_coefficients() -> None:
    to, out = ("ends at sigma = 0", (named("a"), named("b"))), ("starts at alpha = 0", ())
    assert _why([], 1).startswith("a coefficient is not finite in float64; take nodes that are further apart")
    assert _why([to], 2) == (
        "the step ends at sigma = 0; a coefficient of its limit is not finite in float64; move the nodes next to the end"
    )
    assert "where a row of order 3 has no finite limit (highest: 2)" in _why([to], 3)
    assert "starts at alpha = 0, where the solver's coefficients have no finite limit; start the grid after it" in _why(
        [out], 1
    )
    leg = Leg(4, 1, ("step_1",), (), (0,), 3)
    assert "entry 4 of the solver's table reads back over 3 grid points, and 2 there have" in _why_entry([], leg, 2)
    alone = Leg(4, 1, ("step_1",), (), (0,), 1)
    assert "reads back" not in _why_entry(
        [to], alone, 0
    ) and "ends at sigma = 0, where only a step of one value" in _why_entry([to], alone, 0)
    assert "have no finite limit" in _why_entry([out], alone, 1)
    assert _why([], 1) in _why_entry([], Leg(0, 1, ("step_1",), ((named("a"),),), (0,), 1), 1)
