r"""The moment equation V w = m: weights, Newton moments and residuals as exact elements of a rational function field.

A row of an exponential general linear method advances over one step, theta in [0, 1], from values of the integrand at the
nodes theta_j with weights w_j that reproduce the moments (Hochbruck-Ostermann 2010, Sec. 2.3; Calvo-Palencia 2006)

    sum_j w_j theta_j^k = mu_k,    mu_k = int_0^1 kappa(theta) theta^k dtheta,    k = 0 .. K-1,

where kappa is the normalised kernel of the variation-of-constants formula. For kappa = e^{z(1-theta)}, mu_k = k! phi_{k+1}(z).
History nodes are theta_0 = 0, theta_1 = -r0, theta_2 = -(r0+r1), ... with the step ratios r_j = h_{n-1-j}/h_n.

Everything lives in the ring Q[r0, r1, .., mu0, mu1, .., phi1, phi2, ..]: the ratios stay symbolic, the moments stay symbolic,
and a weight is an unreduced fraction N_j/D_j whose denominator is a product of node differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import factorial

from sympy import QQ
from sympy.polys.rings import PolyElement, PolyRing, ring

MAX_NODES = 8


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The polynomial ring of rows with up to MAX_NODES nodes: ratios r_j, moments mu_k, phi_k."""

    ring: PolyRing
    r: tuple[PolyElement, ...]
    mu: tuple[PolyElement, ...]
    phi: tuple[PolyElement, ...]
    """phi[k] is phi_k; phi[0] = e^z is a generator of its own."""
    pole: PolyElement
    """1/z: of overrides only, for published rows that divide by the step."""


@cache
def alphabet() -> Alphabet:
    """The ring Q[r0..r7, mu0..mu8, phi0..phi9, 1/z] of up to eight nodes, and its generators."""
    r = [f"r{j}" for j in range(MAX_NODES)]
    mu = [f"mu{k}" for k in range(MAX_NODES + 1)]
    phi = [f"phi{k}" for k in range(MAX_NODES + 2)]
    rng, *gens = ring([*r, *mu, *phi, "pole"], QQ)
    named = dict(zip(map(str, gens), gens))
    ratios, moments, functions = (tuple(named[name] for name in names) for names in (r, mu, phi))
    return Alphabet(rng, ratios, moments, functions, named["pole"])


def history_nodes(count: int) -> tuple[PolyElement, ...]:
    """theta_0 = 0, theta_1 = -r0, theta_2 = -(r0 + r1), ...: the newest value and ``count - 1`` past ones."""
    ab = alphabet()
    thetas = [ab.ring.zero]
    for j in range(count - 1):
        thetas.append(thetas[-1] - ab.r[j])
    return tuple(thetas)


def exact_moments(count: int, exponential: bool) -> tuple[PolyElement, ...]:
    """mu_0 .. mu_{count-1}: ``k! phi_{k+1}`` for an exponential kernel, the abstract generators otherwise."""
    ab = alphabet()
    return tuple(factorial(k) * ab.phi[k + 1] if exponential else ab.mu[k] for k in range(count))


def monomials(thetas: Sequence[PolyElement]) -> list[PolyElement]:
    """Coefficients c_0 .. c_n of ``prod_j (theta - theta_j)`` in powers of theta."""
    rng = alphabet().ring
    coefficients = [rng.one]
    for node in thetas:
        shifted = [rng.zero, *coefficients]
        for i, c in enumerate(coefficients):
            shifted[i] = shifted[i] - node * c
        coefficients = shifted
    return coefficients


def newton_moments(thetas: Sequence[PolyElement], mu: Sequence[PolyElement]) -> tuple[PolyElement, ...]:
    """M_k = int kappa prod_{j<k} (theta - theta_j) dtheta for k = 0 .. len(mu)-1, given the moments mu of kappa.

    With mu_k = k! phi_{k+1}: M_0 = phi1, M_1 = phi2, M_2 = 2 phi3 + r0 phi2, M_3 = 6 phi4 + 2(2 r0 + r1) phi3 + r0 (r0 + r1) phi2.
    """
    moments = []
    for k in range(len(mu)):
        coefficients = monomials(thetas[:k])
        moments.append(sum((c * m for c, m in zip(coefficients, mu)), start=alphabet().ring.zero))
    return tuple(moments)


@dataclass(frozen=True, slots=True)
class Weight:
    """``numerator / prod(differences)``: an unreduced element of the fraction field; no common divisor is ever computed."""

    numerator: PolyElement
    differences: tuple[PolyElement, ...]

    @property
    def denominator(self) -> PolyElement:
        product = alphabet().ring.one
        for factor in self.differences:
            product = product * factor
        return product


def lagrange_weights(thetas: Sequence[PolyElement], mu: Sequence[PolyElement]) -> tuple[Weight, ...]:
    """The solution of V w = mu: w_j = (int kappa prod_{i != j} (theta - theta_i)) / prod_{i != j} (theta_j - theta_i)."""
    weights = []
    for j, node in enumerate(thetas):
        others = [*thetas[:j], *thetas[j + 1 :]]
        numerator = sum((c * m for c, m in zip(monomials(others), mu)), start=alphabet().ring.zero)
        weights.append(Weight(numerator, tuple(node - other for other in others)))
    return tuple(weights)


def reproduced_moment(
    thetas: Sequence[PolyElement], weights: Sequence[Weight], k: int
) -> tuple[PolyElement, PolyElement]:
    """``sum_j w_j theta_j^k`` as (numerator, denominator) in the ring, over the product of all node differences i < j."""
    rng = alphabet().ring
    total, common = rng.zero, rng.one
    for weight, node in zip(weights, thetas):
        denominator = weight.denominator
        total = total * denominator + weight.numerator * (node**k if k else rng.one) * common
        common = common * denominator
    return total, common


def specialise(element: PolyElement, ratios: Sequence[Fraction]) -> PolyElement:
    """The element at rational step ratios, still symbolic in moments and phi functions."""
    rng = element.ring
    width = len(alphabet().r)
    powers: dict[tuple[int, ...], object] = {}
    domain = rng.domain
    values = [domain.convert(domain(v.numerator) / domain(v.denominator)) for v in ratios]
    for monom, coefficient in element.terms():
        for exponent, value in zip(monom[:width], values):
            if exponent:
                coefficient = coefficient * value**exponent
        key = (0,) * len(values) + monom[len(values) :]
        powers[key] = powers.get(key, domain.zero) + coefficient
    return rng.from_dict({k: v for k, v in powers.items() if v})
