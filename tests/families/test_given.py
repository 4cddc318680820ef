"""Typed tableaux: the same as the published ones, and every wrong one refused, at its place."""

from __future__ import annotations

import pytest
from sympy import QQ

from derive.analysis import trees
from derive.errors import SpecError
from derive.families import exponential_rk, given, runge_kutta
from derive.problems import PoseError
from derive.symbolic.surds import Surd
from derive.tableau import Kernel
from derive.tableau_text import parse_entry
from tests.families.limits import TYPED, listed, read

DATA = Kernel(QQ(-1))
FLAT = Kernel(QQ(0))

KROGSTAD = {
    "c": ["0", "1/2", "1/2", "1"],
    "a": [
        [],
        ["phi1(z/2)/2"],
        ["phi1(z/2)/2 - phi2(z/2)", "phi2(z/2)"],
        ["phi1(z) - 2*phi2(z)", "0", "2*phi2(z)"],
    ],
    "b": [
        "phi1(z) - 3*phi2(z) + 4*phi3(z)", "2*phi2(z) - 4*phi3(z)", "2*phi2(z) - 4*phi3(z)", "4*phi3(z) - phi2(z)",
    ],
}  # fmt: skip
ETD2 = {"c": ["0", "1"], "a": [[], ["phi1(z)"]], "b": ["phi1(z) - phi2(z)", "phi2(z)"]}
LAWSON2 = {"c": ["0", "1"], "a": [[], ["exp(z)"]], "b": ["exp(z)/2", "1/2"]}
LAWSON_MIDPOINT = {"c": ["0", "1/2"], "a": [[], ["exp(z/2)/2"]], "b": ["0", "exp(z/2)"]}
B = KROGSTAD["b"]


def build(table, kernel=DATA):
    rows = {key: [parse_entry(text) for text in table[key]] for key in ("c", "b", "embedded") if key in table}
    return given.build(kernel, a=[[parse_entry(text) for text in row] for row in table["a"]], final="keep", **rows)


def changed(table, place, text):
    """The table with another entry at ``a[3][0]``."""
    out = {key: [list(row) if key == "a" else row for row in rows] for key, rows in table.items()}
    key, *indices = place.replace("]", "").split("[")
    target = out[key]
    for index in indices[:-1]:
        target = target[int(index)]
    target[int(indices[-1])] = text
    return out


def order(tableau, rate=-1):
    return trees.order(tableau.schemes[-1].step((), QQ(rate)), 5).order


def test_typed_and_published_are_the_same():
    published = exponential_rk.build(DATA, "last", "exact", "keep", tableau="krogstad")
    assert build(KROGSTAD).schemes == published.schemes
    assert build(KROGSTAD).family == "given"
    full = KROGSTAD | {"a": [[*row, *["0"] * (4 - len(row))] for row in KROGSTAD["a"]]}
    assert build(full).schemes == published.schemes
    assert order(published) == 4


def test_radicals_are_exact():
    """Ralston's method of order 4 (1962, Eq. 5.14): square roots of 5, and order 4 exactly."""
    table = {
        "c": ["0", "2/5", "7/8 - 3*sqrt(5)/16", "1"],
        "a": [
            [],
            ["2/5"],
            ["(-2889 + 1428*sqrt(5))/1024", "(3785 - 1620*sqrt(5))/1024"],
            ["(-3365 + 2094*sqrt(5))/6040", "(-975 - 3046*sqrt(5))/2552", "(467040 + 203968*sqrt(5))/240845"],
        ],
        "b": ["(263 + 24*sqrt(5))/1812", "(125 - 1000*sqrt(5))/3828", "1024*(3346 + 1623*sqrt(5))/5924787", "(30 - 4*sqrt(5))/123"],
    }  # fmt: skip
    tableau = build(table, FLAT)
    assert isinstance(tableau.schemes[-1].abscissae[2], Surd)
    assert order(tableau, 0) == 4
    with pytest.raises(PoseError, match="row sums: row 3 of a"):
        build(changed(table, "a[2][0]", "(-2889 + 1428*sqrt(6))/1024"), FLAT)
    swapped = changed(changed(table, "b[0]", table["b"][1]), "b[1]", table["b"][0])
    assert order(build(swapped, FLAT), 0) < 2


