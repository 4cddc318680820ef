r"""Classical order on non-uniform grids, from the moments a row really reproduces.

With mt_k = sum_j w_j theta_j^k and m_k = int kappa theta^k, the local error of a row is

    exact - numerical = C sum_k (h^k/k!) (m_k - mt_k) F^{(k)},      C = O(h),

so the row has order p exactly when m_k - mt_k = O(h^{p-k}) for all k < p and this fails for p+1; all step ratios stay
symbolic. The proof re-computes mt_k from the weights: it never trusts the family that made them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import factorial

from sympy import QQ
from sympy.polys.rings import PolyElement

from derive.symbolic.field import TERMS, Series, expand, is_zero
from derive.symbolic.moments import MAX_NODES, alphabet, newton_moments, reproduced_moment, specialise
from derive.tableau import Row

SYMBOLIC_NODES = 4
"""Up to here V w = m is expanded in all ratios; above, it is decided at rational ratios (Schwartz-Zippel, z symbolic)."""

PRIMES = (
    1000003,
    999983,
    611953,
    1299709,
    2750159,
    1046527,
    524287,
    786433,
    131071,
    611957,
    7654319,
    1048583,
    99991,
    65537,
)

PROBES: tuple[tuple[Fraction, ...], ...] = tuple(
    tuple(Fraction(PRIMES[(j + shift) % 14], PRIMES[(3 * j + shift + 5) % 14]) for j in range(MAX_NODES))
    for shift in (0, 4)
)
"""Step ratios with large primes: a non-zero residual of a row vanishes at one of them with probability below 1e-5, at both below 1e-10."""


@dataclass(frozen=True, slots=True)
class Residual:
    """mt_k - m_k of moment k, as it expands in h; ``ratio`` is mt_k/m_k for h -> 0 where that is a number."""

    moment: int
    series: Series
    ratio: Fraction | None
    vanishes: bool

    def __str__(self) -> str:
        """In units of the prefactor P of the kernel (C = P h): h (mt_k - m_k)."""
        return str(self.series.times_h())


@dataclass(frozen=True, slots=True)
class RowOrder:
    """What holds for a row: ``order`` is proved and ``order + 1`` refuted by the residual of ``limiting``.

    stiff_order: number of leading moments reproduced identically in z (order uniform in the stiffness).
    constants: (k, c_k): exact - numerical = C h^order (sum_k c_k h^0 F^{(k)}) + higher, as exact elements of Q[r, kappa].
    """

    order: int
    stiff_order: int
    residuals: tuple[Residual, ...]
    limiting: Residual
    constants: tuple[tuple[int, PolyElement], ...]

    @property
    def consistent(self) -> bool:
        return self.order >= 1


def reproduced(row: Row, k: int) -> PolyElement:
    """mt_k = sum_j w_j theta_j^k as a ring element: recomputed from the weights, and checked against what the row declares.

    Raises ValueError if the weights do not solve the row's own moment equation.
    """
    if row.given:
        return _reproduced_by_given(row, k)
    ab = alphabet()
    weights = row.weights
    if k < len(row.moments):
        numerator, denominator = (
            reproduced_moment(row.thetas, weights, k) if len(row.nodes) <= SYMBOLIC_NODES else (None, None)
        )
        if numerator is not None:
            if numerator - row.moments[k] * denominator:
                raise ValueError(f"{row.name}: weights do not reproduce moment {k}")
        else:
            for probe in PROBES:
                if not _holds_at(row, k, probe):
                    raise ValueError(f"{row.name}: weights do not reproduce moment {k}")
        return row.moments[k]
    # theta^K interpolated on K nodes: theta^K minus the Newton polynomial of the nodes.
    if k != len(row.moments):
        raise ValueError("only the first moment beyond the nodes is needed")
    nodal = newton_moments(row.thetas, (*row.moments, ab.ring.zero))[-1]
    return -nodal


def _reproduced_by_given(row: Row, k: int) -> PolyElement:
    """The same for typed weights sum_i q_i phi_{k_i}(z) on distinct nodes."""
    total = alphabet().ring.zero
    for form, theta in zip(row.given, row.relative, strict=True):
        for (index, argument), q in form.terms:
            if argument not in (0, row.end) or (index == 0 and argument):
                raise ValueError(f"{row.name}: the weight {form} is not linear in the moments of the row")
            value = row.exact[index - 1] * QQ(1, factorial(index - 1)) if argument else alphabet().ring.one
            total = total + value * (q / row.end) * (theta**k if k else 1)
    if k < len(row.moments) and total - row.moments[k]:
        raise ValueError(f"{row.name}: weights do not reproduce moment {k}")
    return total


def _holds_at(row: Row, k: int, probe: tuple[Fraction, ...]) -> bool:
    thetas = tuple(specialise(t, probe) for t in row.thetas)
    rng = alphabet().ring
    total = rng.zero
    for weight, theta in zip(row.weights, thetas):
        denominator = rng.one
        for difference in weight.differences:
            denominator = denominator * specialise(difference, probe)
        scale = 1 / denominator.LC
        total = total + specialise(weight.numerator, probe) * (theta**k if k else 1) * scale
    return not total - specialise(row.moments[k], probe)


def row_order(row: Row, rate: object) -> RowOrder:
    """Prove the order of a row and refute the next; ``rate`` is the kernel's (None: any smooth kernel)."""
    residuals = []
    for k in range(len(row.nodes) + 1):
        difference = reproduced(row, k) - row.exact[k]
        residuals.append(_residual(k, difference, row.exact[k], rate))
    order = min((r.moment + r.series.valuation for r in residuals if not r.vanishes), default=TERMS)
    limiting = next(r for r in residuals if not r.vanishes and r.moment + r.series.valuation == order)
    stiff = next((r.moment for r in residuals if not r.vanishes), len(row.nodes))
    constants = tuple(
        (r.moment, -r.series.leading * QQ(1, factorial(r.moment)))
        for r in residuals
        if not r.vanishes and r.moment + r.series.valuation == order
    )
    return RowOrder(order, stiff, tuple(residuals), limiting, constants)


