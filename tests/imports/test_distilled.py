"""LCM and TCD as imported: grid, times and every state are those of diffusers, with the same normals."""

import json

import pytest
import torch

from derive.cli import main
from derive.errors import SpecError
from derive.importing import Asked, imported
from derive.imports.reading import Config

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")

LCM, TCD = "LCMScheduler", "TCDScheduler"
V = {"prediction_type": "v_prediction"}
CASES = {
    "lcm": (LCM, {}, None),
    "lcm, sample": (LCM, {"prediction_type": "sample", "original_inference_steps": 100}, None),
    "lcm, v, zero snr": (LCM, {**V, "rescale_betas_zero_snr": True}, None),
    "lcm, scaling": (LCM, {"timestep_scaling": 0.01, "beta_schedule": "linear", "beta_end": 0.02}, None),
    "lcm, unread": (LCM, {"set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "trailing"}, None),
    "tcd": (TCD, {}, None),
    "tcd, eta 0": (TCD, {}, 0.0),
    "tcd, eta 1, v": (TCD, V, 1.0),
    "tcd, unread": (TCD, {"clip_sample": True, "thresholding": True, "set_alpha_to_one": False}, 0.5),
}


def config(kind, options):
    return Config("c.json", {"_class_name": kind, **options})


def network(x, t):
    return 0.7 * torch.tanh(1.3 * x + torch.sin(t.double() / 150).reshape(-1, 1, 1)) + 0.3 * x


def bars_of(options):
    """alpha_bar in float64, by the operations of diffusers."""
    first, last = options.get("beta_start", 0.00085), options.get("beta_end", 0.012)
    if options.get("beta_schedule") == "linear":
        betas = torch.linspace(first, last, 1000, dtype=torch.float64)
    else:
        betas = torch.linspace(first**0.5, last**0.5, 1000, dtype=torch.float64) ** 2
    bars = torch.cumprod(1 - betas, 0)
    if not options.get("rescale_betas_zero_snr"):
        return bars
    roots = bars.sqrt()
    return ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2


def theirs(monkeypatch, kind, options, eta, steps, x, normals, wide):
    scheduler = getattr(diffusers, kind)(**options)
    if wide:
        scheduler.alphas_cumprod = bars_of(options)
        if kind == LCM:
            scalings = scheduler.get_scalings_for_boundary_condition_discrete
            scheduler.get_scalings_for_boundary_condition_discrete = lambda t: scalings(int(t))
    drawn = iter(normals)
    monkeypatch.setattr(f"diffusers.schedulers.scheduling_{kind[:3].lower()}.randn_tensor", lambda *a, **k: next(drawn))
    scheduler.set_timesteps(steps)
    seen, said = [], {} if eta is None else {"eta": eta}
    for t in scheduler.timesteps:
        seen.append(x)
        x = scheduler.step(network(x, t.expand(2)), t, x, **said).prev_sample
    return [*seen, x], scheduler.timesteps.tolist()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("steps", [1, 4, 7])
def test_every_state_is_theirs(case, steps, made, monkeypatch):
    kind, options, eta = CASES[case]
    _, solver = made(kind, options, steps, also=Asked(gamma=eta))
    plan = solver.plan(steps=steps)
    torch.manual_seed(steps)
    x, normals = torch.randn(2, 3, 5, dtype=torch.float64), torch.randn(steps, 2, 3, 5, dtype=torch.float64)
    seen, times = [], []

    def model(state, t):
        seen.append(state.clone())
        times.append(float(t[0]))
        return network(state, t)

    end = solver.sample(model, x, plan=plan, **({"noise": list(normals)} if any(plan.draws) else {}))
    for wide, close in ((True, 1e-12), (False, 1e-5)):
        states, fed = theirs(monkeypatch, kind, options, eta, steps, x, normals, wide)
        assert times == fed
        assert all(float((a - b).norm() / b.norm()) < close for a, b in zip([*seen, end], states, strict=True))


def test_what_is_said_of_gamma(tmp_path, capsys):
    assert imported(config(TCD, {})).spec.problem.parameters["gamma"] * 10 == 3
    assert "gamma is 0.3" in imported(config(TCD, {})).notes[-1]
    assert imported(config(TCD, {}), also=Asked(gamma=0.7)).notes == ()
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"_class_name": TCD}))
    assert main(["import-config", str(path), "--gamma", "0.7", "--steps", "4"]) == 0
    assert "gamma: 0.7" in capsys.readouterr().out
    assert main(["import-config", str(path), "--gamma", "1.5"]) == 2
    assert "--gamma: got 1.5; allowed: 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize("kind, options, steps, gamma, said", [
    (LCM, {}, 60, None, "original_inference_steps: got 50; allowed: from 60"),
    (LCM, {"original_inference_steps": 2000}, 4, None, "to 1000"),
    (LCM, {"clip_sample": True}, 4, None, "clip_sample: got True; allowed: false"),
    (LCM, {"thresholding": True}, 4, None, "thresholding: got True; allowed: false"),
    (LCM, {"rescale_betas_zero_snr": True}, 4, None, "prediction_type: got 'epsilon'; allowed: sample"),
    (LCM, {}, 4, 0.3, "--gamma: got 0.3; allowed: with TCDScheduler"),
    (TCD, {"prediction_type": "flow_prediction"}, 4, None, "prediction_type: got 'flow_prediction'"),
    (TCD, {"original_inference_steps": 600}, 600, None, "training step 0 to 0"),
    ("DDIMScheduler", {}, 4, 0.3, "--gamma: got 0.3; allowed: with TCDScheduler"),
])  # fmt: skip
def test_what_is_not_followed_is_refused(kind, options, steps, gamma, said):
    with pytest.raises(SpecError, match=said.replace("[", r"\[")):
        imported(config(kind, options), steps, also=Asked(gamma=gamma))
