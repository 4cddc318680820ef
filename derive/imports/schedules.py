"""The noise schedule and the prediction of a configuration.

alpha_bar(i) = prod (1 - beta_j) in exact arithmetic where diffusers has float32; a schedule that has a name here takes it,
any other is written out as a table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NoReturn

from derive.imports import distilled, stochastic
from derive.imports.clock import flow, shift
from derive.imports.draft import Fields
from derive.imports.settings import Settings
from derive.symbolic.chebyshev import CONTEXT

_DIGITS = 17
_LEAST, _FIXED = CONTEXT.mpf("1e-300"), -20
COSINE = "squaredcos_cap_v2"
ZERO_SNR = "5.9604644775390625e-08"
"""2^-24, which diffusers writes in the place of the last alpha_bar, 0."""
NEARLY_ZERO = "1e-30"
"""Where it keeps the 0: alpha is 1e-15, below every rounding."""
PREDICTIONS = {"epsilon": "noise", "sample": "data", "v_prediction": "v", "flow_prediction": "velocity"}


def schedule(settings: Settings) -> Fields:
    """The spec's schedule."""
    if preserving(settings):
        return {"alpha": '"1/sqrt(t**2 + 1)"', "sigma": '"t/sqrt(t**2 + 1)"', "t": [settings["sigma_max"], 0]}
    if settings.kind.startswith("EDM"):
        return {"kind": "edm", "sigma_max": settings["sigma_max"], "sigma_min": 0}
    if settings.kind == "IPNDMScheduler":
        settings.only("trained_betas", [None], "as many as there are steps: the noise level of each, and no schedule")
        return {"alpha": '"cos(pi*t/2)"', "sigma": '"sin(pi*t/2)"', "t": [1, 0]}
    if flow(settings):
        warp = shift(settings)
        return {"kind": "flow", "shift": warp} if warp != 1 else {"kind": "flow"}
    steps = settings["num_train_timesteps"]
    if settings["trained_betas"] is None and not settings.get("rescale_betas_zero_snr"):
        kind = {"linear": "vp_linear", "scaled_linear": "vp_scaled_linear"}.get(settings["beta_schedule"])
        first, last = settings["beta_start"], settings["beta_end"]
        if kind and first > last:
            settings.refuse("beta_end", f"from beta_start, {first}, and below 1")
        if kind:
            table(settings)
            return {"kind": kind, "beta_start": first, "beta_end": last, "steps": steps}
    return {"kind": "table", "alphas_cumprod": table(settings)}


def preserving(settings: Settings) -> bool:
    """Whether v is of a path of unit variance whose time is sigma/alpha, and not of a table (Stable Video Diffusion, CosXL)."""
    if settings.get("prediction_type") != "v_prediction":
        return False
    if settings.kind.startswith("EDM"):
        return True
    ranged = settings.get("sigma_min") is not None and settings.get("sigma_max") is not None
    return settings.get("timestep_type") == "continuous" and ranged and bool(levels(settings))


def table(settings: Settings) -> list[str]:
    """alpha_bar by training step, as decimals. SpecError where they do not fall from below 1 to above 1e-300."""
    bars = _bars(betas(settings))
    rescaled = bool(settings.get("rescale_betas_zero_snr"))
    if rescaled and bars[-1] < bars[0]:
        roots = [CONTEXT.sqrt(bar) for bar in bars]
        bars = [zero_snr(root, roots[0], roots[-1]) for root in roots]
    texts = ["0" if bar < _LEAST else CONTEXT.nstr(bar, _DIGITS, min_fixed=_FIXED, max_fixed=1) for bar in bars]
    if rescaled and settings.kind in ("DDIMScheduler", stochastic.DDPM, *distilled.DISTILLED):
        settings.only("prediction_type", ["sample", "v_prediction"], "beside rescale_betas_zero_snr")
        texts[-1] = NEARLY_ZERO
    elif rescaled:
        texts[-1] = ZERO_SNR
    rows = [CONTEXT.mpf(1), *map(CONTEXT.mpf, texts), CONTEXT.mpf(0)]
    if wrong := [row for above, row in itertools.pairwise(rows) if row >= above]:
        refuse_levels(
            settings, f"(alpha_bar falls from below 1 to above 1e-300; here {CONTEXT.nstr(wrong[0], 3)} is a row)"
        )
    return texts


def refuse_levels(settings: Settings, why: str) -> NoReturn:
    """SpecError at the key that the levels of the table come from."""
    given = settings["trained_betas"] is not None
    key = "trained_betas" if given else "beta_schedule" if settings["beta_schedule"] == COSINE else "beta_end"
    settings.refuse(key, f"{'another' if key == 'beta_schedule' else 'others'} {why}")


def zero_snr(root: Any, first: Any, last: Any) -> Any:
    """alpha_bar where that of the last step is 0, of sqrt(alpha_bar) and its ends (arXiv:2305.08891, Algorithm 1)."""
    return ((root - last) * (first / (first - last))) ** 2


def cosine(steps: int, number: Callable[[float], Any], field: Any) -> list[Any]:
    """beta_j of squaredcos_cap_v2. number: makes one of the ``field``, which has ``cos`` and ``pi``."""
    at = [(number(j) / steps + number(0.008)) / number(1.008) * field.pi / 2 for j in range(steps + 1)]
    return [min(1 - b / a, number(0.999)) for a, b in itertools.pairwise(field.cos(angle) ** 2 for angle in at)]


