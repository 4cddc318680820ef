"""Classical tableaux, typed a second time as fractions, and what they become in a variable whose kernel is not constant."""

from __future__ import annotations

from fractions import Fraction as Q

import pytest
from sympy import QQ

from derive.analysis import trees
from derive.errors import SpecError
from derive.families import runge_kutta, tableaux
from derive.problems import PoseError
from derive.symbolic.forms import constant, phi
from derive.tableau import Kernel
from tests.families.limits import TYPED, listed, read

FLAT = Kernel(QQ(0))

TEXTBOOK = {
    "euler": (1, [], ["1"]),
    "heun2": (2, [["1"]], ["1/2", "1/2"]),
    "midpoint": (2, [["1/2"]], ["0", "1"]),
    "ralston2": (2, [["2/3"]], ["1/4", "3/4"]),
    "ralston3": (3, [["1/2"], ["0", "3/4"]], ["2/9", "3/9", "4/9"]),
    "kutta3": (3, [["1/2"], ["-1", "2"]], ["1/6", "4/6", "1/6"]),
    "heun3": (3, [["1/3"], ["0", "2/3"]], ["1/4", "0", "3/4"]),
    "ssprk3": (3, [["1"], ["1/4", "1/4"]], ["1/6", "1/6", "4/6"]),
    "van_der_houwen3": (3, [["8/15"], ["1/4", "5/12"]], ["1/4", "0", "3/4"]),
    "rk4": (4, [["1/2"], ["0", "1/2"], ["0", "0", "1"]], ["1/6", "2/6", "2/6", "1/6"]),
    "rk38": (4, [["1/3"], ["-1/3", "1"], ["1", "-1", "1"]], ["1/8", "3/8", "3/8", "1/8"]),
    "bogacki_shampine32": (3, [["1/2"], ["0", "3/4"]], ["2/9", "3/9", "4/9"]),
    "dormand_prince54": (
        5,
        [
            ["1/5"], ["3/40", "9/40"], ["44/45", "-56/15", "32/9"],
            ["19372/6561", "-25360/2187", "64448/6561", "-212/729"],
            ["9017/3168", "-355/33", "46732/5247", "49/176", "-5103/18656"],
        ],
        ["35/384", "0", "500/1113", "125/192", "-2187/6784", "11/84"],
    ),
}  # fmt: skip
"""Order, a without its empty first row, b."""

EMBEDDED = {
    "heun2": (1, ["1", "0"]),
    "bogacki_shampine32": (2, ["7/24", "6/24", "8/24", "3/24"]),
    "dormand_prince54": (4, ["5179/57600", "0", "7571/16695", "393/640", "-92097/339200", "187/2100", "1/40"]),
}
DENSE = {"bogacki_shampine32": 3, "dormand_prince54": 4}


def build(kernel=FLAT, final="keep", **more):
    return runge_kutta.build(kernel, final, **more)


def number(form):
    assert all(not c for (_, c), _ in form.terms)
    value = form.series(1)[0]
    return Q(int(value.numerator), int(value.denominator))


def typed(rows):
    return [tuple(constant(QQ(Q(x).numerator, Q(x).denominator)) for x in row) for row in rows]


def test_every_file_is_checked_here():
    """Those in decimals: tests/analysis/test_decimal_tableaux.py."""
    decimals = {name for name in tableaux.names("classical") if tableaux.load("classical", name).digits}
    assert set(tableaux.names("classical")) == set(TEXTBOOK) | decimals
    for name in TEXTBOOK:
        found = tableaux.load("classical", name)
        assert bool(found.embedded) == (name in EMBEDDED)
        assert bool(found.dense) == (name in DENSE)
        assert found.reference


