"""The method of a configuration: the family, and where the order of a step depends on N, the table of its decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from derive.errors import Fault, SpecError
from derive.imports import distilled, stochastic
from derive.imports.draft import Fields
from derive.imports.schedules import levels
from derive.imports.settings import Settings
from derive.imports.sigmas import idle
from derive.imports.strided import moving

LONGEST = 64
"""Steps that a table of decisions may have."""
FEW = 15
"""diffusers lowers the order at the end below so many steps."""
PUBLISHED_3M = {"moments": {2: "phi3"}}
"""The third-order row of DPM-Solver++(3M) as published has half of its second moment."""


def _dpm(settings: Settings) -> tuple[Fields, bool]:
    """The form of DPM-Solver or DPM-Solver++, and whether the grid ends at sigma = 0."""
    kind, zero = settings["algorithm_type"], settings["final_sigmas_type"] == "zero"
    if not stochastic.adds_noise(settings):
        what = "of this class the others add noise, as no spec here does"
        settings.only("algorithm_type", ["dpmsolver", "dpmsolver++", "deis"], what)
    if not kind.endswith("dpmsolver++") and zero:
        settings.refuse("final_sigmas_type", f"sigma_min (with algorithm_type {kind}, as in diffusers)")
    return {"integrand": "noise" if kind.endswith("dpmsolver") else "data", "variable": "lambda"}, zero


def dpm_multistep(settings: Settings) -> Fields:
    """DPM-Solver and DPM-Solver++, orders 1 to 3, and those of the SDE."""
    head, zero = _dpm(settings)
    middle = "exact" if settings["solver_type"] == "heun" else "midpoint"
    weights = {
        1: "exact",
        2: middle,
        3: stochastic.third(settings) if stochastic.adds_noise(settings) else PUBLISHED_3M,
    }
    ends = bool(settings.get("euler_at_final")) or zero
    return _multistep(settings, head, weights, ends, settings["lower_order_final"])


def dpm_singlestep(settings: Settings) -> Fields:
    """Singlestep DPM-Solver and DPM-Solver++: the stages of a step lie on the points of the grid."""
    head, zero = _dpm(settings)
    if not zero and (chosen := levels(settings)):
        settings.refuse(chosen, "false with final_sigmas_type sigma_min (a stage and its step would end at one level)")
    exact = settings["solver_type"] == "heun"
    second: Fields = {"order": 2, "back": 1} if exact else {"order": 2, "weights": "midpoint", "back": 1}
    third: Fields = {"order": 3, "back": 2} if exact else {"order": 2, "nodes": [0, 2], "back": 2}
    entries: dict[int, Fields] = {1: {"order": 1}, 2: second, 3: third}
    rows = singlestep_orders(settings.steps, settings["solver_order"], settings["lower_order_final"], zero)
    _counted(settings, len(rows))
    return {"family": "decisions", **head, "table": [entries[k] for k in rows]}


def singlestep_orders(steps: int, order: int, lowered: bool, zero: bool) -> list[int]:
    """The order of every step: 1, 2, 3 again and again; 1 for the last into sigma = 0, or ``lowered`` at the end of a block."""
    out = [1 + i % order for i in range(steps)]
    if zero or (lowered and steps % order == 0):
        out[-1] = 1
    return out


def deis(settings: Settings) -> Fields:
    """DEIS in log rho: exact integration of the noise prediction, orders 1 to 3."""
    settings.only("algorithm_type", ["deis", "dpmsolver", "dpmsolver++"], "all of them are DEIS here")
    head: Fields = {"integrand": "noise", "variable": "lambda"}
    return _multistep(settings, head, dict.fromkeys((1, 2, 3), "exact"), False, settings["lower_order_final"])


def _multistep(settings: Settings, head: Fields, weights: Mapping[int, object], ends: bool, lowered: bool) -> Fields:
    """A multistep method. ends: the last step is of order 1. lowered: below 15 steps the last ones are of order 2, 1.

    A last step of no length is left out.
    """
    order = settings["solver_order"]
    family: Fields = {
        "family": "exponential_multistep",
        "steps": order,
        **head,
        "weights": weights[order],
        "start": "ramp",
    }
    idles = idle(settings)
    if order == 1 or (order == 2 and (ends or idles or not lowered)):
        return {**family, "final": "lower_order" if ends and not idles else "keep"}
    rows = decisions(settings.steps, order, ends, lowered)[: settings.steps - idles]
    if weights[2] == weights[3] == "exact" and rows == decisions(len(rows), order, False, False):
        return {**family, "final": "keep"} if not lowered else _table(settings, head, rows, weights)
    return _table(settings, head, rows, weights)


def _counted(settings: Settings, rows: int) -> None:
    """Says that a table of so many rows is for this number of steps. SpecError: it is longer than a table may be."""
    if rows > LONGEST:
        what = f"got {settings.steps}; allowed: at most {LONGEST} for {settings.kind}, whose steps differ"
        raise SpecError(Fault(what, "import-config: --steps"))
    settings.notes.append(
        f"the orders of the steps depend on their number; this spec is for {settings.steps}: import again for others"
    )


def _table(settings: Settings, head: Fields, rows: Sequence[int], weights: Mapping[int, object]) -> Fields:
    _counted(settings, len(rows))
    entries = [{"order": k} if weights[k] == "exact" else {"order": k, "weights": weights[k]} for k in rows]
    return {"family": "decisions", **head, "table": entries}


def decisions(steps: int, order: int, ends: bool, lowered: bool) -> list[int]:
    """The order of every step."""
    few = lowered and steps < FEW
    out = [min(order, i + 1) for i in range(steps)]
    if few and steps > 1:
        out[-2] = min(out[-2], 2)
    if ends or few:
        out[-1] = 1
    return out


def unipc(settings: Settings) -> Fields:
    """UniPC, orders 1 to 3: the predicted value is kept."""
    settings.only("solver_type", ["bh1", "bh2", "midpoint", "heun", "logrho"], "of UniPC")
    settings.only("disable_corrector", [[]], "every step but the last is corrected")
    bh = settings["solver_type"] if settings["solver_type"] == "bh1" else "bh2"
    zero, order = settings["final_sigmas_type"] == "zero", settings["solver_order"]
    if zero and not settings["lower_order_final"] and order > 1:
        settings.refuse("lower_order_final", "true (the last step ends at sigma = 0, where only order 1 has a limit)")
    if zero and not settings["predict_x0"]:
        settings.refuse(
            "predict_x0", "true, or final_sigmas_type sigma_min (the noise prediction has no limit at sigma = 0)"
        )
    integrand = "data" if settings["predict_x0"] else "noise"
    final = "lower_order" if settings["lower_order_final"] else "keep"
    return {
        "family": "predictor_corrector", "steps": order, "mode": "PEC", "integrand": integrand, "variable": "lambda",
        "weights": bh, "corrector_weights": bh, "start": "ramp", "final": final,
    }  # fmt: skip


def sa_solver(settings: Settings) -> Fields:
    """SA-Solver: Adams-Bashforth and Adams-Moulton of the SDE, the predicted value kept; of order 2 in data with mu_1 = 1/2."""
    settings.only("algorithm_type", ["data_prediction", "noise_prediction"], "of SA-Solver")
    settings.only("corrector_order", [2, 3, 4], "of order 1 it is the implicit step from the new value alone")
    for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_flow_sigmas"):
        settings.only(key, [False], "its last step would have no length, but the call there corrects")
    data, steps = settings["algorithm_type"] == "data_prediction", settings.steps
    second = {"weights": "bh1"} if data else {}
    rows: list[Fields] = []
    for i in range(steps):
        left = steps - i if settings["lower_order_final"] else steps
        order = min(settings["predictor_order"], left, i + 1)
        known = min(settings["corrector_order"], left + 1, i + 2) - 1
        corrector = {"corrector": "pseudo", "corrector_order": known}
        corrector |= {"corrector_weights": "bh1"} if data and known == 1 else {}
        rows.append({"order": order, **(second if order == 2 else {}), **(corrector if i < steps - 1 else {})})
    _counted(settings, steps)
    return {"family": "decisions", "integrand": "data" if data else "noise", "variable": "lambda", "table": rows}


def euler(settings: Settings) -> Fields:
    """DDIM and Euler's method in sigma: one and the same step, in the form of data where the network does not return the noise.

    At small alpha, with zero SNR at alpha = 0, that is the form without a difference of large numbers.
    """
    data = settings["prediction_type"] != "epsilon" or bool(settings.get("rescale_betas_zero_snr"))
    form: Fields = {"integrand": "data", "variable": "lambda"} if data else {"integrand": "noise", "variable": "rho"}
    final = "lower_order" if data else "keep"
    return {"family": "exponential_multistep", "steps": 1, **form, "weights": "exact", "start": "ramp", "final": final}


def heun(settings: Settings) -> Fields:
    """Heun's method in sigma, Euler on the last step."""
    return {
        "family": "runge_kutta",
        "integrand": "noise",
        "variable": "rho",
        "tableau": "heun2",
        "final": "lower_order",
    }