def test_lawson_tables_are_exact_at_zero_only():
    assert order(build(LAWSON2)) == 2
    heun = runge_kutta.build(DATA, "keep", tableau="heun2").schemes[-1]
    assert build(LAWSON2).schemes[-1].output == heun.output


def test_tables_on_their_own_span_work_for_any_kernel():
    assert build(ETD2, Kernel(None)).schemes[-1].output.given == build(ETD2).schemes[-1].output.given
    assert build(LAWSON2, Kernel(None)).stages == 2
    assert build(KROGSTAD, FLAT).stages == 4


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        (changed(KROGSTAD, "a[3][0]", "phi1(z) + 2*phi2(z)"), "method.a[3]", "row 4 of a does not add up to phi1(z); residual 4*phi2(z)"),
        (changed(KROGSTAD, "a[2][1]", "phi2(z/2)/2"), "method.a[2]", "residual -phi2(z/2)/2"),
        (changed(KROGSTAD, "a[1][0]", "phi1(z/2)"), "method.a[1]", "residual phi1(z/2)/2"),
        (changed(KROGSTAD, "a[1][0]", "phi1(z)/2"), "method.a[1]", "residual"),
        (changed(KROGSTAD, "b[3]", "4*phi3(z) + phi2(z)"), "method.b", "b does not add up to phi1(z); residual 2*phi2(z)"),
        (changed(KROGSTAD, "b[3]", "4*phi3(z) - phi2(z) + 1e-9"), "method.b", "residual 1/1000000000"),
        (KROGSTAD | {"a": [KROGSTAD["a"][i] for i in (0, 2, 1, 3)]}, "method.a[1]", "got 2 weights in row 2; allowed 1"),
        (KROGSTAD | {"embedded": ["phi1(z) - phi2(z)", "0", "0", "2*phi2(z)"]}, "method.embedded", "the embedded row"),
        (KROGSTAD | {"embedded": ["phi1(z)"]}, "method.embedded", "got 1 weights; allowed 4, or 5"),
        (KROGSTAD | {"c": ["0", "1/2", "1/2", "5/4"]}, "method.c[3]", "got 5/4; allowed: abscissae above 0 up to 1"),
        (KROGSTAD | {"c": ["0", "1/2", "-1/2", "1"]}, "method.c[2]", "got -1/2"),
        (KROGSTAD | {"c": ["0", "1/2", "sqrt(2)", "1"]}, "method.c[2]", "got sqrt(2)"),
        (KROGSTAD | {"c": ["1/2", "1/2", "1/2", "1"]}, "method.c[0]", "the step starts with F(x_n)"),
        (KROGSTAD | {"c": ["0", "1/2", "1/2"]}, "method.a", "got 4 rows for 3 abscissae"),
        (KROGSTAD | {"b": B[:3]}, "method.b", "got 3 weights for 4 abscissae"),
        (ETD2 | {"a": [["0", "1"], ["phi1(z)", "0"]]}, "method.a[0][1]", "row 1 uses value 2"),
        (ETD2 | {"a": [[], ["phi1(z) - phi2(z)", "phi2(z)"]]}, "method.a[1][1]", "not there yet: phi2(z); allowed: explicit"),
        ({"c": ["0", "1"], "a": [[], ["1"]], "b": ["1/2", "1/2"]}, "method.b", "or family runge_kutta"),
        (LAWSON2 | {"b": ["exp(z/2)/2", "1/2"]}, "method.b[0]", "allowed: a number times exp(z)"),
        (LAWSON2 | {"b": ["exp(z)/2", "1/3"]}, "method.b", "residual -1/6"),
        (LAWSON2 | {"a": [[], ["1"]]}, "method.a[1][0]", "in a table without phi functions"),
        (LAWSON_MIDPOINT | {"b": ["0", "exp(z)"]}, "method.b[1]", "at c = 1/2, in a table without phi functions"),
        (LAWSON_MIDPOINT | {"b": ["0", "exp(z)"]}, "method.b[1]", "allowed: a number times exp(z/2)"),
    ],
)  # fmt: skip
def test_wrong_tables_are_refused_at_their_place(table, key, words):
    with pytest.raises(PoseError) as refused:
        build(table)
    assert refused.value.key == key
    assert words in str(refused.value)
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


