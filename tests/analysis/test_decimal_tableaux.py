r"""Tables in decimals: an exact method is less than a unit in their last places away, and only such tables pass as one.

Tsitouras 5(4) has irrational coefficients. With c2, c3, c4, b2 = 1/100 and the last embedded weight 1/66 as published,
the other 20 numbers x solve 20 polynomial equations F(x) = 0 (:func:`equations`), and near the decimals x0 they have one
solution, by Newton-Kantorovich in exact arithmetic: with A near F'(x0)^{-1}, T(x) = x - A F(x) maps the ball |x - x0| <= r
(largest entry) into itself and contracts if

    |A F(x0)| + (|1 - A F'(x0)| + r sup |A F''|) r <= r.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import mpmath
import pytest
from sympy import QQ, ring

from derive.analysis import proof, trees
from derive.families import runge_kutta, tableaux
from derive.problems import PoseError
from derive.symbolic.forms import constant, phi, shown
from derive.tableau import Kernel

NAME = "tsitouras54"
FREE = "c5 a32 a42 a43 a52 a53 a54 a62 a63 a64 a65 b3 b4 b5 b6 e2 e3 e4 e5 e6"
RING, *GENERATORS = ring(FREE.split(), QQ)

PAPER = {
    "c5": "0.9800255409045097",
    "a31": "-0.008480655492356989", "a32": "0.3354806554923570",
    "a41": "2.897153057105494", "a42": "-6.359448489975075", "a43": "4.362295432869581",
    "a51": "5.325864828439257", "a52": "-11.74888356406283", "a53": "7.495539342889836", "a54": "-0.09249506636175525",
    "a61": "5.861455442946420", "a62": "-12.92096931784711", "a63": "8.159367898576159", "a64": "-0.07158497328140100",
    "a65": "-0.02826905039406838",
    "b1": "0.09646076681806523", "b2": "0.01", "b3": "0.4798896504144996", "b4": "1.379008574103742",
    "b5": "-3.290069515436081", "b6": "2.324710524099774",
}  # fmt: skip
"""Tsitouras (2011), to the 16 digits of double precision."""

ERROR = "0.001780011052226 0.000816434459657 -0.007880878010262 0.144711007173263 -0.582357165452555 0.458082105929187"
"""The paper's difference of the weights, output minus embedded, stages 1 to 6; the last one is -1/66."""

DENSE = (
    (-1.0530884977290216, (0, 1.3299890189751412), (1.4364028541716351, 0.7139816917074209)),
    (0.1017, (0, 0), (2.1966568338249754, 1.2949852507374631)),
    (2.490627285651252793, (0, 0), (2.38535645472061657, 1.57803468208092486)),
    (-16.54810288924490272, (0, 0), (1.21712927295533244 + 0.61620406037800089, 1.21712927295533244 * 0.61620406037800089)),
    (47.37952196281928122, (0, 0), (1.203071208372362603 + 0.658047292653547382, 1.203071208372362603 * 0.658047292653547382)),
    (-34.87065786149660974, (0, 0), (1.2 + 2 / 3, 1.2 * 2 / 3)),
    (2.5, (0, 0), (1.6, 0.6)),
)  # fmt: skip
"""Its interpolant: q (t - r)(t - s)(t^2 - u t + v) for every value, as (q, (r, s), (u, v))."""


@dataclass(frozen=True)
class Pair:
    """c, a (7 by 7, the last row is b), b, the embedded weights; numbers or polynomials in those that are left open."""

    c: list[Any]
    a: list[list[Any]]
    b: list[Any]
    e: list[Any]


@cache
def published() -> Pair:
    found = tableaux.load("classical", NAME)

    def row(forms):
        return [form.series(1)[0] for form in forms] + [QQ(0)] * (7 - len(forms))

    b = row(found.b)
    return Pair(row(found.c)[:6] + [QQ(1)], [*map(row, found.a), b], b, row(found.embedded))


def opened() -> Pair:
    """The pair with its open numbers as unknowns; first columns are left 0: they meet c1 = 0 or follow from sums."""
    x, zero = dict(zip(FREE.split(), GENERATORS)), RING.zero

    def numbers(letters, indices):
        return [x.get(f"{letters}{j}", zero) for j in indices]

    c = [*map(RING, (0, QQ(161, 1000), QQ(327, 1000), QQ(9, 10))), x["c5"], RING.one, RING.one]
    b = [zero, RING(QQ(1, 100)), *numbers("b", range(3, 7)), zero]
    e = [*numbers("e", range(1, 7)), RING(QQ(1, 66))]
    return Pair(c, [*(numbers(f"a{i}", range(1, 8)) for i in range(1, 7)), b], b, e)


