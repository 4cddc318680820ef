"""Nodes of expressions that only look like others, and polygons with pieces of any width."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy as sp

from derive.schedules import Table
from derive.symbolic import alphabet as ab
from derive.symbolic.evaluate import evaluate, mpmath_algebra

REAL = mpmath_algebra()


def test_only_phi_with_a_whole_index_is_phi() -> None:
    at = {ab.t: REAL.number(Fraction(1, 2))}
    other = sp.Function("f")
    for node in (other(2, ab.t), other(sp.Integer(1), ab.t), other(ab.t)):
        with pytest.raises(TypeError, match="f cannot be evaluated"):
            evaluate(node, at, REAL)
    with pytest.raises(TypeError, match="phi cannot be evaluated"):
        evaluate(ab.phi(sp.Symbol("k"), ab.t), at, REAL)
    half = evaluate(ab.phi(sp.Integer(1), ab.t), at, REAL)
    assert abs(half - 2 * REAL.context.expm1(at[ab.t])) < REAL.context.mpf(2) ** -310


def test_slopes_of_pieces_that_are_not_of_unit_width() -> None:
    """Knots 0, 1/2, 4; values 1, 3, -4: slopes 4 and -2."""
    table = Table("linear", 0.0, 4.0, (1.0, 3.0, -4.0), (0.0, 0.5, 4.0))
    curve, slope = (f(sp.Symbol("q"), ab.t) for f in (ab.tabulated, ab.tabulated_slope))
    for time, height, rise in (
        (Fraction(1, 4), 2, 4),
        (Fraction(1, 2), 3, -2),
        (Fraction(2), 0, -2),
        (Fraction(5), -6, -2),
    ):
        at = {ab.t: REAL.number(time)}
        assert evaluate(curve, at, REAL, {"q": table}) == height
        assert evaluate(slope, at, REAL, {"q": table}) == rise
