"""Published weights that divide by the step: 1/z in a moment override, proved, refuted and printed."""

from __future__ import annotations

import pytest
from sympy import QQ

from derive.analysis.order import row_order
from derive.errors import SpecError
from derive.families.exponential_multistep import build
from derive.pipeline import derive
from derive.spec import read_spec_text
from derive.symbolic.field import expand, is_zero
from derive.symbolic.forms import Form
from derive.symbolic.moments import alphabet

SPEC = """
name: turned
problem: {kind: KIND, schedule: {kind: vp_linear}, prediction: noise}
method: {family: exponential_multistep, steps: 3, integrand: data, variable: VARIABLE, weights: {moments: {2: "WEIGHT"}}}
claims: {order: CLAIM}
"""


def spec(kind="sde", variable="lambda", weight="phi3 + 1/z", claim=1):
    text = SPEC.replace("KIND", kind).replace("VARIABLE", variable).replace("WEIGHT", weight)
    return read_spec_text(text.replace("CLAIM", str(claim)))


@pytest.mark.parametrize("rate", [QQ(-2), QQ(-1), QQ(3, 2)])
def test_the_pole_is_the_reciprocal_of_z(rate):
    """z phi_{k+1} = phi_k - 1/k!, divided by z."""
    ab = alphabet()
    for k in (1, 2, 3):
        identity = ab.phi[k + 1] - (ab.phi[k] - [1, 1, QQ(1, 2), QQ(1, 6)][k]) * ab.pole
        assert is_zero(identity, rate) and not is_zero(identity + ab.pole * QQ(1, 10**9), rate)
        assert expand(identity, rate).valuation == 10
    assert expand(ab.pole, rate).valuation == -1 and expand(ab.pole, rate).leading == 1 / rate


def test_the_two_ways_to_write_it_are_one_row():
    one, other = (derive(spec(weight=w)).tableau.main for w in ("phi3 + 1/z", "(phi2 + 1/2)/z"))
    assert one.moments == other.moments and is_zero(one.moments[2] - other.moments[2], QQ(-2))


def test_the_third_order_of_diffusers_sde_is_one():
    """(1 - e^(-2h) - 2h)/(2h)^2 - 1/2 for +1/2, and half of it: residual -1/2 of h F''."""
    derived = derive(spec())
    proof = row_order(derived.tableau.main, QQ(-2))
    assert proof.order == derived.proof.order == 1
    assert str(proof.limiting.series.times_h()).startswith("-1/2") and proof.limiting.moment == 2
    with pytest.raises(SpecError, match="order 2 is not provable"):
        derive(spec(claim=2))
    assert "1/z" in str(derived.tableau) and "pole" not in str(derived.tableau)
    assert r"\tfrac{1}{z}" in derived.tableau.latex() and "pole" not in "\n".join(derived.derivation)


def test_it_has_no_meaning_without_an_exponential():
    with pytest.raises(SpecError, match="1/z has no meaning"):
        derive(spec(variable="rho"))
    row = build(derive(spec()).tableau.kernel, 3, "exact", "ramp", "keep").main
    assert row_order(row, QQ(-2)).order == 3


def test_a_form_with_a_pole_has_no_value_at_zero():
    pole = Form((((-1, QQ(2)), QQ(3)),))
    assert str(pole) == "(3)*1/(2*z)" and pole.value(lambda k, c: 1 / (c * QQ(5)), lambda q: q) == QQ(3, 10)
    with pytest.raises(ValueError, match="pole"):
        pole.at_zero
