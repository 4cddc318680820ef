"""The parts of the stability figures by hand: companions, roots, windows, gauges at irrational abscissae, denominators."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from sympy import QQ, ring

from derive.analysis.exponential_roots import _parts
from derive.analysis.gaussian import PAIRS, DiffusionTest, Wide
from derive.analysis.gaussian_law import network_gain, w2
from derive.analysis.intervals import boundary_polynomials
from derive.analysis.recurrence import _trimmed
from derive.analysis.root_condition import _roots, stability_map
from derive.analysis.zero_stability import _differences, history_weights
from derive.families import runge_kutta
from derive.symbolic.forms import ONE, ZERO, constant, phi
from derive.symbolic.moments import alphabet
from derive.symbolic.surds import square_root
from derive.tableau import Kernel, Node, Row, Scheme, multistep_row
from tests.analysis.steps import one_step, summing


def test_companion_of_the_differences() -> None:
    """zeta^3 - 3 zeta^2 + 3 zeta - 1 without its root 1 is zeta^2 - 2 zeta + 1; zeta^2 - (1 - a) zeta - a leaves zeta + a."""
    assert _differences([3.0, -3.0, 1.0]).tolist() == [[2.0, -1.0], [1.0, 0.0]]
    assert _differences([0.75, 0.25]).tolist() == [[-0.25]]
    found = _differences([2.0, -1.5, 0.75, -0.25])
    assert found.tolist() == [[1.0, -0.5, 0.25], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_weights_of_past_states_at_step_ratios() -> None:
    """A two-step method of leapfrog's kind, x_{n+1} = 0 x_n + x_{n-1}, with a term in the newest ratio."""
    ab = alphabet()
    row = replace(multistep_row(1, Kernel(ZERO)), x_history=(ab.ring.zero, ab.ring.one, ab.r[0] * 2 - ab.r[1]))
    assert history_weights(row, (QQ(3, 2), QQ(1, 4))) == (0, 1, QQ(11, 4))


def test_roots_of_many_polynomials() -> None:
    """2 (x - 1)(x - 3), (x - 2)(x + 5)/4, and one whose degree drops."""
    found = _roots(np.array([[6.0, -8.0, 2.0], [-2.5, 0.75, 0.25], [1.0, 1.0, 0.0]]))
    assert found.shape == (2, 3)
    np.testing.assert_allclose(np.sort(found[:, 0].real), [1, 3], rtol=1e-12)
    np.testing.assert_allclose(np.sort(found[:, 1].real), [-5, 2], rtol=1e-12)
    assert np.isnan(found[:, 2]).all()


def test_the_window_that_is_drawn() -> None:
    drawn = stability_map(Scheme((), multistep_row(2, Kernel(ZERO))).step((ONE,) * 8, ZERO), points=7)
    assert (drawn.real[0], drawn.real[-1], drawn.imag[0], drawn.imag[-1]) == (-4.0, 2.0, -3.0, 3.0)
    assert drawn.real.shape == drawn.imag.shape == (7,) and drawn.stable.shape == (7, 7)
    other = stability_map(
        Scheme((), multistep_row(2, Kernel(ZERO))).step((ONE,) * 8, ZERO), points=3, window=(-1, 0, 2, 5)
    )
    assert (other.real.tolist(), other.imag.tolist()) == ([-1.0, -0.5, 0.0], [2.0, 3.5, 5.0])
    exponential = Scheme((), multistep_row(2, Kernel(ONE))).step((ONE,) * 8, ONE)
    drawn, at_zero, beside = (stability_map(exponential, points=9, **z) for z in ({}, {"z": 0.0}, {"z": 1.0}))
    assert drawn.z == 0 and (drawn.stable == at_zero.stable).all() and (drawn.stable != beside.stable).any()
    assert drawn.locus.shape == (1, 1024)


def test_a_distance_is_that_of_one_dimension_unless_said() -> None:
    with mpmath.workdps(30):
        angles = [mpmath.pi / 2 * i / 10 for i in range(11)]
        curve = [(mpmath.sin(a), mpmath.cos(a)) for a in angles]
        rows = [{"a": b[0] / a[0], "b0": b[1] - b[0] * a[1] / a[0]} for a, b in pairwise(curve[1:])]
        arguments = (rows, curve[1:], mpmath.mpf("0.6"), [(0, 1)] * 10)
        plain = w2(*arguments)
        assert plain > 0 and plain == w2(*arguments, dimension=1)
        assert abs(w2(*arguments, dimension=9) - 3 * plain) < 1e-27


def test_the_gain_of_the_optimal_network_by_hand() -> None:
    """c = 1/2 at alpha = 2, sigma = 3: x has variance 10; cov(5 x0 + 7 eps, x) = 5/2 + 21."""
    assert network_gain(QQ(1, 2), 2, 3, 5, 7) == QQ(47, 20)