def kdpm2(settings: Settings) -> Fields:
    """The midpoint rule in log sigma (DPM-Solver-2), Euler on the last step."""
    settings.only("prediction_type", ["epsilon", "v_prediction"], "of this class")
    return {
        "family": "exponential_rk", "integrand": "noise", "variable": "lambda", "nodes": [Fraction(1, 2)],
        "weights": "midpoint", "final": "lower_order",
    }  # fmt: skip


def lms(settings: Settings) -> Fields:
    """Adams-Bashforth in sigma on variable steps, order 4."""
    return {
        "family": "linear_multistep", "steps": 4, "integrand": "noise", "variable": "rho", "weights": "variable",
        "start": "ramp", "final": "keep",
    }  # fmt: skip


def pndm(settings: Settings) -> Fields:
    """Adams-Bashforth weights of equal steps on the DDIM step; three Runge-Kutta steps first, or Heun's method once."""
    settings.only("prediction_type", ["epsilon", "v_prediction"], "of this class")
    on_v = settings["prediction_type"] == "v_prediction"  # v of several levels, converted at the last of them
    own: Fields = {"integrand": "v", "transfer": "ddim"} if on_v else {"integrand": "noise"}
    head: Fields = {**own, "variable": "angle" if on_v else "rho"}
    if settings["skip_prk_steps"]:
        first = {"corrector": "implicit", "corrector_weights": "midpoint"} if settings.steps > 1 else {}
        rows = [{"order": min(i + 1, 4), "weights": "uniform"} for i in range(1, moving(settings))]
        rows.insert(0, {"order": 1, **first})
        _counted(settings, len(rows))
        return {"family": "decisions", **head, "table": rows}
    stride = settings["num_train_timesteps"] // settings.steps
    if settings.steps < 4 or stride % 2:
        what = "at least 4 steps" if settings.steps < 4 else f"--steps with an even stride, not {stride}"
        settings.refuse("skip_prk_steps", f"true; false for {what} (half of a step is a whole training step there)")
    return {
        "family": "linear_multistep", "steps": 4, **own, "variable": "t", "weights": "uniform",
        "start": "pseudo_rk4", "final": "keep",
    }  # fmt: skip


