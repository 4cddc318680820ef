"""Tables of decisions with noise: what their steps are, what they prove, and which entries have no noise."""

import pytest
from sympy import QQ

from derive import pipeline
from derive.analysis.wiener_series import ONE, H, add, of_form, scaled, times, weighed
from derive.errors import SpecError
from derive.spec import read_spec_text
from derive.symbolic.forms import collect

HEAD = """\
name: sde_of_decisions
description: "a test"
problem:
  kind: sde
  schedule: {kind: vp_linear}
  prediction: {kind: noise}
  tau: 1
method:
"""
TABLE = "  family: decisions\n  integrand: data\n  variable: lambda\n  table: ["
PUBLISHED = '{order: 3, weights: {moments: {2: "phi3 + 1/z"}}}'


def claims(*entries):
    text = HEAD + TABLE + ", ".join(entries) + "]\n"
    return pipeline.derive(read_spec_text(text)).claims


def test_a_table_is_as_weak_as_its_weakest_entry():
    entries = ["{order: 1}", "{order: 2, weights: midpoint}", "{order: 2}"]
    found = [claims(*entries[:k])["weak_order"] for k in (1, 3)]
    assert found == [1, 1]
    assert claims("{order: 1}", "{order: 2}", PUBLISHED)["weak_order"] == 0


@pytest.mark.parametrize("entry", [
    "{order: 2, corrector: implicit}", "{order: 2, back: 1}", "{order: 0}", "{order: 1, integrand: noise}",
])  # fmt: skip
def test_entries_without_a_noise_of_their_own(entry):
    with pytest.raises(SpecError, match=r"problem\.kind: sde with"):
        claims("{order: 1}", entry)


def test_a_pole_is_a_power_of_h():
    """h (phi_2(z) + 1/z) at z = -2 h: of h/z nothing is left but -1/2."""
    z = scaled(H, QQ(-2))
    plain, pole = collect([((2, QQ(1)), QQ(1))]), collect([((-1, QQ(1)), QQ(1))])
    assert weighed(H, plain, z) == times(H, of_form(plain, z))
    assert weighed(H, plain + pole, z)[:3] == add(times(H, of_form(plain, z)), scaled(ONE, QQ(-1, 2)))[:3]