@pytest.mark.parametrize("name", TEXTBOOK)
def test_tables_are_those_of_the_books(name):
    order, a, b = TEXTBOOK[name]
    step = build(tableau=name).schemes[-1].step((), QQ(0))
    assert [[number(w) for w in row[: i + 1]] for i, row in enumerate(step.a)] == [[Q(x) for x in row] for row in a]
    assert [number(w) for w in step.b] == [Q(x) for x in b]
    assert [Q(int(c.numerator), int(c.denominator)) for c in step.thetas] == [0, *(sum(map(Q, row)) for row in a)]
    assert trees.order(step, order + 1).order == order == tableaux.load("classical", name).order


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_rows_have_exactly_their_order(name):
    order, weights = EMBEDDED[name]
    step = build(tableau=name).schemes[-1].step((), QQ(0))
    got = [number(w) for w in step.embedded]
    assert got[: len(weights)] == [Q(x) for x in weights]
    assert not any(got[len(weights) :])
    assert (
        trees.order(trees.embedded(step), order + 1).order == order == tableaux.load("classical", name).embedded_order
    )


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("theta", [Q(1, 3), Q(4, 5), Q(1)])
def test_dense_output_has_its_order_inside_the_step(name, theta):
    """sum_j b_j(theta) Phi_j(tree) = theta^n/gamma(tree) for the eight trees of up to four vertices."""
    found = tableaux.load("classical", name)
    a = [[number(w) for w in row] for row in found.a] + [[number(w) for w in found.b]]
    count = len(a)
    a = [row + [Q(0)] * (count - len(row)) for row in a]
    weights = [sum(number(q) * theta ** (m + 1) for m, q in enumerate(row)) for row in found.dense]
    assert len(weights) == count

    def through(values):
        return [sum(x * y for x, y in zip(row, values)) for row in a]

    ones = [Q(1)] * count
    c = through(ones)
    square, ac = [x * x for x in c], through(c)
    conditions = {
        1: [(ones, 1)],
        2: [(c, 2)],
        3: [(square, 3), (ac, 6)],
        4: [([x**3 for x in c], 4), ([x * y for x, y in zip(c, ac)], 8), (through(square), 12), (through(ac), 24)],
    }
    for order in range(1, DENSE[name] + 1):
        for values, density in conditions[order]:
            assert sum(w * v for w, v in zip(weights, values)) == theta**order / density
    assert found.dense_order == DENSE[name]


def test_typed_and_named_are_the_same():
    table = {
        "c": typed([["0", "1/2", "1"]])[0],
        "a": typed([[], ["1/2"], ["-1", "2"]]),
        "b": typed([["1/6", "2/3", "1/6"]])[0],
    }
    assert build(**table).schemes == build(tableau="kutta3").schemes


@pytest.mark.parametrize("rate", [None, QQ(1), QQ(-1)])
def test_lawson_form_where_the_kernel_is_not_constant(rate):
    """y = x/G: every weight carries the kernel from its node to the end of its row."""
    method = build(Kernel(rate), tableau="rk4").schemes[-1]
    half, third = QQ(1, 2), QQ(1, 3)
    assert [row.given for row in method.stages] == [(phi(0, half, half),), (constant(half),), (phi(0, half),)]
    assert method.output.given == (
        phi(0, QQ(1), QQ(1, 6)), phi(0, half, third), phi(0, half, third), constant(QQ(1, 6)),
    )  # fmt: skip
    if rate is not None:
        assert trees.order(method.step((), rate), 5).order == 4


def test_lawson_keeps_the_order_of_embedded_rows():
    step = build(Kernel(QQ(-1)), tableau="dormand_prince54").schemes[-1].step((), QQ(-1))
    assert trees.order(step, 6).order == 5
    assert trees.order(trees.embedded(step), 5).order == 4


def test_the_first_scheme_is_one_call_of_order_one():
    tableau = build(tableau="rk4")
    assert [s.evaluations for s in tableau.schemes] == [1, 4]
    assert (tableau.start, tableau.final, tableau.steps, tableau.stages) == ("exact", "keep", 1, 4)
    assert len(build(tableau="euler").schemes) == 1


