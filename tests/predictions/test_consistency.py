"""The consistency function as a prediction: what a network says about f, whatever it was trained to return."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy as sp

from derive.predictions import consistency, convert, data
from derive.symbolic.alphabet import alpha, sigma, t

OUTPUTS = {"noise": (0, 1), "data": (1, 0), "v": (-sigma, alpha)}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("scaling, width", [(10, Fraction(1, 2)), (3, Fraction(2, 3))])
def test_the_data_is_the_consistency_function(output, scaling, width):
    """x0 = cx x + cr N is c_skip x + c_out x0hat, with N = n0 x0hat + n1 epshat of x = alpha x0hat + sigma epshat."""
    quantity = consistency.build(output, Fraction(scaling), width)
    cx, cr = convert(quantity, data.build())
    x0, eps = sp.symbols("x0 eps")
    n0, n1 = OUTPUTS[output]
    x = alpha * x0 + sigma * eps
    found = cx * x + cr * (n0 * x0 + n1 * eps)
    scaled, w = scaling * t, sp.Rational(width.numerator, width.denominator)
    meant = w**2 / (scaled**2 + w**2) * x + scaled / sp.sqrt(scaled**2 + w**2) * x0
    for values in (
        {alpha: 0.6, sigma: 0.8, t: 19, x0: 1.25, eps: -0.5},
        {alpha: 0.3, sigma: 0.7, t: 0.1, x0: -2, eps: 3},
    ):
        assert float((found - meant).subs(values)) == pytest.approx(0, abs=1e-12)


def test_at_the_first_training_step_it_is_the_sample():
    skip, out = consistency.scalings(Fraction(10), Fraction(1, 2))
    assert (skip.subs(t, 0), out.subs(t, 0)) == (1, 0)
    assert float(skip.subs(t, 999)) == pytest.approx(0.25 / (9990**2 + 0.25), rel=1e-14)
    assert float(out.subs(t, 999)) == pytest.approx(9990 / (9990**2 + 0.25) ** 0.5, rel=1e-14)
