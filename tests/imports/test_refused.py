"""What cannot be followed is refused by name, with exit code 2; JSON is data of bounded size."""

import json

import pytest

from derive.cli import main
from derive.imports.classes import REFUSED
from derive.listing import aliases
from derive.places import solver_folder

DPM, UNIPC, EULER = "DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "EulerDiscreteScheduler"
PNDM, SINGLE, EDM = "PNDMScheduler", "DPMSolverSinglestepScheduler", "EDMDPMSolverMultistepScheduler"
SA = "SASolverScheduler"
NOISE = {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
MATCH, DYNAMIC = "FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}
LEADING, COSINE = {"timestep_spacing": "leading", "steps_offset": 1}, {"beta_schedule": "squaredcos_cap_v2"}
CASES = [
    (DPM, {"solver_order": 4}, "solver_order: got 4; allowed: a whole number 1 to 3"),
    (DPM, {"solver_ordr": 2}, "solver_ordr: unknown key; allowed: "),
    (DPM, {"solver_ordr": 2}, "did you mean 'solver_order'?"),
    (SINGLE, {"algorithm_type": "sde-dpmsolver++"}, "algorithm_type: got 'sde-dpmsolver++'; allowed: dpmsolver, "),
    (DPM, {"algorithm_type": "sde-dpmsolver"}, "final_sigmas_type: got 'zero'; allowed: sigma_min"),
    (DPM, {**NOISE, "solver_order": 3}, "solver_order: got 3; allowed: 1, 2 with algorithm_type sde-dpmsolver"),
    (EDM, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}, "solver_order: got 3; allowed: 1, 2 with"),
    (EDM, {"algorithm_type": "sde-dpmsolver"}, "algorithm_type: got 'sde-dpmsolver'; allowed: dpmsolver, "),
    (
        "EulerAncestralDiscreteScheduler",
        {"prediction_type": "sample"},
        "prediction_type: got 'sample'; allowed: epsilon",
    ),
    ("SASolverScheduler", {}, "tau_func: got None; allowed: null with --tau X"),
    ("DDPMScheduler", {"variance_type": "learned_range"}, "variance_type: got 'learned_range'; allowed: fixed_small"),
    (
        "DDPMScheduler",
        {"variance_type": "fixed_large_log"},
        "variance_type: got 'fixed_large_log'; allowed: fixed_small",
    ),
    ("DDPMScheduler", {"variance_type": "fixed_large", "timestep_spacing": "trailing"}, "allowed: fixed_small with"),
    ("DDPMScheduler", {"beta_schedule": "sigmoid"}, "beta_schedule: got 'sigmoid'; allowed: linear"),
    (DPM, {"algorithm_type": "dpmsolver"}, "final_sigmas_type: got 'zero'; allowed: sigma_min"),
    (
        UNIPC,
        {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"},
        "use_karras_sigmas: got True; allowed: false",
    ),
    (
        EULER,
        {**LEADING, "use_karras_sigmas": True, "final_sigmas_type": "sigma_min"},
        "final_sigmas_type: got 'sigma_min'",
    ),
    (DPM, {"use_karras_sigmas": True, "use_beta_sigmas": True}, "use_beta_sigmas: got True; allowed: false beside"),
    (DPM, {"prediction_type": "flow_prediction"}, "prediction_type: got 'flow_prediction'; allowed: epsilon, "),
    (DPM, {"beta_schedule": "sigmoid"}, "beta_schedule: got 'sigmoid'; allowed: linear, "),
    (DPM, {"trained_betas": [0.1, 2.0]}, "trained_betas: got [0.1, 2.0]; allowed: null or "),
    (DPM, {"trained_betas": [0.1, 0.2]}, "num_train_timesteps: got 1000; allowed: 2, the length of trained_betas"),
    (DPM, {"lower_order_final": 1}, "lower_order_final: got 1; allowed: true or false"),
    (UNIPC, {"disable_corrector": [0]}, "disable_corrector: got [0]; allowed: []"),
    (UNIPC, {"lower_order_final": False}, "lower_order_final: got False; allowed: true"),
    (UNIPC, {"predict_x0": False}, "predict_x0: got False; allowed: true"),
    (UNIPC, {**FLOW, "use_dynamic_shifting": True}, "use_dynamic_shifting: got True; allowed: false"),
    (UNIPC, {**FLOW, "shift_terminal": 1.0}, "shift_terminal: got 1.0; allowed: null; below 1"),
    (UNIPC, {**FLOW, "final_sigmas_type": "sigma_min"}, "final_sigmas_type: got 'sigma_min'; allowed: zero"),
    (UNIPC, {**FLOW, "use_beta_sigmas": True}, "use_beta_sigmas: got True; allowed: false"),
    (DPM, {**FLOW, "use_karras_sigmas": True}, "use_karras_sigmas: got True; allowed: false"),
    ("DDIMScheduler", {"clip_sample": False, "timestep_spacing": "linspace"}, "timestep_spacing: got 'linspace'"),
    (MATCH, {"use_karras_sigmas": True, "use_beta_sigmas": True}, "use_beta_sigmas: got True; allowed: false beside"),
    (MATCH, {"invert_sigmas": True}, "invert_sigmas: got True; allowed: false"),
    (
        "FlowMatchEulerDiscreteScheduler",
        {"use_dynamic_shifting": True},
        "use_dynamic_shifting: got True; allowed: false",
    ),
    ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}, "stochastic_sampling: got True; allowed: false"),
    (PNDM, {"prediction_type": "sample"}, "prediction_type: got 'sample'; allowed: epsilon, v_prediction"),
    (PNDM, {"timestep_spacing": "linspace"}, "timestep_spacing: got 'linspace'; allowed: leading, trailing"),
    ("NoScheduler", {}, "_class_name: got 'NoScheduler'; allowed: DPMSolverMultistepScheduler"),
]
SNR, KARRAS = {"rescale_betas_zero_snr": True}, {"use_karras_sigmas": True}
EXTREME = [
    ("DDIMScheduler", {**SNR, "beta_end": 1, "prediction_type": "v_prediction"}, "beta_end: got 1; allowed: a number"),
    (EULER, {**SNR, "beta_end": 1}, "beta_end: got 1; allowed: a number from 1e-10 and below 1"),
    (EULER, {**SNR, "beta_end": 0.9}, "beta_end: got 0.9; allowed: others (alpha_bar falls from below 1 to above 1e-300"),
    (EULER, {**SNR, "beta_end": 0.1}, "beta_end: got 0.1; allowed: others (alpha_bar falls"),
    (EULER, {"beta_end": 0.999}, "beta_end: got 0.999; allowed: others (alpha_bar falls"),
    (DPM, {**KARRAS, "trained_betas": [1e-300] * 1000}, "allowed: null or 2 to 4096 numbers from 1e-10 and below 1"),
    (DPM, {**KARRAS, "trained_betas": [0.999999] * 1000}, "allowed: others (alpha_bar falls from below 1 to above 1e-300"),
    (EULER, {"trained_betas": [0.999999] * 1000}, "allowed: others (alpha_bar falls from below 1 to above 1e-300"),
    (DPM, {**KARRAS, "trained_betas": [0.3] * 1000}, "allowed: others beside use_karras_sigmas (alpha_bar falls from"),
    (DPM, {**KARRAS, "trained_betas": [1e-8] * 1000}, "allowed: others beside use_karras_sigmas (alpha_bar falls from"),
    ("EDMEulerScheduler", {"sigma_data": 1e-320}, "sigma_data: got 1e-320; allowed: a number from 1e-09 to 1e+06"),
    ("EDMEulerScheduler", {"rho": 1e-320}, "rho: got 1e-320; allowed: a number from 0.1 to 1e+06"),
    (MATCH, {"shift": 1e-320}, "shift: got 1e-320; allowed: a number from 1e-06 to 1000"),
    (MATCH, {"shift_terminal": 1e-320}, "shift_terminal: got 1e-320; allowed: null or 0 or a number from 1e-09 to 1"),
]  # fmt: skip
VIDEO = {**KARRAS, "timestep_type": "continuous", "prediction_type": "v_prediction"}
OFFSET = {"timestep_spacing": "leading", "steps_offset": 999}
NO_GRID = [
    (DPM, {"lambda_min_clipped": 100}, "lambda_min_clipped: got 100; allowed: at most 4.61, log(alpha/sigma) of training"),
    (DPM, {"lambda_min_clipped": 4}, "lambda_min_clipped: got 4; allowed: less (2 of 1000 training steps are left for"),
    ("EDMEulerScheduler", {"sigma_min": 80.0}, "sigma_min: got 80.0; allowed: below sigma_max, 80.0"),
    ("EDMDPMSolverMultistepScheduler", {"sigma_max": 0.001}, "sigma_min: got 0.002; allowed: below sigma_max, 0.001"),
    (EULER, {**VIDEO, "sigma_min": 9.0, "sigma_max": 2.0}, "sigma_min: got 9.0; allowed: below sigma_max, 2.0"),
    (EULER, {**KARRAS, **OFFSET}, "steps_offset: got 999; allowed: 0 to 49 for 20 steps (--steps) of 1000 training steps"),
    (EULER, {**OFFSET, "steps_offset": 50}, "steps_offset: got 50; allowed: 0 to 49 for 20 steps (--steps)"),
    (DPM, {**OFFSET, "steps_offset": 60}, "steps_offset: got 60; allowed: 0 to 59 for 20 steps (--steps)"),
    ("DDIMScheduler", OFFSET, "steps_offset: got 999; allowed: 0 to 49 for 20 steps (--steps)"),
    (EULER, {**KARRAS, "timestep_spacing": "trailing", "num_train_timesteps": 9}, "num_train_timesteps: got 9; allowed: more"),
    (DPM, {"num_train_timesteps": 9}, "num_train_timesteps: got 9; allowed: more for 20 steps (--steps)"),
]  # fmt: skip


