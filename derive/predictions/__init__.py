"""Predictions: what a network returns, as one vector ``N = c0 x0 + c1 eps``. One file each; every conversion is one 2x2 solve.

The folder is the registry: ``predictions/<kind>.py`` exports ``PARAMETERS``, ``REFERENCE`` and
``build(**parameters) -> Prediction``. An interpolated quantity (the ``integrand`` of a method) is the same kind of object.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp


@dataclass(frozen=True, slots=True)
class Prediction:
    """``N = c0 x0 + c1 eps`` with c0, c1 in (alpha, sigma, rho, dalpha, dsigma, t); see alphabet.

    factor: the integrating factor G (Phi(t, s) = G(t)/G(s)) of ``x' = A x + B N`` in (alpha, sigma, rho), if it is elementary;
        it must satisfy G'/G = A = (alpha' c1 - sigma' c0)/(alpha c1 - sigma c0) identically (THEORY: parameterization lemma),
        which a test checks for abstract alpha(t), sigma(t).
    """

    kind: str
    c0: sp.Expr
    c1: sp.Expr
    factor: sp.Expr | None = None
