"""Exponential Runge-Kutta: the papers' coefficients, typed a second time in the papers' own form, at 50 digits."""

from __future__ import annotations

from fractions import Fraction

import mpmath as mp
import pytest
import sympy as sp
from sympy import QQ

from derive.analysis import stiff, trees
from derive.analysis.proof import prove_scheme
from derive.families import exponential_rk, tableaux
from derive.problems import PoseError
from derive.symbolic.forms import ONE, ZERO, phi
from derive.tableau import Kernel

NOISE, DATA = Kernel(QQ(1)), Kernel(QQ(-1))
HALF, THIRD = Fraction(1, 2), Fraction(1, 3)


def build(kernel=DATA, output="last", weights="exact", final="keep", **more):
    return exponential_rk.build(kernel, output, weights, final, **more)


def p(k, z):
    """phi_k by its definition, an integral: (1/(k-1)!) int_0^1 e^{(1-s) z} s^{k-1} ds."""
    return mp.hyp1f1(1, k + 1, z) / mp.factorial(k)


def values(rows, z):
    """Rows of forms as numbers at z."""
    with mp.workdps(60):
        return [[w.value(lambda k, c: p(k, mp.mpf(c.numerator) / c.denominator * z), mpf) for w in row] for row in rows]


def mpf(q):
    return mp.mpf(int(q.numerator)) / int(q.denominator)


def etd2rk(z):
    """Cox-Matthews 2002, Eq. 22, with c h = z and weights in units of h."""
    e = mp.exp(z)
    return [[(e - 1) / z]], [(e - 1) / z - (e - 1 - z) / z**2, (e - 1 - z) / z**2]


def etd3rk(z):
    """Cox-Matthews 2002, Eqs. 23-25."""
    e, r = mp.exp(z), mp.exp(z / 2)
    a = [[(r - 1) / z], [-(e - 1) / z, 2 * (e - 1) / z]]
    b = [
        (-4 - z + e * (4 - 3 * z + z**2)) / z**3,
        4 * (2 + z + e * (-2 + z)) / z**3,
        (-4 - 3 * z - z**2 + e * (4 - z)) / z**3,
    ]
    return a, b


def etdrk4(z):
    """Cox-Matthews 2002, Eqs. 26-29."""
    e, r = mp.exp(z), mp.exp(z / 2)
    a = [[(r - 1) / z], [0, (r - 1) / z], [(r - 1) / z * (r - 1), 0, 2 * (r - 1) / z]]
    inner = 2 * (2 + z + e * (-2 + z)) / z**3
    return a, [(-4 - z + e * (4 - 3 * z + z**2)) / z**3, inner, inner, (-4 - 3 * z - z**2 + e * (4 - z)) / z**3]


def krogstad(z):
    h = z / 2
    a = [[p(1, h) / 2], [p(1, h) / 2 - p(2, h), p(2, h)], [p(1, z) - 2 * p(2, z), 0, 2 * p(2, z)]]
    return a, etdrk4(z)[1]


def strehmel_weiner(z):
    h = z / 2
    a = [[p(1, h) / 2], [p(1, h) / 2 - p(2, h) / 2, p(2, h) / 2], [p(1, z) - 2 * p(2, z), -2 * p(2, z), 4 * p(2, z)]]
    b = etdrk4(z)[1]
    return a, [b[0], 0, 2 * b[1], b[3]]


def hochbruck_ostermann5(z):
    h = z / 2
    a52 = p(2, h) / 2 - p(3, z) + p(2, z) / 4 - p(3, h) / 2
    a54 = p(2, h) / 4 - a52
    a = [[p(1, h) / 2], [p(1, h) / 2 - p(2, h), p(2, h)], [p(1, z) - 2 * p(2, z), p(2, z), p(2, z)]]
    a.append([p(1, h) / 2 - 2 * a52 - a54, a52, a52, a54])
    b = etdrk4(z)[1]
    return a, [b[0], 0, 0, b[3], 2 * b[1]]