def run(tmp_path, capsys, text, *more):
    path = tmp_path / "scheduler_config.json"
    path.write_text(text, encoding="utf-8")
    code = main(["import-config", str(path), *more])
    return code, capsys.readouterr()


@pytest.mark.parametrize(("kind", "options", "said"), CASES)
def test_refused_by_name(kind, options, said, tmp_path, capsys):
    code, shown = run(tmp_path, capsys, json.dumps({"_class_name": kind, "_diffusers_version": "0.42.1", **options}))
    assert code == 2 and shown.out == ""
    assert said in shown.err and shown.err.count("\n") == 1
    assert str(tmp_path / "scheduler_config.json") + ":1:" in shown.err


@pytest.mark.parametrize(("kind", "options", "said"), EXTREME)
def test_numbers_that_no_table_holds(kind, options, said, tmp_path, capsys):
    """Each of them is read, but what follows from it is not: alpha_bar of 0 or 1, a number below every float."""
    code, shown = run(tmp_path, capsys, json.dumps({"_class_name": kind, **options}))
    assert code == 2 and shown.out == ""
    assert said in shown.err and shown.err.count("\n") == 1


@pytest.mark.parametrize(("kind", "options", "said"), NO_GRID)
def test_grids_that_no_solve_begins_on(kind, options, said, tmp_path, capsys):
    code, shown = run(tmp_path, capsys, json.dumps({"_class_name": kind, **options}))
    assert code == 2 and shown.out == ""
    assert said in shown.err and shown.err.count("\n") == 1