def test_a_swapped_row_of_equal_abscissa_is_seen_by_the_trees():
    """Rows 2 and 3 of ETDRK4 end at the same point: the sums hold, the order does not."""
    etdrk4 = KROGSTAD | {"a": [[], ["phi1(z/2)/2"], ["0", "phi1(z/2)/2"], ["phi1(z) - phi1(z/2)", "0", "phi1(z/2)"]]}
    assert order(build(etdrk4)) == 4
    for place, text, other, left in (
        ("a[2][0]", "phi1(z/2)/2", "a[2][1]", "0"),
        ("a[3][1]", "phi1(z/2)", "a[3][2]", "0"),
    ):
        assert order(build(changed(changed(etdrk4, place, text), other, left))) < 4


def test_a_wrong_sign_that_keeps_the_sums_is_seen_by_the_trees():
    moved = changed(KROGSTAD, "a[2][0]", "phi1(z/2)/2 + phi2(z/2)")
    assert order(build(changed(moved, "a[2][1]", "-phi2(z/2)"))) == 2
    weights = changed(KROGSTAD, "b[1]", "2*phi2(z) + 4*phi3(z)")
    assert order(build(changed(weights, "b[0]", "phi1(z) - 3*phi2(z) - 4*phi3(z)"))) == 1


def test_functions_of_other_spans_need_an_exponential_kernel():
    wrong = changed(changed(KROGSTAD, "a[2][1]", "phi2(z)"), "a[2][0]", "phi1(z/2)/2 - phi2(z)")
    assert build(wrong).stages == 4
    with pytest.raises(PoseError) as refused:
        build(wrong, Kernel(None))
    assert refused.value.key == "method.a[2][0]"
    assert "phi2(z) has no meaning in a variable whose kernel is not exponential" in str(refused.value)
    assert "phi_k(z/2)" in str(refused.value)


def test_a_long_residual_is_cut():
    def shown(*more):
        with pytest.raises(PoseError) as refused:
            build(ETD2 | {"b": ["phi1(z) - phi2(z)", " + ".join(["phi2(z)", *more])]})
        return str(refused.value).partition("residual ")[2]

    terms = [f"phi{k}(z/{n})" for k in (1, 2, 3) for n in range(2, 8)]
    fits, cut = shown(*terms[:9], "33333*exp(z)"), shown(*terms)
    assert len(fits) == 120 and not fits.endswith("..") and fits.endswith("33333*exp(z)")
    assert len(cut) == 122 and cut.endswith("..")


def test_lawson_at_the_midpoint():
    assert order(build(LAWSON_MIDPOINT)) == 2


LIMITS = [
    {},
    {"embedded": listed(17)},
    {"b": listed(16, '"phi1(z)"')},
]
BEYOND = [
    ("c", listed(17, "0")),
    ("c", '["0", "phi1(z)"]'),
    ("a", "[" + ", ".join(["[]"] * 17) + "]"),
    ("a", f"[{listed(17)}]"),
    ("a", "[1]"),
    ("b", listed(17)),
    ("b", "[[1]]"),
    ("embedded", listed(18)),
]


@pytest.mark.parametrize("change", LIMITS, ids=str)
def test_the_most_that_may_be_typed(change):
    assert read("given", **TYPED | change).method.family == "given"


@pytest.mark.parametrize(("key", "text"), BEYOND, ids=str)
def test_more_than_may_be_typed(key, text):
    with pytest.raises(SpecError, match=f"method.{key}"):
        read("given", **TYPED | {key: text})
