"""Flows whose clock depends on the picture, on the pipeline or on a last level, beside diffusers."""

import math

import numpy as np
import pytest

from derive.errors import SpecError
from derive.importing import Asked, asked, imported
from derive.imports.reading import Config

diffusers = pytest.importorskip("diffusers")
from tests.imports.test_parity import CLOSE, DPM, UNIPC, apart, ours, theirs  # noqa: E402

EULER = "FlowMatchEulerDiscreteScheduler"
STEPS = (1, 2, 5, 10, 20, 50)
DYNAMIC = {"use_dynamic_shifting": True, "shift": 3.0}
FLUX = {**DYNAMIC, "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096}
LTX = {**DYNAMIC, "base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 1024, "shift_terminal": 0.1}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
CASES = {
    "flux, 1024 x 1024": (EULER, FLUX, asked(None, "1024x1024", None, "pipeline"), 1.15),
    "flux, 768 x 512": (EULER, FLUX, asked(None, "768x512", None, "pipeline"), 0.5 + 0.65 * 1280 / 3840),
    "sd 3.5": (EULER, FLUX, asked(None, None, 1024, "scheduler"), 0.5 + 0.65 * 768 / 3840),
    "flux schnell": (EULER, {"shift": 1.0}, Asked(sigmas="pipeline"), None),
    "linear": (EULER, {**DYNAMIC, "time_shift_type": "linear"}, Asked(2.5), 2.5),
    "ltx": (EULER, LTX, Asked(1.7, sigmas="pipeline"), 1.7),
    "fixed, to a last level": (EULER, {"shift": 2.0, "shift_terminal": 0.02}, Asked(), None),
    "karras": (EULER, {"shift": 3.0, "use_karras_sigmas": True}, Asked(), None),
    "exponential": (EULER, {**DYNAMIC, "use_exponential_sigmas": True}, Asked(0.8, sigmas="pipeline"), 0.8),
    "beta": (EULER, {"shift": 3.0, "use_beta_sigmas": True}, Asked(), None),
    "beta, to a last level": (EULER, {"shift_terminal": 0.05, "use_beta_sigmas": True}, Asked(), None),
    "unipc": (UNIPC, {**FLOW, "use_dynamic_shifting": True}, Asked(0.9), 0.9),
    "unipc, pipeline": (UNIPC, {**FLOW, "flow_shift": 3.0}, Asked(sigmas="pipeline"), None),
    "unipc, to a last level": (UNIPC, {**FLOW, "flow_shift": 3.0, "shift_terminal": 0.1}, Asked(), None),
    "dpm": (DPM, {**FLOW, "use_dynamic_shifting": True}, Asked(1.1), 1.1),
}  # fmt: skip
FAST = ("flux, 1024 x 1024", "ltx", "beta", "unipc")


SHARED = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("name", SHARED)
def test_grid_and_trajectory_are_theirs(name, made):
    kind, options, also, mu = CASES[name]
    for steps in STEPS:
        if steps == 1 and options.get("shift_terminal"):
            continue  # 0/0 there; refused here
        passed = {} if mu is None else {"mu": mu}
        if also.sigmas == "pipeline":
            passed["sigmas"] = np.linspace(1.0, 1 / steps, steps)
        else:
            passed["num_inference_steps"] = steps
        scheduler = getattr(diffusers, kind)(**options)
        start, seen, their_times = theirs(scheduler, steps, **passed)
        plan, here, times = ours(*made(kind, options, steps, also), start, False)
        assert times == pytest.approx(their_times, rel=1e-6, abs=1e-3), steps
        assert plan.nodes == pytest.approx(scheduler.sigmas.tolist(), rel=2e-6, abs=1e-7), steps
        assert apart(seen, here) < CLOSE, steps


def test_the_shift_is_that_of_the_picture(made):
    """exp(mu), with mu on the straight line of the page."""
    config = Config("c.json", {"_class_name": EULER, **FLUX})
    shifts = [
        imported(config, 4, also=also).spec.problem.schedule.parameters["shift"]
        for also in (asked(None, "1024x768", None, "pipeline"), asked(None, None, 3072, "pipeline"), Asked(0.977))
    ]
    assert shifts[0] == shifts[1] and float(shifts[0]) == pytest.approx(math.exp(0.5 + 0.65 * 2816 / 3840), rel=1e-14)
    assert float(shifts[2]) == pytest.approx(float(shifts[0]), rel=1e-3)


def test_times_that_double_precision_cuts_one_below():
    """Shift 3 at u = 7/10 is 7/8 exactly; 874 there. The spec keeps 875 and says with which times theirs is followed."""
    config = Config("c.json", {"_class_name": UNIPC, **FLOW, "flow_shift": 3.0})
    found = imported(config, 10, also=Asked(sigmas="pipeline"))
    assert math.floor(1000 * found.call["nodes"][3]) == 874 and "nodes=[0.999999, " in found.text
    assert imported(config, 10).call == {} and "nodes" not in imported(config, 10).text


def test_a_rounding_in_the_middle_is_refused():
    config = Config("c.json", {"_class_name": DPM, "use_exponential_sigmas": True})
    assert imported(config, 11).spec and imported(config, 13).spec
    with pytest.raises(SpecError, match=r"use_exponential_sigmas.*false for 12 steps; another --steps"):
        imported(config, 12)
