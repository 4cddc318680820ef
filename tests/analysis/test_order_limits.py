"""Which residual limits an order: one that does not vanish may yet be of higher order in h than the one that counts."""

from __future__ import annotations

import pytest
import sympy as sp
from sympy import QQ

from derive.analysis.order import row_order, uniform_order
from derive.symbolic.field import TERMS
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel, multistep_row

AB = alphabet()
DATA = Kernel(QQ(-1))


def flat(valuation: int):
    """A combination of phi_1, phi_2, .. that is c z^valuation + ..: of ``valuation`` + 1 of them, by linear algebra."""
    count = valuation + 1
    rows = [[sp.Rational(1, sp.factorial(n + k)) for k in range(1, count + 1)] for n in range(valuation)]
    [null] = sp.Matrix(valuation, count, [x for row in rows for x in row]).nullspace() if rows else [sp.Matrix([1])]
    return sum((AB.phi[k] * QQ(int(q.p), int(q.q)) for k, q in enumerate(null, start=1)), start=AB.ring.zero)


@pytest.mark.parametrize(
    ("moment", "valuation", "order", "limiting"),
    [(1, 0, 1, 1), (1, 1, 2, 1), (1, 2, 3, 1), (1, 3, 3, 3), (1, 5, 3, 3), (2, 1, 3, 2), (2, 3, 3, 3), (0, 4, 3, 3)],
)
def test_a_residual_counts_with_its_powers_of_h(moment: int, valuation: int, order: int, limiting: int) -> None:
    """Moment k off by O(h^v) costs nothing where k + v is at least the order that the nodes have."""
    exact = multistep_row(3, DATA).exact[moment]
    found = row_order(multistep_row(3, DATA, {moment: exact + flat(valuation)}), DATA.rate)
    assert (found.order, found.limiting.moment, found.stiff_order) == (order, limiting, moment)
    assert found.residuals[moment].series.valuation == valuation and not found.residuals[moment].vanishes
    assert uniform_order(multistep_row(3, DATA, {moment: exact + flat(valuation)}), DATA.rate) == order
    both = {moment, 3} if moment + valuation == 3 else {limiting}
    assert {k for k, _ in found.constants} == both


def test_a_residual_beyond_all_terms_is_not_called_zero() -> None:
    """It is an element of the field that is not zero; what it does to the order cannot be told."""
    z = sp.Symbol("z")
    curves = [sum(z**n / sp.factorial(n + k) for n in range(TERMS)) for k in range(1, 10)]
    known = [*zip(AB.phi[1:10], curves, strict=True), (AB.ring.one, sp.Integer(1))]
    known += [(AB.phi[1] * AB.phi[k], sp.expand(curves[0] * curves[k - 1])) for k in (1, 2)]
    columns = [[sp.Poly(curve, z).coeff_monomial(z**n) for n in range(TERMS)] for _, curve in known]
    null = sp.Matrix(columns).T.nullspace()[0]
    tiny = sum((e * QQ(int(q.p), int(q.q)) for (e, _), q in zip(known, null, strict=True)), start=AB.ring.zero)
    exact = multistep_row(2, Kernel(QQ(1))).exact[1]
    with pytest.raises(ValueError, match=f"moment 1: residual is not zero but vanishes to order {TERMS} in h"):
        row_order(multistep_row(2, Kernel(QQ(1)), {1: exact + tiny}), QQ(1))
