"""Schedulers of diffusers as it is installed: what their rows are, and which moment is wrong by which factor."""

from __future__ import annotations

import pytest

from derive.audit.adapters import adapted

pytest.importorskip("diffusers", minversion="0.30")


def audited(name: str, **config: object):
    return adapted(f"diffusers:{name}", dict(config), None)


def test_dpmpp_2m_is_as_claimed():
    found = audited("DPMSolverMultistepScheduler", solver_order=2)
    assert found.holds and found.data["order"] == 2 == found.data["measured_order"]
    assert found.data["moment_ratios"] == ["1", "1"] and not found.wrong


def test_dpmpp_3m_has_half_of_moment_2():
    found = audited("DPMSolverMultistepScheduler", solver_order=3)
    assert not found.holds and found.data["order"] == 2 == found.data["measured_order"]
    assert found.data["moment_ratios"] == ["1", "1", "1/2"]
    assert found.claims[0].because == "moment 2 is 1/2 of the exact one"
    moment, weight = found.wrong
    assert float(moment.got) == pytest.approx(float(moment.right) / 2, rel=1e-6)
    assert weight.got != weight.right