def unknowns(pair: Pair) -> list[Any]:
    return [
        {"c": pair.c, "b": pair.b, "e": pair.e}[name[0]][int(name[1]) - 1]
        if len(name) == 2
        else pair.a[int(name[1]) - 1][int(name[2]) - 1]
        for name in FREE.split()
    ]


def dot(u, v):
    return sum((x * y for x, y in zip(u, v)), 0 * u[0])


def through(pair, values):
    return [dot(row, values) for row in pair.a]


def times(*factors):
    out = list(factors[0])
    for factor in factors[1:]:
        out = [x * y for x, y in zip(out, factor)]
    return out


def vectors(pair: Pair) -> dict[str, tuple[list[Any], int]]:
    """Stage vectors Phi(tree) in words, A for the matrix, with the density: weights have b Phi = 1/density."""
    c = pair.c
    ac, acc = through(pair, c), through(pair, times(c, c))
    aac = through(pair, ac)
    return {
        "c": (c, 2), "cc": (times(c, c), 3), "Ac": (ac, 6),
        "ccc": (times(c, c, c), 4), "c.Ac": (times(c, ac), 8), "Acc": (acc, 12), "AAc": (aac, 24),
        "cccc": (times(c, c, c, c), 5), "cc.Ac": (times(c, c, ac), 10), "Ac.Ac": (times(ac, ac), 20),
        "c.Acc": (times(c, acc), 15), "c.AAc": (times(c, aac), 30), "Accc": (through(pair, times(c, c, c)), 20),
        "A(c.Ac)": (through(pair, times(c, ac)), 40), "AAcc": (through(pair, acc), 60), "AAAc": (through(pair, aac), 120),
    }  # fmt: skip


REDUCED = ("c", "cc", "ccc", "cccc", "c.Ac", "cc.Ac", "c.Acc", "c.AAc", "Ac.Ac")
REST = (("Ac", "c", "cc"), ("Acc", "cc", "ccc"), ("Accc", "ccc", "cccc"), ("AAc", "Ac", "c.Ac"),
        ("A(c.Ac)", "c.Ac", "cc.Ac"), ("AAcc", "Acc", "c.Acc"), ("AAAc", "AAc", "c.AAc"))  # fmt: skip
"""(A u, u, c u): where b A = b (1 - c), the condition of A u is that of u minus that of c u."""


def equations(pair: Pair) -> list[Any]:
    """13 of the output (9 conditions and b A = b (1 - c) at 2 .. 5), 7 of the embedded row; sums of rows are apart."""
    known = vectors(pair)
    one = pair.c[-1]
    out = [dot(pair.b, known[name][0]) - one * QQ(1, known[name][1]) for name in REDUCED]
    for j in range(1, 5):
        out.append(dot(pair.b, [row[j] for row in pair.a[:6]] + [0 * one]) - pair.b[j] * (one - pair.c[j]))
    low = [name for name, (_, density) in known.items() if density in (2, 3, 4, 6, 8, 12, 24)]
    return out + [dot(pair.e, known[name][0]) - one * QQ(1, known[name][1]) for name in low]


def norm(rows):
    return max(sum(map(abs, row), QQ(0)) for row in rows)


def product(a, b):
    columns = list(zip(*b))
    return [[dot(row, column) for column in columns] for row in a]


def largest(polynomial, at):
    """A bound of |polynomial| where no entry is above ``at``: coefficients and variables without their signs."""
    total = QQ(0)
    for monomial, q in polynomial.terms():
        term = abs(q)
        for exponent, x in zip(monomial, at):
            term *= x**exponent
        total += term
    return total


def inverse(matrix, places=60):
    """Near the inverse: what it misses is part of the bound."""
    with mpmath.workdps(places + 40):
        found = (
            mpmath.matrix([[mpmath.mpf(int(x.numerator)) / int(x.denominator) for x in row] for row in matrix]) ** -1
        )
        return [[QQ(int(mpmath.nint(x * 10**places)), 10**places) for x in row] for row in found.tolist()]


def contraction(polynomials, x0, r):
    """(|A F(x0)|, bound of |1 - A F'| on the ball of radius r about x0)."""
    slopes = [[f.diff(x) for x in GENERATORS] for f in polynomials]
    at = [[f.evaluate(list(zip(GENERATORS, x0))) for f in row] for row in slopes]
    a = inverse(at)
    residual = [[f.evaluate(list(zip(GENERATORS, x0)))] for f in polynomials]
    near = [[QQ(i == j) - x for j, x in enumerate(row)] for i, row in enumerate(product(a, at))]
    reach = [abs(x) + r for x in x0]
    change = [[r * sum((largest(f.diff(x), reach) for x in GENERATORS), QQ(0)) for f in row] for row in slopes]
    return norm(product(a, residual)), norm(near) + norm(product([[abs(x) for x in row] for row in a], change))