def ipndm(settings: Settings) -> Fields:
    """Adams-Bashforth weights of equal steps; the first step, from alpha = 0, takes the data to be 0 as the class does."""
    if settings.steps == 1:
        raise SpecError(
            Fault("got 1; allowed: from 2 for IPNDMScheduler, whose only step gives 0", "import-config: --steps")
        )
    _counted(settings, settings.steps)
    settings.notes.append("its first step leaves out what the network returns, as in diffusers: {order: 1} would not")
    rows: list[Fields] = [{"order": min(i + 1, 4), "weights": "uniform"} for i in range(1, settings.steps)]
    rows.insert(0, {"order": 0, "integrand": "data"})
    return {"family": "decisions", "integrand": "noise", "variable": "rho", "table": rows}


def flow_euler(settings: Settings) -> Fields:
    """Euler's method on the velocity."""
    return {
        "family": "exponential_multistep", "steps": 1, "integrand": "velocity", "variable": "t", "weights": "exact",
        "start": "ramp", "final": "keep",
    }  # fmt: skip


def flow_heun(settings: Settings) -> Fields:
    """Heun's method on the velocity, Euler on the last step."""
    return {
        "family": "runge_kutta",
        "integrand": "velocity",
        "variable": "t",
        "tableau": "heun2",
        "final": "lower_order",
    }