def test_the_largest_offset_is_followed(tmp_path, capsys):
    code, shown = run(tmp_path, capsys, json.dumps({"_class_name": EULER, **KARRAS, **OFFSET, "steps_offset": 49}))
    assert code == 0 and "t_end: 49, t_start: 999}" in shown.out


def test_a_long_table_of_small_levels_is_read_back(tmp_path, capsys):
    betas = json.dumps({"_class_name": EULER, "num_train_timesteps": 4096, "trained_betas": [0.1] * 4096})
    code, shown = run(tmp_path, capsys, betas)
    assert code == 0 and "3.77849336097" in shown.out  # 0.9^4096 = 3.778e-188


@pytest.mark.parametrize("kind", REFUSED)
def test_known_classes_are_refused_with_the_reason(kind, tmp_path, capsys):
    code, shown = run(tmp_path, capsys, json.dumps({"_class_name": kind}))
    assert code == 2 and REFUSED[kind] in shown.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 1}', "the key 'a' twice"),
        ('{"_class_name": "DPMSolverMultistepScheduler", "beta_end": NaN}', "got NaN"),
        ("[1]", "got no object"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"a": "' + "x" * 300_000 + '"}', "larger than"),
        ('{"steps_offset": 1}', "_class_name: missing"),
    ],
)
def test_json_is_data(text, said, tmp_path, capsys):
    code, shown = run(tmp_path, capsys, text)
    assert code == 2 and said in shown.err and "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("kind", "options", "more", "said"),
    [
        (MATCH, {}, ["--mu", "1"], "--mu: got 1; allowed with use_dynamic_shifting of a flow only"),
        (MATCH, {}, ["--image-size", "512x512"], "--image-size: got 512x512; allowed with use_dynamic_shifting of a flow"),
        (MATCH, {}, ["--sequence-length", "99"], "--sequence-length: got 99; allowed with use_dynamic_shifting of a flow"),
        (DPM, {}, ["--tau", "1"], "--tau: got 1; allowed: with SASolverScheduler"),
        (SA, {}, ["--tau", "-1"], "--tau: got -1.0; allowed: 0 to 100"),
        (SA, {"use_karras_sigmas": True}, ["--tau", "1"], "use_karras_sigmas: got True; allowed: false (its last step"),
        (SA, {"corrector_order": 1}, ["--tau", "1"], "corrector_order: got 1; allowed: 2, 3, 4 (of order 1"),
        (SA, {"algorithm_type": "dpmsolver"}, ["--tau", "1"], "algorithm_type: got 'dpmsolver'; allowed: data_prediction"),
        (MATCH, DYNAMIC, ["--mu", "nan"], "--mu: got nan; allowed: a finite number"),
        (MATCH, DYNAMIC, ["--mu", "700"], "--mu: gives a shift of "),
        (MATCH, DYNAMIC, ["--mu", "-700"], "--mu: gives a shift of 9.85968e-305; allowed: a shift from 1e-06 to 1000"),
        (MATCH, {**DYNAMIC, "time_shift_type": "linear"}, ["--mu", "-1"], "--mu: gives a shift of -1; allowed: a shift from 1e-06"),
        (MATCH, DYNAMIC, ["--mu", "1", "--image-size", "64x64"], "--image-size: got 64x64 beside --mu; allowed: one of"),
        (MATCH, DYNAMIC, ["--image-size", "1024"], "--image-size: got '1024'; allowed: WxH"),
        (MATCH, DYNAMIC, ["--image-size", "8x1024"], "--image-size: got '8x1024'; allowed: both from 16"),
        (MATCH, DYNAMIC, ["--sequence-length", "0"], "--sequence-length: got 0; allowed: 1 to"),
        (MATCH, DYNAMIC, [], "use_dynamic_shifting: got True; allowed: false; true with --mu X, --image-size WxH or"),
        (MATCH, {**DYNAMIC, "max_image_seq_len": 256}, ["--sequence-length", "9"], "max_image_seq_len: got 256; allowed: another"),
        (UNIPC, {**FLOW, **DYNAMIC}, ["--image-size", "64x64"], "use_dynamic_shifting: got True; allowed: false; true with --mu X ("),
        (DPM, {**FLOW, **DYNAMIC, "time_shift_type": "linear"}, ["--mu", "1"], "time_shift_type: got 'linear'; allowed: expo"),
        (DPM, FLOW, ["--sigmas", "pipeline"], "--sigmas: got pipeline; allowed: scheduler; pipeline for flows of"),
        (DPM, {**COSINE, "use_lu_lambdas": True}, ["--steps", "15"], "use_lu_lambdas: got True; allowed: false for 15 steps"),
        (MATCH, {"shift_terminal": 0.1}, ["--steps", "1"], "shift_terminal: got 0.1; allowed: null; below 1, for 2 or more"),
        ("DEISMultistepScheduler", FLOW, ["--steps", "1"], "use_flow_sigmas: got True; allowed: false for one step"),
        ("EDMEulerScheduler", {"final_sigmas_type": "sigma_min"}, ["--steps", "1"], "final_sigmas_type: got 'sigma_min'"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(kind, options, more, said, tmp_path, capsys):
    code, shown = run(tmp_path, capsys, json.dumps({"_class_name": kind, **options}), *more)
    assert code == 2 and said in shown.err and shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "steps", "said"),
    [
        ({}, "3", "skip_prk_steps: got False; allowed: true; false for at least 4 steps"),
        ({}, "40", "skip_prk_steps: got False; allowed: true; false for --steps with an even stride, not 25"),
        ({"skip_prk_steps": True}, "1", "set_alpha_to_one: got False; allowed: true, or steps_offset from 1"),
        ({"skip_prk_steps": True}, "66", "--steps: got 66; allowed: at most 64 for PNDMScheduler"),
    ],
)
def test_numbers_of_steps_that_pndm_has_not(options, steps, said, tmp_path, capsys):
    text = json.dumps({"_class_name": PNDM, **options})
    code, shown = run(tmp_path, capsys, text, "--steps", steps)
    assert code == 2 and said in shown.err