def exprk5s8(z):
    """Luan-Ostermann 2014: psi_k of the paper's rows; the first weight of a row is what is left of c_i phi_1(c_i z)."""
    c = [0, HALF, HALF, Fraction(1, 4), HALF, Fraction(1, 5), Fraction(2, 3), Fraction(1)]

    def f(k, i):
        return p(k, mpf(c[i - 1]) * z)

    def q(top, bottom):
        return mp.mpf(top) / bottom

    a64 = q(8, 25) * f(2, 6) - q(32, 125) * f(3, 6)
    psi = q(5, 32) * a64 - q(1, 28) * f(2, 6) + q(36, 175) * f(2, 7) - q(48, 25) * f(3, 7)
    psi += q(6, 175) * f(4, 6) + q(192, 35) * f(4, 7) + 6 * f(4, 8)
    rest = [
        [],
        [f(2, 3) / 2],
        [0, f(2, 4) / 8],
        [0, -f(2, 5) / 2 + 2 * f(3, 5), 2 * f(2, 5) - 4 * f(3, 5)],
        [0, 0, a64, q(2, 25) * f(2, 6) - a64 / 2],
        [
            0, 0, -q(125, 162) * a64, q(125, 1944) * a64 - q(16, 27) * f(2, 7) + q(320, 81) * f(3, 7),
            q(3125, 3888) * a64 + q(100, 27) * f(2, 7) - q(800, 81) * f(3, 7),
        ],
        [
            0, 0, 0, q(208, 3) * f(3, 8) - q(16, 3) * f(2, 8) - 40 * psi,
            -q(250, 3) * f(3, 8) + q(250, 21) * f(2, 8) + q(250, 7) * psi,
            -27 * f(3, 8) + q(27, 14) * f(2, 8) + q(135, 7) * psi,
        ],
    ]  # fmt: skip
    b = [
        0, 0, 0, 0, (125 * p(2, z) - 625 * p(3, z) + 1125 * p(4, z)) / 14,
        -q(27, 14) * p(2, z) + q(162, 7) * p(3, z) - q(405, 7) * p(4, z),
        p(2, z) / 2 - q(13, 2) * p(3, z) + q(45, 2) * p(4, z),
    ]  # fmt: skip
    a = [[mpf(end) * p(1, mpf(end) * z) - sum(row), *row] for end, row in zip(c[1:], rest)]
    return a, [p(1, z) - sum(b), *b]


def lawson4(z):
    r = mp.exp(z / 2)
    return [[r / 2], [0, mp.mpf(1) / 2], [0, 0, r]], [r**2 / 6, r / 3, r / 3, mp.mpf(1) / 6]


def cfree4(z):
    """Celledoni-Marthinsen-Owren 2003: exponentials of half steps, on scalars."""
    f, h = p(1, z), p(1, z / 2)
    a = [[h / 2], [0, h / 2], [h * (mp.exp(z / 2) - 1) / 2, 0, h]]
    return a, [f / 2 - h / 3, f / 3, f / 3, h / 3 - f / 6]


def res_2s(z):
    return [[p(1, z / 2) / 2]], [p(1, z) - 2 * p(2, z), 2 * p(2, z)]


def res_3s(z):
    """gamma = (3 c3^2 - 2 c3)/(2 c2 - 3 c2^2) = 4 at c2 = 1/2, c3 = 1."""
    a32 = 4 * p(2, z / 2) / 2 + p(2, z) * 2
    b3 = p(2, z) / 3
    return [[p(1, z / 2) / 2], [p(1, z) - a32, a32]], [p(1, z) - 5 * b3, 4 * b3, b3]


def etd1(z):
    return [], [(mp.exp(z) - 1) / z]


PAPERS = {
    f.__name__: f
    for f in (
        etd1, etd2rk, etd3rk, etdrk4, krogstad, strehmel_weiner, hochbruck_ostermann5, exprk5s8, lawson4, cfree4,
        res_2s, res_3s,
    )
}  # fmt: skip
"""(a, b) of each paper as numbers at z, a without its empty first row."""

ORDERS = {
    "etd1": (1, 1, 1), "etd2rk": (2, 2, 2), "etd3rk": (3, 2, 2), "etdrk4": (4, 2, 2), "krogstad": (4, 3, 3),
    "strehmel_weiner": (4, 3, 3), "hochbruck_ostermann5": (4, 3, 4), "exprk5s8": (5, 4, 5), "cfree4": (4, 1, 2),
    "lawson4": (4, 0, 1), "res_2s": (2, 2, 2), "res_3s": (3, 2, 3),
}  # fmt: skip
"""Classical order, stiff order, weak stiff order."""


def test_every_file_is_checked_here():
    assert set(tableaux.names("exponential")) == set(PAPERS) == set(ORDERS)


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("z", ["0.7", "-1.3", "4.5", "-9"])
def test_tables_are_those_of_the_papers(name, z):
    step = build(tableau=name).schemes[-1].step((), QQ(-1))
    with mp.workdps(60):
        a, b = PAPERS[name](mp.mpf(z))
        got = values([*(row[: i + 1] for i, row in enumerate(step.a)), step.b], mp.mpf(z))
        for mine, paper in zip(got, [*a, b], strict=True):
            for x, y in zip(mine, paper, strict=True):
                assert abs(x - y) < mp.mpf(10) ** -50