def test_numbers_with_roots_at_any_precision() -> None:
    with mpmath.workdps(60):
        found = Wide.number((1 + square_root(QQ(2))) / 3 - square_root(QQ(5)))
        assert abs(found - ((1 + mpmath.sqrt(2)) / 3 - mpmath.sqrt(5))) < mpmath.mpf("1e-58")


def test_denominators_of_the_multiples_of_z() -> None:
    third, half = QQ(1, 3), QQ(1, 2)
    step = one_step((ZERO, third), [summing(third)], summing(ONE, phi(2, half)))
    assert _parts(step) == 6
    assert _parts(one_step((ZERO, QQ(3, 4)), [(constant(ONE),)], (constant(ONE), constant(ONE)))) == 4
    assert _parts(one_step((ZERO,), [], (phi(1),))) == 1


GEOMETRIC = [pair for pair in PAIRS if pair[1] != "lambda"]


@pytest.mark.parametrize("pair", GEOMETRIC, ids=str)
@pytest.mark.parametrize("root", [2, 3, 5])
def test_the_gauge_at_an_irrational_abscissa(pair: tuple[str, str], root: int) -> None:
    """m/(1 + theta m), m = u - 1 in rho and 1/u - 1 in 1/rho, by its formula and between its rational neighbours."""
    theta, near = square_root(QQ(root)) / 4, QQ(round(4096 * root**0.5 / 4), 4096)
    u = 0.3
    m = u - 1 if pair[1] == "rho" else 1 / u - 1

    def gauge(end: object) -> list[float]:
        first = Node("history", 0, ZERO)
        stage = Row("stage", (first,), (), (), end, given=(constant(end),))
        output = Row("output", (first, Node("stage", 1, end)), (), (), ONE, given=(constant(QQ(1, 2)),) * 2)
        test = DiffusionTest(Scheme((stage,), output), pair)
        return [float(v) for v in test._shares(u, lambda q: _at(q, u))]

    found = gauge(theta)
    assert found[0] == pytest.approx(m, rel=1e-14)
    assert found[1] == pytest.approx(m / (1 + float(theta) * m), rel=1e-14)
    assert gauge(near)[1] == pytest.approx(found[1], rel=1e-3)


def _at(q: object, u: float) -> float:
    """A number, or a quotient of polynomials in u, at ``u``."""
    if hasattr(q, "numer"):
        top, bottom = (sum(float(c) * u ** m[0] for m, c in p.terms()) for p in (q.numer, q.denom))
        return top / bottom
    return float(q)  # type: ignore[arg-type]


@pytest.mark.parametrize("inner", [(), (QQ(1, 2),), (QQ(1, 2), QQ(-1, 3)), (QQ(1, 2), QQ(-1, 3), QQ(1, 5))])
@pytest.mark.parametrize("middle", [QQ(-1), QQ(0), QQ(6, 5)])
def test_boundary_polynomials_see_a_pair_on_the_circle(inner: tuple[object, ...], middle: object) -> None:
    """zeta^2 + m zeta + w has a pair on the circle at w = 1; further roots inside change the degree, not that."""
    rng, w = ring("w", QQ)
    p = [rng.one, rng(middle), w]
    for root in inner:
        p = [a - b * root for a, b in zip([*p, rng.zero], [rng.zero, *p], strict=True)]
    found = boundary_polynomials(tuple(p))
    assert any(q.evaluate(0, QQ(1)) == 0 for q in found)
    assert all(q.evaluate(0, QQ(1, 2)) != 0 for q in found)
    one = next(q for q in found if q.evaluate(0, -1 - middle) == 0)
    assert one.degree() >= 1


def test_coefficients_that_are_not_there_are_cut() -> None:
    assert _trimmed([1, -1, 0, 0]) == (1, -1) and _trimmed([1, 0]) == (1,) and _trimmed([1, 0, 2]) == (1, 0, 2)
    assert len(_trimmed([1, 2, np.zeros(3)])) == 3, "an array of zeros is a coefficient"


def test_who_moves_constants() -> None:
    """Lawson's row samples the kernel: its fixed points are not those of the problem; exact rows keep them."""
    pair = ("data", "lambda")
    exact = Scheme((), multistep_row(2, Kernel(-ONE)))
    lawson = runge_kutta.build(Kernel(-ONE), "keep", tableau="heun2").schemes[-1]
    assert DiffusionTest(exact, pair).lenient is False and DiffusionTest(exact, pair).tolerance == 1e-9
    assert DiffusionTest(lawson, pair).lenient is True and DiffusionTest(lawson, pair).tolerance == 0.01
