"""Residues that stand for transcendental constants obey the relations of what they stand for."""

from __future__ import annotations

import pytest

from derive.symbolic.jet_algebra import JetAlgebra
from derive.symbolic.jets import Jet, P, square_root

TERMS = 10


def variable(base: int) -> Jet:
    return Jet(0, [base, 1] + [0] * (TERMS - 2))


@pytest.mark.parametrize("seed", range(4))
def test_sine_and_cosine_of_an_arcus(seed: int) -> None:
    """tan(atan f) = f, sin^2 + cos^2 = 1, cos(atan f)^2 (1 + f^2) = 1, where 1 + f^2 has a root."""
    algebra = JetAlgebra(TERMS, seed)
    bases = [b for b in range(2, 60) if pow(1 + b * b, (P - 1) // 2, P) == 1]
    assert len(bases) > 10
    for base in bases:
        f = variable(base)
        angle = algebra.atan(f)
        s, c = algebra.sincos(angle)
        assert s / c == f and s * s + c * c == 1 and c * c * (f * f + 1) == 1
        assert c[0] in (pow(square_root(1 + base * base), -1, P), -pow(square_root(1 + base * base), -1, P) % P)
        assert algebra.atan(-f) == -angle


@pytest.mark.parametrize("seed", range(4))
def test_exponentials_have_halves_and_quarters(seed: int) -> None:
    algebra = JetAlgebra(TERMS, seed)
    f = variable(12345)
    e = algebra.exp(f)
    quarter = algebra.exp(f / 4)
    assert quarter * quarter == algebra.exp(f / 2) and quarter * quarter * quarter * quarter == e
    assert e * algebra.exp(-f) == 1 and algebra.exp(f * 8) == e * e * e * e * e * e * e * e
    assert algebra.log(e) == f and algebra.sqrt(e) * algebra.sqrt(e) == e


def test_half_powers_exist_of_every_exponential_that_is_drawn() -> None:
    """exp(c/4) is drawn as a square, so that exp(c/8) and the root of a jet with that constant term are in the field."""
    for seed in range(30):
        algebra = JetAlgebra(TERMS, seed)
        whole, quarter = (algebra.exp_constant(c) for c in (7, 7 * pow(4, -1, P) % P))
        assert pow(quarter, 4, P) == whole and pow(quarter, (P - 1) // 2, P) == 1
        root = algebra.sqrt(variable(0) + quarter)
        assert root * root == variable(0) + quarter


def test_the_exponential_of_nothing_known_is_nothing_known() -> None:
    """A jet of no terms stays one; a jet of one term is its constant."""
    algebra = JetAlgebra(TERMS)
    assert algebra.exp(Jet(0, ())).precision == 0
    one = algebra.exp(Jet(0, [5]))
    assert one.precision == 1 and one[0] == algebra.exp_constant(5)


def test_inverse_hyperbolic_functions_on_their_branches() -> None:
    """cosh(acosh f) = f, and acosh takes the branch with e^y = f + sqrt(f^2 - 1)."""
    algebra = JetAlgebra(TERMS)
    base = next(b for b in range(2, 99) if pow(b * b - 1, (P - 1) // 2, P) == 1)
    f = variable(base)
    y = algebra.acosh(f)
    assert algebra.exp(y) == f + algebra.sqrt(f * f - 1)
    assert (algebra.exp(y) + 1 / algebra.exp(y)) / 2 == f


def test_powers_keep_their_sign() -> None:
    algebra = JetAlgebra(TERMS)
    f = variable(3)
    assert algebra.pow(f, 1) == f and algebra.pow(f, 2) == f * f and algebra.pow(f, -1) * f == 1
