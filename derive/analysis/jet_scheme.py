r"""The order of a scheme for *any* smooth kernel, by jets over F_p: one step on a random problem, as series in h.

In the gauge y = x/G and in the method's own variable the differential equation is

    y' = kappa(tau) F(y, tau),     F(y, tau) = sum_r C_r exp(A_r . (y - y_0) + B_r tau)        (random A, B, C; two components)

with a random kernel kappa (or e^{-q tau}, the exponential one). Nothing else distinguishes schedules, integrands and
variables: whatever they are, they give some kappa (a step of DDIM on v, where G = 1, knows the angle int kappa besides:
its Phi and C are the cosine and the sine of it). History values are those of the exact solution at random nodes;
stages, corrector and embedded row are computed by the scheme. Then

    order = valuation(numerical - exact) - 1,

never too low, and too high with probability below 1e-15 (:mod:`derive.symbolic.jets`). Two components and explicit time
separate elementary differentials that a scalar or an autonomous problem confuses.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import factorial
from typing import Any

from sympy.polys.rings import PolyElement

from derive.analysis.jet_order import Modes
from derive.symbolic.forms import Form
from derive.symbolic.jet_algebra import JetAlgebra
from derive.symbolic.jets import Jet, P, residue
from derive.symbolic.moments import MAX_NODES, alphabet
from derive.tableau import Row, Scheme

DIMENSION, MODES = 2, 2
Vector = tuple[Jet, ...]


@dataclass(frozen=True, slots=True)
class SchemeOrder:
    """Orders of the output, and where the scheme has them, of the prediction (with a corrector) and the embedded row."""

    order: int
    predictor: int | None = None
    embedded: int | None = None


def _sum(terms: Sequence[Jet]) -> Jet:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


class _Run:
    """One step of one scheme on one random problem."""

    def __init__(self, scheme: Scheme, rate: Any, terms: int, seed: int) -> None:
        rng = random.Random(f"jet scheme {seed}")
        self.algebra = JetAlgebra(terms, rng.randrange(1 << 30))
        self.modes = Modes.random(DIMENSION, MODES, rng)
        self.h = Jet.variable(terms)
        self.rate = rate
        if rate is None:
            self.kernel = Jet(0, [1, *(rng.randrange(1, P) for _ in range(terms - 1))])
        else:
            self.kernel = self.algebra.exp(self.h * -_number(rate)) if rate else Jet.constant(1, terms)
        self.ratios = [rng.randrange(1, P) for _ in range(MAX_NODES)]
        start = [rng.randrange(1, P) for _ in range(DIMENSION)]
        self.exact = self.modes.solution(Jet.constant(1, terms), self.kernel, start, terms + 1)[0]
        self.values: dict[tuple[str, int], Vector] = {}
        theta = 0
        for j in range(scheme.past + 1):
            self.values["history", j] = self._value(self._exact_at(theta), theta)
            theta = (theta - self.ratios[j]) % P

    def _value(self, y: Vector, theta: int) -> Vector:
        """F at abscissa theta."""
        moved = [c - start[0] for c, start in zip(y, self.exact, strict=True)]
        return self.modes(self.algebra, moved, self.h * theta)

    def _exact_at(self, theta: int) -> Vector:
        """The exact solution at abscissa theta."""
        return tuple(c.at(theta) if theta else Jet.constant(c[0], self.h.precision) for c in self.exact)

    def output(self, row: Row) -> Vector:
        """y at the end of a row."""
        weights = self.weights(row) if row.transfer == "exact" else []
        out = [Jet.constant(c[0], self.h.precision) for c in self.exact]
        if row.transfer == "ddim":  # the variable of dx = v dphi is the angle, whatever chi is
            sine, cosine = self.algebra.sincos(self.kernel.integral().at(_number(row.end)))
            weights = [sine * _number(form.at_zero) for form in row.given]
            out = [start * cosine for start in out]
        for node, weight in zip(row.nodes, weights, strict=True):
            value = self.values[node.kind, node.index]
            out = [o + weight * v for o, v in zip(out, value, strict=True)]
        return tuple(out)

    def weights(self, row: Row) -> list[Jet]:
        end = _number(row.end)
        at_end = self.kernel.at(end)
        mu: list[Jet] = []
        power, span = self.kernel, self.h * end
        for _ in range(len(row.nodes) if row.interpolatory else len(alphabet().mu)):  # other weights may name any phi_k
            whole = power.integral().at(end)  # int_0^{end h} kappa tau^k
            mu.append(whole / (at_end * _power(span, len(mu) + 1)))
            power = power * self.h
        if row.given:
            thetas = [_number(n.theta) if isinstance(n.theta, PolyElement) is False else 0 for n in row.nodes]
            return [self.h * at_end * self._form(f, row, t, mu) for f, t in zip(row.given, thetas, strict=True)]
        moments = [self._element(m, mu, at_end) for m in row.moments]
        nodes = [self._ratio_number(theta) for theta in row.relative]
        return [w * self.h * end * at_end for w in _interpolatory(nodes, moments)]

    def _form(self, form: Form, row: Row, theta: int, mu: Sequence[Jet]) -> Jet:
        total = Jet(self.h.precision, ())
        for (k, c), q in form.terms:
            if not c:
                value = Jet.constant(1, self.h.precision)
            elif self.rate is not None:
                value = (
                    self.algebra.phi(k, self.h * (_number(c) * _number(self.rate))) if self.rate else _flat(k, self.h)
                )
            elif k == 0:
                value = (
                    self.kernel.at(theta) / self.kernel.at(_number(row.end))
                    if theta
                    else 1 / self.kernel.at(_number(row.end))
                )
            else:
                value = mu[k - 1] / factorial(k - 1)
            total = total + value * _number(q)
        return total

    def _ratio_number(self, element: Any) -> int:
        if not isinstance(element, PolyElement):
            return _number(element)
        total = 0
        for monom, coefficient in element.terms():
            term = _number(coefficient)
            for exponent, ratio in zip(monom, self.ratios):
                term = term * pow(ratio, exponent, P) % P
            total += term
        return total % P

    def _element(self, element: PolyElement, mu: Sequence[Jet], at_end: Jet) -> Jet:
        """A moment: polynomial in ratios, mu_k and phi_k = mu_{k-1}/(k-1)!, phi_0 = kappa(0)/kappa(end)."""
        phi = [1 / at_end, *(m / factorial(k) for k, m in enumerate(mu))]
        width = len(alphabet().r)
        generators: list[Any] = [*mu, *[None] * (len(alphabet().mu) - len(mu)), *phi]
        total = Jet(self.h.precision, ())
        for monom, coefficient in element.terms():
            head = element.ring.from_dict({monom[:width] + (0,) * (len(monom) - width): coefficient})
            term = Jet.constant(self._ratio_number(head), self.h.precision)
            for generator, exponent in zip(generators, monom[width:]):
                for _ in range(exponent):
                    term = term * generator
            total = total + term
        return total


def _flat(k: int, h: Jet) -> Jet:
    return Jet.constant(pow(factorial(k), -1, P), h.precision)


def _power(base: Jet, n: int) -> Jet:
    out = base
    for _ in range(n - 1):
        out = out * base
    return out


def _number(x: Any) -> int:
    """An exact rational in F_p."""
    return residue(x if isinstance(x, int) else Fraction(int(x.numerator), int(x.denominator)))


def _interpolatory(nodes: Sequence[int], moments: Sequence[Jet]) -> list[Jet]:
    """V w = m by Lagrange, nodes in F_p."""
    out = []
    for j, node in enumerate(nodes):
        polynomial, scale = [1], 1
        for i, other in enumerate(nodes):
            if i != j:
                polynomial = [(u - other * v) % P for u, v in zip([0, *polynomial], [*polynomial, 0])]
                scale = scale * (node - other) % P
        inverse = pow(scale, -1, P)
        out.append(_sum([m * (c * inverse % P) for c, m in zip(polynomial, moments)]))
    return out


def _order(found: Vector, exact: Vector) -> int:
    """Valuation of the error minus one."""
    worst = min((a - b for a, b in zip(found, exact, strict=True)), key=lambda e: e.valuation)
    return (worst.precision if worst.is_zero else worst.valuation) - 1


def certify_scheme(scheme: Scheme, rate: Any, *, terms: int = 12, seed: int = 0) -> SchemeOrder:
    """The order of a scheme at random step ratios; ``rate`` q for the kernel e^{q h (1 - theta)}, None for any kernel.

    ``terms``: orders up to ``terms`` - 3 are told apart. With a corrector the order is that of the corrected value, its
    history being exact: the perturbation of the values by their predictions is one order higher.
    """
    run = _Run(scheme, rate, terms, seed)
    for i, row in enumerate(scheme.stages, 1):
        run.values["stage", i] = run._value(run.output(row), _number(row.end))
    found = run.output(scheme.output)
    order, predictor, embedded = _order(found, run.exact), None, None
    if scheme.corrector is not None:
        predictor = order
        run.values["stage", 1] = run._value(found, 1)
        order = min(_order(run.output(scheme.corrector), run.exact), predictor + 1)
    if scheme.embedded is not None:
        run.values["stage", len(scheme.stages) + 1] = run._value(found, 1)
        embedded = _order(run.output(scheme.embedded), run.exact)
    return SchemeOrder(order, predictor, embedded)


__all__ = ["SchemeOrder", "certify_scheme"]