def _residual(k: int, difference: PolyElement, exact: PolyElement, rate: object) -> Residual:
    series = expand(difference, rate)
    zero = is_zero(difference, rate)
    if not zero and series.valuation == TERMS:
        raise ValueError(f"moment {k}: residual is not zero but vanishes to order {TERMS} in h")
    head = series.coefficients[0]
    ratio = None
    if head.is_ground and not series.start:
        value = 1 + (head.LC if head else QQ(0)) / expand(exact, rate).coefficients[0].LC
        ratio = Fraction(int(value.numerator), int(value.denominator))
    return Residual(k, series, ratio, zero)


def uniform_order(row: Row, rate: object) -> int:
    """The order on equal steps in the row's variable: every step ratio 1. Constant weights have their order there only."""
    equal = (Fraction(1),) * MAX_NODES
    residuals = (specialise(reproduced(row, k) - row.exact[k], equal) for k in range(len(row.nodes) + 1))
    series = [(k, r, expand(r, rate)) for k, r in enumerate(residuals)]
    return min((k + s.valuation for k, r, s in series if not is_zero(r, rate)), default=TERMS)


def classical_constant(steps: int) -> tuple[PolyElement, Fraction]:
    """c_k(r) = int_0^1 prod_j (theta - theta_j) / k! on variable steps, and its value on a uniform grid (Adams-Bashforth)."""
    from derive.tableau import Kernel, multistep_row

    row = multistep_row(steps, Kernel(QQ(0)))
    [(_, constant)] = row_order(row, QQ(0)).constants
    return constant, uniform_value(constant)


def uniform_value(constant: PolyElement) -> Fraction:
    """A constant of :class:`RowOrder` with every step ratio 1 (and kappa_i = 0)."""
    width = len(alphabet().r)
    total = QQ(0)
    for monom, coefficient in constant.terms():
        if not any(monom[width:]):
            total += coefficient
    return Fraction(int(total.numerator), int(total.denominator))


def error_function(row: Row) -> PolyElement:
    """M_K(z), K = number of nodes: M_K/K! is the error-constant function of an exact row (componentwise mean value)."""
    return newton_moments(row.thetas, row.exact)[-1]


__all__ = [
    "Residual",
    "RowOrder",
    "classical_constant",
    "error_function",
    "reproduced",
    "row_order",
    "uniform_order",
    "uniform_value",
]
