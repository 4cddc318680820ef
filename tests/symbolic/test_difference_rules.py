"""Which rule a difference is given: degrees are counted, reciprocals go through their base, high powers stay plain."""

from __future__ import annotations

import pytest
import sympy as sp

from derive.symbolic.alphabet import s, t
from derive.symbolic.differences import MAX_POWER, difference, is_small_rational
from derive.symbolic.evaluate import evaluate, mpmath_algebra


@pytest.mark.parametrize(
    ("expr", "small"),
    [
        ((1 + t**5) ** 6, False), ((1 + t**4) ** 6, True), ((1 + t**12) ** 2, True), ((1 + t**13) ** 2, False),
        (1 / (1 + t**13) ** 2, False), (t**24, True), (t**25, False), (t**20 / (1 + t**5), False), (sp.sin(t), False),
    ],
    ids=str,
)  # fmt: skip
def test_degrees_of_powers_multiply(expr, small):
    assert is_small_rational(expr) is small


@pytest.mark.parametrize("expr", [1 / sp.sin(t), 1 / sp.exp(t).expand() ** 2 / sp.cos(t), sp.sin(t) ** -3], ids=str)
def test_reciprocals_keep_their_digits(expr):
    """t - s = 1e-60 at 320 bits: a plain difference keeps 120 bits of the 290 asked for."""
    narrow, wide = mpmath_algebra(320), mpmath_algebra(1600)
    near = {s: narrow.number(1), t: narrow.number(1) + narrow.number(10) ** -60}
    exact = {s: wide.number(1), t: wide.context.mpf(near[t])}
    late, early = (evaluate(expr, {t: exact[x]}, wide) for x in (t, s))
    found = evaluate(difference(expr), near, narrow)
    assert abs(wide.context.mpf(found) - (late - early)) < abs(late - early) * wide.context.mpf(2) ** -290


def test_powers_are_taken_apart_up_to_the_eighth():
    for n in (2, MAX_POWER):
        assert difference(sp.sin(t) ** n).is_Mul
    for n in (MAX_POWER + 1, MAX_POWER + 2):
        assert difference(sp.sin(t) ** n) == sp.sin(t) ** n - sp.sin(s) ** n
    assert MAX_POWER == 8
