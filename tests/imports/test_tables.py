"""Configurations whose specs are tables for one number of steps: what they refuse, and what they say."""

import importlib
import json

import pytest
import torch

from derive.backends.torch import headline
from derive.cli import main
from derive.families.decisions import PARAMETERS
from derive.importing import imported
from derive.imports.methods import LONGEST, singlestep_orders
from derive.imports.reading import Config
from derive.pipeline import derive, new_solver
from derive.spec import read_spec_text

PNDM, SINGLE = "PNDMScheduler", "DPMSolverSinglestepScheduler"


@pytest.mark.parametrize(
    ("kind", "options", "steps", "said"),
    [
        (PNDM, {}, "3", "skip_prk_steps: got False; allowed: true; false for at least 4 steps"),
        (PNDM, {}, "40", "skip_prk_steps: got False; allowed: true; false for --steps with an even stride, not 25"),
        (PNDM, {"skip_prk_steps": True}, "1", "set_alpha_to_one: got False; allowed: true, or steps_offset from 1"),
        (PNDM, {"skip_prk_steps": True}, "66", "--steps: got 66; allowed: at most 64 for PNDMScheduler"),
        ("IPNDMScheduler", {}, "1", "--steps: got 1; allowed: from 2 for IPNDMScheduler, whose only step gives 0"),
        ("IPNDMScheduler", {"trained_betas": [0.1, 0.2]}, "5", "trained_betas: got [0.1, 0.2]; allowed: null"),
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


@pytest.mark.parametrize(
    ("order", "formula", "reads", "writes"),
    [(2, "x' = a x + b0 m0 + b1 m1", 3, 2), (3, "x' = a x + b0 m0 + b1 m1 + b2 m2", 4, 2)],
)
def test_the_cost_and_the_formula_are_those_of_the_step_that_ends_a_block(order, formula, reads, writes):
    """Not those of its stages, of which there may be more: x, the network's output and the values since the start are read."""
    text = imported(Config("scheduler_config.json", {"_class_name": SINGLE, "solver_order": order}), 9).text
    found = derive(read_spec_text(text))
    assert headline(found.program).split(",")[0] == formula
    assert found.claims["cost"] == {"kernels": 1, "reads": reads, "writes": writes}
    assert found.program.ways[found.tableau.repeated] == found.program.repeated


@pytest.mark.slow
def test_the_first_step_of_ipndm_costs_more_than_all_others(tmp_path, monkeypatch):
    """Gaussian data, whose path is known: x = alpha m + sqrt(alpha^2 s^2 + sigma^2) z. With the output of the first call
    the error is less than a tenth of theirs at 10 and at 20 steps."""
    mean, width = 1.5, 0.5

    def network(x, t):
        alpha, sigma = torch.cos(t * torch.pi / 2), torch.sin(t * torch.pi / 2)
        data = mean + alpha * width**2 / (alpha**2 * width**2 + sigma**2) * (x - alpha * mean)
        return (alpha * x - data) / sigma

    monkeypatch.syspath_prepend(str(tmp_path))
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[None]
    for steps in (10, 20):
        spec = tmp_path / "spec.yaml"
        text = imported(Config("scheduler_config.json", {"_class_name": "IPNDMScheduler"}), steps).text
        errors = []
        for name, first in (("theirs", "order: 0"), ("exact", "order: 1")):
            own = f"ipndm_{name}_{steps}"
            spec.write_text(text.replace("name: ipndm", f"name: {own}").replace("order: 0", first), encoding="utf-8")
            new_solver(spec, tmp_path / "solvers")
            solver = importlib.import_module(f"solvers.{own}").solver
            errors.append(float((solver.sample(network, x) - mean - width * x).abs().max()))
        assert errors[1] < errors[0] / 10, (steps, errors)