METHODS: Mapping[str, tuple[Callable[[Settings], Fields], str, tuple[str, ...]]] = {
    "DPMSolverMultistepScheduler": (dpm_multistep, "dpm_multistep", ("arXiv:2211.01095", "arXiv:2206.00927")),
    "DPMSolverSinglestepScheduler": (dpm_singlestep, "dpm_singlestep", ("arXiv:2211.01095", "arXiv:2206.00927")),
    "EDMDPMSolverMultistepScheduler": (dpm_multistep, "edm_dpm_multistep", ("arXiv:2211.01095", "arXiv:2206.00364")),
    "DEISMultistepScheduler": (deis, "deis", ("arXiv:2204.13902",)),
    "UniPCMultistepScheduler": (unipc, "unipc", ("arXiv:2302.04867",)),
    "SASolverScheduler": (sa_solver, "sa_solver_imported", ("arXiv:2309.05019",)),
    "DDIMScheduler": (euler, "ddim_imported", ("arXiv:2010.02502",)),
    "EulerDiscreteScheduler": (euler, "euler_discrete", ("arXiv:2206.00364",)),
    "EulerAncestralDiscreteScheduler": (stochastic.one_step, "euler_ancestral_discrete", ("arXiv:2006.11239", "arXiv:2011.13456")),
    "DDPMScheduler": (stochastic.ddpm, "ddpm_imported", ("arXiv:2006.11239",)),
    "EDMEulerScheduler": (euler, "edm_euler", ("arXiv:2206.00364",)),
    "HeunDiscreteScheduler": (heun, "heun_discrete", ("arXiv:2206.00364",)),
    "KDPM2DiscreteScheduler": (kdpm2, "kdpm2_discrete", ("arXiv:2206.00364", "arXiv:2206.00927")),
    "LMSDiscreteScheduler": (lms, "lms_discrete", ("arXiv:2206.00364",)),
    "IPNDMScheduler": (ipndm, "ipndm", ("arXiv:2202.09778",)),
    "PNDMScheduler": (pndm, "pndm", ("arXiv:2202.09778",)),
    "LCMScheduler": (distilled.method, "lcm_imported", ("arXiv:2310.04378", "arXiv:2311.05556")),
    "TCDScheduler": (distilled.method, "tcd_imported", ("arXiv:2402.19159", "arXiv:2404.13686")),
    "FlowMatchEulerDiscreteScheduler": (flow_euler, "flow_match_euler", ("arXiv:2209.03003", "arXiv:2403.03206")),
    "FlowMatchHeunDiscreteScheduler": (flow_heun, "flow_match_heun", ("arXiv:2209.03003", "arXiv:2403.03206")),
}  # fmt: skip
"""By class: its method, the name of the solver, what it is built on."""

__all__ = ["METHODS", "decisions", "singlestep_orders"]