def betas(settings: Settings) -> list[Any]:
    """beta_j by training step, 160-bit numbers."""
    steps, given = settings["num_train_timesteps"], settings["trained_betas"]
    if given is not None:
        if len(given) != steps:
            settings.refuse("num_train_timesteps", f"{len(given)}, the length of trained_betas")
        return [_exact(beta) for beta in given]
    if settings["beta_schedule"] == COSINE:
        return cosine(steps, _exact, CONTEXT)
    low, high = _exact(settings["beta_start"]), _exact(settings["beta_end"])
    root = settings["beta_schedule"] == "scaled_linear"
    low, high = (CONTEXT.sqrt(low), CONTEXT.sqrt(high)) if root else (low, high)
    rows = [low + (high - low) * j / (steps - 1) for j in range(steps)]
    return [row**2 for row in rows] if root else rows


def _bars(rates: Sequence[Any]) -> list[Any]:
    bars, bar = [], CONTEXT.mpf(1)
    for beta in rates:
        bar = bar * (1 - beta)
        bars.append(bar)
    return bars


def _exact(number: float) -> Any:
    exact = Fraction(repr(number))
    return CONTEXT.mpf(exact.numerator) / exact.denominator


def lambdas(settings: Settings) -> list[float]:
    """log(alpha/sigma) by training step."""
    return [float(CONTEXT.log(bar / (1 - bar)) / 2) for bar in (CONTEXT.mpf(text) for text in table(settings))]


LEVELS = ("use_karras_sigmas", "use_lu_lambdas", "use_exponential_sigmas", "use_beta_sigmas")
"""Keys of grids in sigma, of which the first that is set holds."""


def levels(settings: Settings) -> str:
    """The key of the grid in sigma, or nothing."""
    chosen = [key for key in LEVELS if settings.get(key)]
    if len([key for key in chosen if key != "use_lu_lambdas"]) > 1:
        settings.refuse(chosen[1], f"false beside {chosen[0]}")
    return chosen[0] if chosen else ""


def table_input(settings: Settings) -> str:
    """What the network is fed where the grid has no whole training steps."""
    chosen = levels(settings)
    if settings.kind in WHOLE:
        return f"level_index_{'truncated' if truncates(settings) else 'rounded'}" if chosen else ""
    if chosen:
        return "level_index_rounded" if settings.kind == MIDPOINT and chosen == "use_karras_sigmas" else "level_index"
    return "sigma_index" if settings.kind in SIGMAS and settings["timestep_spacing"] == "linspace" else ""


def truncates(settings: Settings) -> bool:
    """Whether a place between training steps is cut off, not rounded."""
    if levels(settings) in ("use_exponential_sigmas", "use_beta_sigmas"):
        return True
    return settings.kind == "DPMSolverMultistepScheduler" and settings["beta_schedule"] == COSINE


WHOLE = (
    "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler",
    "SASolverScheduler",
)  # fmt: skip
"""Classes that feed the network whole numbers."""
MIDPOINT = "KDPM2DiscreteScheduler"
"""The class that calls the network between the points of its grid."""
SIGMAS = (
    "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler",
    MIDPOINT,
)  # fmt: skip
"""Classes whose linspace has places between training steps, at which sigma is on a straight line."""


_CONTINUOUS = ("continuous", "v_prediction")
"""Where Euler feeds the network log(sigma)/4; the one without the other changes nothing."""


def prediction(settings: Settings) -> Fields:
    """What the network returns and is fed; the class's combinations that are none are refused."""
    if preserving(settings) or (settings.get("timestep_type"), settings.get("prediction_type")) == _CONTINUOUS:
        settings.only("sigma_data", [1.0], "of v_prediction: data of unit variance")
        return {"kind": "v", "input": "c_noise"}
    if settings.kind.startswith("EDM"):
        settings.only("prediction_type", ["epsilon", "v_prediction"], "of EDM")
        return {"kind": "edm", "input": "c_noise", "input_scale": "edm", "sigma_data": settings["sigma_data"]}
    if settings.kind.startswith("FlowMatch"):
        return {"kind": "velocity", "time_scale": settings["num_train_timesteps"]}
    if settings.kind == "IPNDMScheduler":
        return {"kind": "v"}
    kind = PREDICTIONS[settings["prediction_type"]]
    if flow(settings):
        settings.only("prediction_type", ["flow_prediction", "epsilon", "sample"], "with use_flow_sigmas")
        return {"kind": kind, "input": "time_truncated", "time_scale": settings["num_train_timesteps"]}
    settings.only("prediction_type", ["epsilon", "sample", "v_prediction"], "without use_flow_sigmas")
    if settings.kind in distilled.DISTILLED:
        return distilled.prediction(settings, kind)
    out = {"kind": kind, "input": fed} if (fed := table_input(settings)) else {"kind": kind}
    return {**out, "inner_input": "level_index"} if settings.kind == MIDPOINT else out


__all__ = [
    "PREDICTIONS",
    "betas",
    "cosine",
    "lambdas",
    "levels",
    "prediction",
    "preserving",
    "refuse_levels",
    "schedule",
    "table",
    "truncates",
    "zero_snr",
]