HEUN = {"c": typed([["0", "1"]])[0], "a": typed([[], ["1"]]), "b": typed([["1/2", "1/2"]])[0]}


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({}, "method.tableau", "missing; allowed: tableau (bogacki_shampine32,"),
        ({"c": HEUN["c"], "a": HEUN["a"]}, "method.b", "missing"),
        ({"tableau": "rk4", "b": HEUN["b"]}, "method.b", "beside tableau: rk4"),
        (HEUN | {"a": typed([[], ["1/2"]])}, "method.a[1]", "residual -1/2"),
        (HEUN | {"b": typed([["1/2", "-1/2"]])[0]}, "method.b", "residual -1"),
        (HEUN | {"embedded": typed([["1/2", "1/4"]])[0]}, "method.embedded", "residual -1/4"),
        (HEUN | {"a": typed([[], ["500000001/500000000"]])}, "method.a[1]", "residual 1/500000000"),
        (HEUN | {"a": typed([[], ["1/2", "1/2"]])}, "method.a[1][1]", "not there yet"),
        (HEUN | {"a": typed([["0", "1"], ["1", "0"]])}, "method.a[0][1]", "explicit"),
        (HEUN | {"c": typed([["1/2", "1"]])[0]}, "method.c[0]", "allowed 0"),
        (HEUN | {"c": typed([["0", "3/2"]])[0]}, "method.c[1]", "above 0 up to 1"),
        (HEUN | {"c": typed([["0", "0"]])[0]}, "method.c[1]", "above 0 up to 1"),
        (HEUN | {"a": typed([["1"]])}, "method.a", "1 rows for 2 abscissae"),
        (HEUN | {"b": typed([["1"]])[0]}, "method.b", "1 weights for 2 abscissae"),
        (HEUN | {"a": typed([[], ["1", "0", "0"]])}, "method.a[1]", "got 3 weights in row 2; allowed 1"),
        (HEUN | {"embedded": typed([["1"]])[0]}, "method.embedded", "allowed 2, or 3"),
    ],
)
def test_refusals_name_the_key(options, key, words):
    with pytest.raises(PoseError) as refused:
        build(**options)
    assert refused.value.key == key
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_row_sums_cannot_see_the_trees_do():
    """Consistent, and wrong: two weights swapped, and a stage that takes its value from the wrong place."""
    swapped = HEUN | {"c": typed([["0", "1/2", "1"]])[0], "a": typed([[], ["1/2"], ["-1", "2"]])}
    for b, order in ((["1/6", "2/3", "1/6"], 3), (["2/3", "1/6", "1/6"], 1), (["1/4", "1/2", "1/4"], 2)):
        step = build(**(swapped | {"b": typed([b])[0]})).schemes[-1].step((), QQ(0))
        assert trees.order(step, 4).order == order
    sign = swapped | {"a": typed([[], ["1/2"], ["2", "-1"]]), "b": typed([["1/6", "2/3", "1/6"]])[0]}
    assert trees.order(build(**sign).schemes[-1].step((), QQ(0)), 4).order == 2


def test_what_a_spec_need_not_say():
    """The variable is t; entries are numbers."""
    method = read("runge_kutta", tableau="heun2").method
    assert str(method.parameters["variable"]) == "t" and method.parameters["final"] == "keep"
    assert read("runge_kutta", **TYPED | {"embedded": listed(17)}).method.family == "runge_kutta"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("c", '["0", "phi1(z)"]'),
        ("a", '[[], ["exp(z)"]]'),
        ("b", '["phi1(z)"]'),
        ("embedded", '["phi1(z)"]'),
        ("c", listed(17, "0")),
        ("a", "[" + ", ".join(["[]"] * 17) + "]"),
        ("b", listed(17)),
        ("embedded", listed(18)),
    ],
)
def test_what_may_not_be_typed(key, text):
    with pytest.raises(SpecError, match=f"method.{key}"):
        read("runge_kutta", **TYPED | {key: text})
