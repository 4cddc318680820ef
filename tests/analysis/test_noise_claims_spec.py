"""Weak and strong orders that a spec claims: provable ones pass, others are refused with what is provable."""

from __future__ import annotations

import pytest

from derive.errors import SpecError
from derive.pipeline import derive
from derive.spec import read_spec_text

SPEC = """
name: claimed
problem: {kind: KIND, schedule: {kind: vp_linear}, prediction: noise}
method: {family: exponential_multistep, steps: 2, integrand: data}
claims: {CLAIM}
"""


def claimed(claim, kind="sde"):
    return derive(read_spec_text(SPEC.replace("CLAIM", claim).replace("KIND", kind)))


def test_what_is_proved_may_be_claimed_and_is_written_back():
    derived = claimed("weak_order: 2, strong_order: 1")
    assert (derived.proof.noise.weak, derived.proof.noise.strong) == (2, 1)
    assert read_spec_text(derived.spec.canonical()) == derived.spec
    half = read_spec_text(SPEC.replace("CLAIM", "strong_order: 1/2").replace("KIND", "sde"))
    assert "strong_order: 1/2" in half.canonical() and read_spec_text(half.canonical()) == half


@pytest.mark.parametrize(
    ("claim", "kind", "message"),
    [
        ("weak_order: 3", "sde", "weak_order 3 is not provable with start ramp, final lower_order; provable 2"),
        ("strong_order: 3/2", "sde", "strong_order 3/2 is not provable with start ramp, final lower_order; provable 1"),
        ("weak_order: 1", "diffusion", "weak_order 1 is not provable: this method has none"),
        ("strong_order: 0", "sde", "claims.strong_order"),
    ],
)
def test_more_is_refused(claim, kind, message):
    with pytest.raises(SpecError, match=message):
        claimed(claim, kind)