def step_of(pair: Pair):
    numbers = tuple(tuple(map(constant, row)) for row in (*pair.a[:6], pair.b, pair.e))
    plain = runge_kutta.build(Kernel(QQ(0)), "keep", tableau=NAME).schemes[-1].step((), QQ(0))
    a = tuple(row[:6] for row in numbers[1:6])
    return replace(plain, thetas=tuple(pair.c[:6]), a=a, b=numbers[6][:6], embedded=numbers[7])


def orders(pair: Pair, digits) -> tuple[int, int]:
    step, tolerance = step_of(pair), trees.bound(digits)
    return trees.order(step, 6, tolerance).order, trees.order(trees.embedded(step), 6, tolerance).order


def test_every_table_in_decimals_is_proved_here():
    assert [
        n for kind in ("classical", "exponential") for n in tableaux.names(kind) if tableaux.load(kind, n).digits
    ] == [NAME]


def test_an_exact_pair_is_next_to_the_decimals():
    digits = tableaux.load("classical", NAME).digits
    system, x0 = equations(opened()), unknowns(published())
    assert len(system) == len(x0) == 20
    r = QQ(1, 10 ** (digits - 2))
    assert r <= QQ(1, 10 ** (digits - 15))
    first, slope = contraction(system, x0, r)
    assert slope < QQ(1, 10**30)
    assert first + slope * r < r
    assert first  # the decimals are not the solution
    # What is not an unknown follows from sums, or is 1/66 to its last place.
    pair = published()
    assert [sum(row, QQ(0)) for row in pair.a] == pair.c and sum(pair.e, QQ(0)) == 1
    assert abs(pair.e[6] - QQ(1, 66)) < r
    assert [str(x) for x in pair.c[1:4]] == ["161/1000", "327/1000", "9/10"] and pair.b[1] == QQ(1, 100)


def test_a_ball_that_is_too_small_or_not_there_is_not_proved():
    x0 = unknowns(published())
    first, slope = contraction(equations(opened()), x0, QQ(1, 10**90))
    assert first + slope * QQ(1, 10**90) > QQ(1, 10**90)
    moved = [x0[0] + QQ(1, 10**40), *x0[1:]]
    r = QQ(1, 10**65)
    first, slope = contraction(equations(opened()), moved, r)
    assert first + slope * r > r


def test_the_equations_are_the_order_conditions():
    """b A u = b u - b c u for every u with u_1 = 0, since c_6 = 1: the seven conditions that are no equations follow."""
    known = vectors(opened())
    assert {name for name, _, _ in REST} | set(REDUCED) == set(known)
    for through_a, u, cu in REST:
        assert known[through_a][0] == through(opened(), known[u][0])
        assert known[cu][0] == times(opened().c, known[u][0])
        assert QQ(1, known[through_a][1]) == QQ(1, known[u][1]) - QQ(1, known[cu][1])
        assert known[u][0][0] == 0
    assert opened().c[5] == 1


def test_decimals_are_those_of_the_paper():
    pair = published()
    for name, text in PAPER.items():
        row = {"c": pair.c, "b": pair.b, "a": pair.a[int(name[1]) - 1]}[name[0]]
        mine = float(row[int(name[-1]) - 1])
        assert mine == pytest.approx(float(text), rel=4e-16, abs=3e-18)
    assert [float(b - e) for b, e in zip(pair.b, pair.e)] == pytest.approx(
        [*map(float, ERROR.split()), -1 / 66], abs=6e-16
    )


def test_the_order_is_that_of_the_exact_pair_and_no_higher():
    digits = tableaux.load("classical", NAME).digits
    assert orders(published(), digits) == (5, 4)
    assert orders(published(), None) == (1, 1)  # they do not pass as exact


@pytest.mark.parametrize("rate", [QQ(0), QQ(-1), None])
def test_the_engine_says_what_was_proved(rate):
    tableau = runge_kutta.build(Kernel(rate), "keep", tableau=NAME)
    found = proof.prove_scheme(tableau.schemes[-1], tableau.kernel)
    assert (found.order, found.embedded) == (5, 4)
    assert found.engine == "bicoloured trees, to 1e-70: decimals of an exact method (Newton-Kantorovich)"
    assert len(found.because) < 120 and "order 6 fails" in found.because
    typed = proof.prove_scheme(replace(tableau.schemes[-1], digits=None), tableau.kernel)
    assert typed.order == 1 and "Newton" not in typed.engine