def test_a_zero_that_the_class_does_not_read_is_said(tmp_path, capsys):
    code, shown = run(
        tmp_path, capsys, json.dumps({"_class_name": MATCH, "stages": 0, "gamma": None, "clip_sample": False})
    )
    assert code == 0 and f"# stages: 0 is not read by {MATCH}, here as there" in shown.out
    assert shown.out.count("is not read by") == 1


def test_a_file_that_differs_is_kept(tmp_path, capsys):
    text, spec = json.dumps({"_class_name": DPM, "clip_sample": True, "thresholding": True}), tmp_path / "spec.yaml"
    assert run(tmp_path, capsys, text, "-o", str(spec))[0] == 0
    written = spec.read_text(encoding="utf-8")
    assert "# clip_sample: True is not read by" in written and "threshold=(0.995, 1.0)" in written
    assert run(tmp_path, capsys, text, "-o", str(spec), "--steps", "7")[0] == 1
    assert spec.read_text(encoding="utf-8") == written
    assert run(tmp_path, capsys, text, "-o", str(spec), "--steps", "7", "--force")[0] == 0
    assert spec.read_text(encoding="utf-8") != written


def test_the_name_map_says_what_the_claims_say():
    for entry in aliases():
        claims = json.loads((solver_folder(entry["here"]) / "claims.json").read_text(encoding="utf-8"))
        assert (entry["order"], entry["calls"]) == (claims["order"], claims["evaluations_per_step"]), entry["here"]
