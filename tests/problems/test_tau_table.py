"""tau given as a table: the step's kernel and noise against integrals of the polygon, and what is refused."""

from __future__ import annotations

import mpmath
import pytest

from derive.analysis.numbers import Oracle
from derive.errors import SpecError
from derive.pipeline import derive
from derive.spec import read_spec_text

SPEC = """
name: tabled
problem:
  kind: sde
  schedule: {kind: flow}
  prediction: velocity
  TAU
method: {family: exponential_multistep, steps: 1, integrand: data}
"""
TABLE = "tau_times: [1, 0.7, 0.4, 0]\n  tau_values: [0, 1, 0.5, 0.5]"


def posed(tau):
    return derive(read_spec_text(SPEC.replace("TAU", tau)))


def tau_at(t):
    for (a, u), (b, v) in zip([(1, 0), (0.7, 1), (0.4, 0.5)], [(0.7, 1), (0.4, 0.5), (0, 0.5)]):
        if b <= t <= a:
            return u + (v - u) * (a - t) / (a - b)
    raise ValueError(t)


@pytest.mark.parametrize(("s", "t"), [(0.9, 0.75), (0.8, 0.3)])
def test_the_step_integrates_the_polygon(s, t):
    """x' = (sigma_t/sigma_s) e^-k x + .. + N(0, v): k = int T dlambda, v = int (G_t/G_u)^2 2 T sigma^2 dlambda, alpha = 1 - t."""
    derived = posed(TABLE)
    oracle = Oracle(derived.tableau, derived.problem)
    row = oracle.calls(derived.tableau.schemes[-1], [t, s])[0]
    speed = lambda u: 1 / (u * (1 - u))  # -dlambda/dt  # noqa: E731
    cuts = [s, *(x for x in (0.7, 0.4) if t < x < s), t]

    def excess(u):
        inner = [x for x in cuts if x < u]
        return mpmath.quad(lambda v: tau_at(v) ** 2 * speed(v), [u, *inner]) * -1 if u > t else mpmath.mpf(0)

    assert float(row["a"]) == pytest.approx(float(t / s * mpmath.exp(-excess(s))), rel=1e-12)
    noise = lambda u: (t / u) ** 2 * mpmath.exp(-2 * excess(u)) * 2 * tau_at(u) ** 2 * u**2 * speed(u)  # noqa: E731
    assert float(row["s"]) ** 2 == pytest.approx(float(-mpmath.quad(noise, cuts)), rel=1e-11)


def test_a_table_of_one_value_is_that_number():
    """Its integrals are those of the closed form."""
    rows = [
        Oracle(d.tableau, d.problem).calls(d.tableau.schemes[-1], [0.3, 0.6])[0]
        for d in (posed("tau_times: [1, 0]\n  tau_values: [0.5, 0.5]"), posed("tau: 1/2"))
    ]
    assert all(abs(rows[0][name] - rows[1][name]) < mpmath.mpf(10) ** -45 for name in ("a", "b0", "s"))


@pytest.mark.parametrize(
    ("tau", "message"),
    [
        ("tau_times: [1, 0.2, 0.3, 0]\n  tau_values: [0, 1, 1, 0]", "times that turn back"),
        ("tau_times: [0.9, 0]\n  tau_values: [0, 1]", "got 0.9 to 0; allowed: one way from 1 to 0"),
        ("tau_times: [1, 0]\n  tau_values: [0, 1, 1]", "got 2 times and 3 values"),
        ("tau_values: [0, 1]", "got 0 times and 2 values"),
        ("tau: 1\n  tau_times: [1, 0]\n  tau_values: [0, 1]", "got tau_times beside tau"),
        ("tau_times: [1, 0]\n  tau_values: [0, -1]", "tau_values"),
    ],
)
def test_what_is_no_table_is_refused(tau, message):
    with pytest.raises(SpecError, match=message):
        posed(tau)