@pytest.mark.parametrize("name", ORDERS)
def test_orders_are_proved(name):
    classical, strong, weak = ORDERS[name]
    step = build(tableau=name).schemes[-1].step((), QQ(-1))
    assert trees.order(step, classical + 1).order == classical == tableaux.load("exponential", name).order
    found = stiff.stiff_order(step)
    assert (found.strong, found.weak) == (strong, weak)


@pytest.mark.parametrize("kernel", [NOISE, DATA], ids=["noise", "data"])
def test_dpm_solver_of_three_stages(kernel):
    """DPM-Solver-3 (arXiv:2206.00927, Alg. 2): a32 = (c3^2/c2) phi_2(c3 z), b3 = phi_2/c3 at 1/3, 2/3."""
    method = build(kernel, nodes=[THIRD, 2 * THIRD]).schemes[-1]
    step = method.step((), kernel.rate)
    c2, c3 = QQ(1, 3), QQ(2, 3)
    a32, b3 = phi(2, c3, c3**2 / c2), phi(2, ONE, 1 / c3)
    assert step.a[0] == (phi(1, c2, c2), phi(1) - phi(1), phi(1) - phi(1))
    assert not step.a[1][0] - (phi(1, c3, c3) - a32)
    assert not step.a[1][1] - a32
    assert not step.b[0] - (phi(1) - b3)
    assert not step.b[1]
    assert not step.b[2] - b3
    assert trees.order(step, 4).order == 3


def test_order_three_needs_two_thirds():
    step = build(nodes=[Fraction(3, 10), HALF]).schemes[-1].step((), QQ(-1))
    assert trees.order(step, 4).order == 2


def test_the_output_may_use_all_nodes():
    """DPM-Solver-3 by all of its values ("taylor"): D1 = (r2 D10 - r1 D11)/(r2 - r1), D2 = 2 (D11 - D10)/(r2 - r1)."""
    step = build(nodes=[THIRD, 2 * THIRD], output="all").schemes[-1].step((), QQ(-1))
    z = mp.mpf("-1.7")
    with mp.workdps(60):
        [got] = values([step.b], z)
        r1, r2 = mp.mpf(1) / 3, mp.mpf(2) / 3
        slope = [[-1 / r1, 1 / r1, 0], [-1 / r2, 0, 1 / r2]]
        first = [(r2 * u - r1 * v) / (r2 - r1) for u, v in zip(*slope)]
        second = [2 * (v - u) / (r2 - r1) for u, v in zip(*slope)]
        paper = [p(1, z) * (j == 0) + p(2, z) * first[j] + p(3, z) * second[j] for j in range(3)]
        assert max(abs(x - y) for x, y in zip(got, paper)) < mp.mpf(10) ** -50


def test_published_weights_override_the_moments_of_the_output():
    """DPM-Solver++(2S) as published (arXiv:2211.01095, Alg. 1): (1/(2 r1)) phi_1 on F_1 - F_0."""
    method = build(nodes=[HALF], weights="midpoint").schemes[-1]
    step = method.step((), QQ(-1))
    assert not step.b[1] - phi(1)
    assert not step.b[0]
    assert not step.a[0][0] - phi(1, QQ(1, 2), QQ(1, 2))
    exact = build(nodes=[HALF]).schemes[-1].step((), QQ(-1))
    assert not exact.b[1] - phi(2, ONE, QQ(2))
    assert [stiff.stiff_order(s).strong for s in (step, exact)] == [1, 2]


PAIRS = [([HALF], "last", 2), ([THIRD, 2 * THIRD], "last", 3), ([THIRD, 2 * THIRD], "all", 3)]


@pytest.mark.parametrize(("nodes", "output", "order"), PAIRS, ids=["12", "23", "23 all"])
@pytest.mark.parametrize("kernel", [NOISE, DATA, Kernel(QQ(0)), Kernel(None)], ids=["noise", "data", "flat", "open"])
def test_the_output_without_the_last_stage_is_one_order_lower(kernel, nodes, output, order):
    method = build(kernel, nodes=nodes, output=output, embedded="lower").schemes[-1]
    assert method.output == build(kernel, nodes=nodes, output=output).schemes[-1].output
    proved = prove_scheme(method, kernel)
    assert (proved.order, proved.embedded) == (order, order - 1)
    assert [(n.kind, n.index) for n in method.embedded.nodes] == [("history", 0), ("stage", 1)][: order - 1]
    if kernel.closed:
        step = method.step((), kernel.rate)
        refuted = next(c for c in trees.order(trees.embedded(step), order).violated if c.tree.order == order)
        assert refuted.residual