PLACES = [("a", i, j) for i in range(2, 6) for j in range(1, i)] + [("b", 6, j) for j in range(1, 6)]
PLACES += [("e", 7, j) for j in range(1, 7)]


def nudged(place, factor):
    """One number times 1 + factor; the first of its row keeps the sum."""
    letter, i, j = place
    pair = published()
    row = list(pair.e if letter == "e" else pair.a[i])
    change = row[j] * factor
    row[j], row[0] = row[j] + change, row[0] - change
    if letter == "e":
        return replace(pair, e=row)
    a = [row if k == i else other for k, other in enumerate(pair.a)]
    return replace(pair, a=a, b=row if letter == "b" else pair.b)


@pytest.mark.parametrize("power", [9, 60])
@pytest.mark.parametrize("place", PLACES)
def test_a_changed_number_is_refused(place, power):
    got = orders(nudged(place, QQ(1, 10**power)), 80)
    assert got[1 if place[0] == "e" else 0] < (4 if place[0] == "e" else 5)


def test_a_changed_abscissa_is_refused():
    pair = published()
    change = QQ(1, 10**9)
    c = [*pair.c[:4], pair.c[4] + change, *pair.c[5:]]
    row = [pair.a[4][0] + change, *pair.a[4][1:]]
    assert orders(replace(pair, c=c, a=[*pair.a[:4], row, *pair.a[5:]]), 80)[0] < 5


def test_sums_of_rows_are_exact_and_checked():
    found = tableaux.load("classical", NAME)
    kept = {"c": found.c, "a": found.a, "embedded": found.embedded}
    wrong = (found.b[0] + constant(QQ(1, 10**80)), *found.b[1:])
    with pytest.raises(PoseError, match="row sums"):
        runge_kutta.build(Kernel(QQ(0)), "keep", b=wrong, **kept)


def test_lawson_form_carries_the_decimals():
    method = runge_kutta.build(Kernel(None), "keep", tableau=NAME).schemes[-1]
    pair = published()
    assert method.digits == 80
    assert method.stages[2].given[1] == phi(0, pair.c[3] - pair.c[1], pair.a[3][1])


def test_dense_output_is_that_of_the_paper_and_has_order_4():
    """Weights of theta^m meet the conditions of trees of order m, and those of all other orders with 0."""
    found, pair = tableaux.load("classical", NAME), published()
    rows = [[form.series(1)[0] for form in row] for row in found.dense]
    assert [sum(row, QQ(0)) - b for row, b in zip(rows, pair.b)] == pytest.approx([0] * 7, abs=1e-78)
    assert [row[0] for row in rows] == [1, 0, 0, 0, 0, 0, 0]
    known = vectors(pair)
    conditions = [([QQ(1)] * 7, 1, 1)] + [
        (known[name][0], order, known[name][1])
        for order, names in {2: ("c",), 3: ("cc", "Ac"), 4: ("ccc", "c.Ac", "Acc", "AAc")}.items()
        for name in names
    ]
    for values, order, density in conditions:
        for m in range(1, 5):
            got = dot([row[m - 1] for row in rows], values)
            assert abs(got - (QQ(1, density) if m == order else 0)) < QQ(1, 10**76)
    fifth = [dot([sum(row[m] * QQ(1, 2) ** (m + 1) for m in range(4)) for row in rows], known["cccc"][0])]
    assert abs(fifth[0] - QQ(1, 5 * 32)) > QQ(1, 10**6)
    for row, (q, (r, s), (u, v)) in zip(rows, DENSE, strict=True):
        for theta in (0.25, 0.5, 0.8, 1.0):
            paper = q * (theta - r) * (theta - s) * (theta * theta - u * theta + v)
            assert sum(float(x) * theta ** (m + 1) for m, x in enumerate(row)) == pytest.approx(paper, abs=1e-13)
    assert found.dense_order == 4


def test_long_numbers_are_shown_as_decimals_with_dots():
    tableau = runge_kutta.build(Kernel(QQ(0)), "keep", tableau=NAME)
    for text in (str(tableau), tableau.latex(), str(proof.prove_scheme(tableau.schemes[-1], tableau.kernel))):
        assert not re.search(r"\d{30}", text)
    assert "0.980025540905.." in str(tableau) and r"-0.0924950663618\ldots" in tableau.latex()
    assert shown(QQ(161, 1000)) == "161/1000" and shown(QQ(1, 10**60 - 1)) == "1/" + "9" * 60
    assert shown(QQ(2, 3 * 10**60)) == "6.66666666667e-61.."
