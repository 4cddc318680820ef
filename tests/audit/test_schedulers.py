"""Schedulers of diffusers and samplers of k-diffusion as they are installed: their rows, and which moment is wrong."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from derive.audit.adapters import adapted

DIFFUSERS = pytest.mark.skipif(find_spec("diffusers") is None, reason="diffusers is not installed")
K_DIFFUSION = pytest.mark.skipif(find_spec("k_diffusion") is None, reason="k-diffusion is not installed")

GOOD = [
    ("DPMSolverMultistepScheduler", {"solver_order": 1}),
    ("DPMSolverMultistepScheduler", {"solver_order": 2, "solver_type": "heun"}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    ("DPMSolverMultistepScheduler", {"prediction_type": "v_prediction"}),
    ("DPMSolverMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True}),
    ("DPMSolverSinglestepScheduler", {"solver_order": 2}),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 2}),
    ("UniPCMultistepScheduler", {"solver_order": 1}),
    ("UniPCMultistepScheduler", {"solver_order": 2}),
    ("UniPCMultistepScheduler", {"solver_order": 2, "solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
    ("UniPCMultistepScheduler", {"solver_order": 3}),
    ("DEISMultistepScheduler", {"solver_order": 2}),
    ("DEISMultistepScheduler", {"solver_order": 3}),
    ("EulerDiscreteScheduler", {}),
    ("HeunDiscreteScheduler", {}),
    ("KDPM2DiscreteScheduler", {}),
    ("DDIMScheduler", {}),
    ("FlowMatchEulerDiscreteScheduler", {}),
    ("FlowMatchHeunDiscreteScheduler", {}),
]
BAD = [
    ("DPMSolverMultistepScheduler", {"solver_order": 3}, 2, "moment 2 is 1/2 of the exact one"),
    (
        "DPMSolverMultistepScheduler",
        {"solver_order": 3, "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
        2,
        "moment 2 is 1/2 of the exact one",
    ),
    (
        "DPMSolverMultistepScheduler",
        {"solver_order": 3, "algorithm_type": "sde-dpmsolver++"},
        1,
        "moment 2 diverges like -1/(2*h)",
    ),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 3}, 2, "moment 2 is 1/2 of the exact one"),
    ("DPMSolverMultistepInverseScheduler", {"solver_order": 3}, 2, "moment 2 is 1/2 of the exact one"),
    ("DPMSolverSinglestepScheduler", {"solver_order": 3}, 2, "2 values reproduce moments 0 to 1 only"),
    ("DEISMultistepScheduler", {"solver_order": 4}, 3, "3 values reproduce moments 0 to 2 only"),
    ("IPNDMScheduler", {}, 1, "moment 1 is (31*r0 - 28*r1 + 9*r2)/12 of the exact one"),
]


def audited(name: str, config: dict[str, object]):
    return adapted(f"diffusers:{name}", dict(config), None)


@DIFFUSERS
def test_dpmpp_2m_is_as_claimed():
    found = audited("DPMSolverMultistepScheduler", {"solver_order": 2})
    assert found.holds and found.data["order"] == 2 == found.data["measured_order"]
    assert found.data["moment_ratios"] == ["1", "1"] and not found.wrong


@DIFFUSERS
def test_dpmpp_3m_has_half_of_moment_2():
    found = audited("DPMSolverMultistepScheduler", {"solver_order": 3})
    assert not found.holds and found.data["order"] == 2 == found.data["measured_order"]
    assert found.data["moment_ratios"] == ["1", "1", "1/2"]
    moment, weight = found.wrong
    assert (moment.got, moment.right) == ("1/6", "1/3") and found.data["exact"] and found.data["order_by_jets"] == 2
    assert weight.got != weight.right


@pytest.mark.slow
@DIFFUSERS
@pytest.mark.parametrize(("name", "config"), GOOD, ids=str)
def test_a_right_scheduler_is_as_claimed(name, config):
    found = audited(name, config)
    assert found.holds, found.lines()


@pytest.mark.slow
@DIFFUSERS
@pytest.mark.parametrize(("name", "config", "order", "because"), BAD, ids=str)
def test_a_wrong_scheduler_is_found(name, config, order, because):
    found = audited(name, config)
    assert not found.holds and found.data["order"] == order and because in found.claims[0].because


@pytest.mark.slow
@DIFFUSERS
@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}),
        ("EDMDPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    ],
)
def test_a_branch_that_is_not_there_is_a_finding(name, config):
    found = audited(name, {"solver_order": 3, **config})
    assert not found.holds and found.claims[0].found is None and "UnboundLocalError" in found.failures[0]


@pytest.mark.slow
@DIFFUSERS
def test_the_tail_of_unipc_costs_two_orders():
    whole = audited("UniPCMultistepScheduler", {"solver_order": 3}).claims[1]
    assert whole.found == 2 and "the last step has order 1" in whole.because


@pytest.mark.slow
@DIFFUSERS
@pytest.mark.parametrize(
    ("name", "config", "least"),
    [
        ("DEISMultistepScheduler", {"solver_order": 3}, 6.5),
        ("DEISMultistepScheduler", {"solver_order": 2}, 4.0),
        ("SASolverScheduler", {"predictor_order": 3, "corrector_order": 3}, 4.5),
    ],
)
def test_digits_that_are_lost_are_said(name, config, least):
    (note,) = (text for text in audited(name, config).notes if text.startswith("float32"))
    assert float(note.rsplit("(", 1)[1].split(" of 7.2")[0]) > least


TWICE = {"solver_order": 2, "solver_type": "heun", "use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}
"""The last sigma stands twice: h = 0, 0/0."""


@pytest.mark.slow
@DIFFUSERS
@pytest.mark.parametrize(
    ("name", "config"),
    [("DPMSolverMultistepScheduler", TWICE), ("UniPCMultistepScheduler", {"solver_type": "bh1"})],
    ids=["repeated sigma", "B(h) = h at sigma = 0"],
)
def test_values_that_are_not_finite_are_found(name, config):
    found = audited(name, config)
    assert found.claims[0].holds and not found.holds
    assert any("50 steps on its own grid: 16 of 16 entries are not finite" in text for text in found.failures)


@K_DIFFUSION
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["euler", "heun", "dpm_2", "lms", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2s_ancestral", "dpmpp_sde"]
)
def test_a_right_sampler_is_as_claimed(name):
    found = adapted(f"k_diffusion.sampling:sample_{name}", {}, None)
    assert found.holds, found.lines()


@K_DIFFUSION
@pytest.mark.slow
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_3m_sde_has_half_of_moment_2(eta):
    found = adapted("k_diffusion.sampling:sample_dpmpp_3m_sde", {"eta": eta}, None)
    assert not found.holds and found.claims[0].because == "moment 2 is 1/2 of the exact one"