def test_pairs_of_dpm_solver():
    """DPM-Solver-12 and -23 (arXiv:2206.00927, App. C): the step of order 1, and of order 2 with r_1 = 1/3."""
    z = mp.mpf("1.3")
    with mp.workdps(60):
        first = build(NOISE, nodes=[HALF], embedded="lower").schemes[-1].step((), QQ(1))
        second = build(NOISE, nodes=[THIRD, 2 * THIRD], embedded="lower").schemes[-1].step((), QQ(1))
        for got, paper in (
            (first.embedded, [p(1, z), 0, 0]),
            (second.embedded, [p(1, z) - 3 * p(2, z), 3 * p(2, z), 0, 0]),
        ):
            [row] = values([got], z)
            assert max(abs(x - y) for x, y in zip(row, paper, strict=True)) < mp.mpf(10) ** -50


def test_overridden_moments_leave_the_embedded_output_exact():
    method = build(nodes=[THIRD, 2 * THIRD], weights="bh1", embedded="lower").schemes[-1]
    assert method.embedded.interpolatory and not method.output.interpolatory


def test_the_first_scheme_is_one_call_of_order_one():
    for tableau in (build(nodes=[HALF]), build(tableau="krogstad")):
        first, method = tableau.schemes
        assert first.evaluations == 1
        assert not first.step((), QQ(-1)).b[0] - phi(1)
        assert tableau.start == "exact"
        assert tableau.steps == 1
        assert method.abscissae[0] == ZERO
    assert len(build(tableau="etd1").schemes) == 1
    assert build(tableau="exprk5s8").stages == 8


def test_nodes_work_in_any_variable():
    """The kernel of (noise, t) is known by its moments: rows over {0, previous node} stay interpolatory."""
    tableau = build(Kernel(None), nodes=[HALF, Fraction(1)])
    assert all(row.interpolatory for row in tableau.schemes[-1].rows)
    with pytest.raises(PoseError, match="kernel is not exponential"):
        build(Kernel(None), tableau="hochbruck_ostermann5")
    assert build(Kernel(None), tableau="etd2rk").schemes[-1].output.given


def test_on_a_constant_kernel_they_are_classical():
    step = build(Kernel(QQ(0)), tableau="etdrk4").schemes[-1].step((), QQ(0))
    assert [w.series(1)[0] for w in step.b] == [QQ(1, 6), QQ(1, 3), QQ(1, 3), QQ(1, 6)]
    assert trees.order(step, 5).order == 4


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({}, "method.tableau", "missing; allowed: one of tableau"),
        ({"tableau": "krogstad", "nodes": [HALF]}, "method.nodes", "beside tableau: krogstad"),
        ({"tableau": "krogstad", "weights": "midpoint"}, "method.weights", "whose rows are given; allowed exact"),
        ({"tableau": "krogstad", "embedded": "lower"}, "method.embedded", "rows are given; allowed none"),
        ({"tableau": "krogstad", "output": "all"}, "method.output", "allowed last"),
        ({"nodes": [Fraction(0)]}, "method.nodes[0]", "above 0 up to 1"),
        ({"nodes": [HALF, HALF], "output": "all"}, "method.nodes", "two nodes coincide"),
        ({"nodes": [THIRD, HALF], "output": "all", "weights": "midpoint"}, "method.weights", "over 2 values, got 3"),
        ({"nodes": [HALF], "weights": {2: 1}}, "method.weights", "moment 2 of a row over 2 values"),
    ],
)
def test_refusals_name_the_key(options, key, words):
    with pytest.raises(PoseError) as refused:
        build(**options)
    assert refused.value.key == key
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kernel", [NOISE, DATA, Kernel(QQ(0)), Kernel(None)])
def test_a_value_without_weight_is_not_read(kernel):
    """The midpoint rule is phi_1 times the value in the middle; any other moment keeps both values."""
    (row,) = build(kernel, weights="midpoint", nodes=[HALF]).schemes[-1].rows[1:]
    assert [(n.kind, n.index, n.theta) for n in row.nodes] == [("stage", 1, QQ(1, 2))]
    assert row.forms(()) == (phi(1, ONE),)
    for other in (build(kernel, weights="midpoint", nodes=[THIRD]), build(kernel, nodes=[HALF])):
        assert [n.kind for n in other.schemes[-1].output.nodes] == ["history", "stage"]


def test_an_output_without_any_weight_stays_as_it_is():
    scheme = build(weights={0: sp.Integer(0), 1: sp.Integer(0)}, nodes=[HALF]).schemes[-1]
    assert len(scheme.output.nodes) == 2 and not any(scheme.output.forms(()))
