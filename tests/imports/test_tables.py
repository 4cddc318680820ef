"""Configurations whose specs are tables for one number of steps: what they refuse, and what they say."""

import json

import pytest

from derive.cli import main
from derive.families.decisions import PARAMETERS
from derive.imports.methods import LONGEST, singlestep_orders

PNDM, SINGLE = "PNDMScheduler", "DPMSolverSinglestepScheduler"


@pytest.mark.parametrize(
    ("kind", "options", "steps", "said"),
    [
        (PNDM, {}, "3", "skip_prk_steps: got False; allowed: true; false for at least 4 steps"),
        (PNDM, {}, "40", "skip_prk_steps: got False; allowed: true; false for --steps with an even stride, not 25"),
        (PNDM, {"skip_prk_steps": True}, "1", "set_alpha_to_one: got False; allowed: true, or steps_offset from 1"),
        (PNDM, {"skip_prk_steps": True}, "66", "--steps: got 66; allowed: at most 64 for PNDMScheduler"),
        (SINGLE, {}, "65", "--steps: got 65; allowed: at most 64 for DPMSolverSinglestepScheduler"),
        (
            SINGLE,
            {"algorithm_type": "sde-dpmsolver++"},
            "5",
            "algorithm_type: got 'sde-dpmsolver++'; allowed: dpmsolver",
        ),
        (SINGLE, {"algorithm_type": "dpmsolver"}, "5", "final_sigmas_type: got 'zero'; allowed: sigma_min"),
        (
            SINGLE,
            {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"},
            "5",
            "use_karras_sigmas: got True; allowed: false",
        ),
    ],
)
def test_what_they_have_not(kind, options, steps, said, tmp_path, capsys):
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": kind, **options}), encoding="utf-8")
    code = main(["import-config", str(path), "--steps", steps])
    assert code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("lowered", [True, False])
@pytest.mark.parametrize("final", ["zero", "sigma_min"])
def test_the_orders_of_singlestep_solvers_are_those_of_diffusers(order, lowered, final):
    diffusers = pytest.importorskip("diffusers")
    options = {"solver_order": order, "lower_order_final": lowered, "final_sigmas_type": final}
    for steps in range(1, 40):
        theirs = diffusers.DPMSolverSinglestepScheduler(**options)
        theirs.set_timesteps(steps)
        assert singlestep_orders(steps, order, lowered, final == "zero") == theirs.order_list


def test_the_longest_table_is_that_of_its_family():
    assert PARAMETERS["table"].longest == LONGEST
