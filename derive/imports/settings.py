"""The values of a configuration, complete and checked: what the class defaults to, and what the file says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from derive.errors import Fault, SpecError, near_miss, show
from derive.imports.asked import LEAST_SHIFT, MOST_SHIFT, Asked
from derive.imports.classes import DEFAULTS, IMPLIED, REFUSED, known_keys
from derive.imports.reading import Config

_LONGEST = 4096
_LEAST_BETA = 1e-10
"""Of a single training step; what is below is far from changing 1 in single precision."""
Check = tuple[str, Callable[[Any], bool]]


def _whole(low: int, high: int) -> Check:
    return f"a whole number {low} to {high}", lambda v: type(v) is int and low <= v <= high


def _number(low: float, high: float) -> Check:
    return f"a number from {low:g} to {high:g}", lambda v: type(v) in (int, float) and low <= v <= high


def _beta(value: Any) -> bool:
    return type(value) in (int, float) and _LEAST_BETA <= value < 1


def _word(*options: str) -> Check:
    return ", ".join(options), lambda v: isinstance(v, str) and v in options


def _or_zero(check: Check) -> Check:
    return f"0 or {check[0]}", lambda v: (type(v) in (int, float) and v == 0) or check[1](v)


def _or_none(check: Check) -> Check:
    return f"null or {check[0]}", lambda v: v is None or check[1](v)


_FLAG: Check = ("true or false", lambda v: type(v) is bool)
_PREDICTIONS = ("epsilon", "sample", "v_prediction", "flow_prediction")
_BETAS: Check = (
    f"null or 2 to {_LONGEST} numbers from {_LEAST_BETA:g} and below 1",
    lambda v: v is None or (isinstance(v, list) and 2 <= len(v) <= _LONGEST and all(map(_beta, v))),
)
_RATE: Check = (f"a number from {_LEAST_BETA:g} and below 1", _beta)
_SHIFT = _number(LEAST_SHIFT, MOST_SHIFT)
_SA = ("data_prediction", "noise_prediction")
_FIXED = ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log")
_POSITIVE = _number(1e-9, 1e6)
CHECKS: Mapping[str, Check] = {
    "num_train_timesteps": _whole(2, _LONGEST), "beta_start": _RATE, "beta_end": _RATE,
    "beta_schedule": _word("linear", "scaled_linear", "squaredcos_cap_v2"), "trained_betas": _BETAS,
    "prediction_type": _word(*_PREDICTIONS), "solver_order": _whole(1, 3), "steps_offset": _whole(0, _LONGEST),
    "timestep_spacing": _word("linspace", "leading", "trailing"), "final_sigmas_type": _word("zero", "sigma_min"),
    "dynamic_thresholding_ratio": _number(0, 1), "sample_max_value": _number(1, 1e6),
    "clip_sample_range": _POSITIVE, "flow_shift": _SHIFT, "shift": _SHIFT,
    "lambda_min_clipped": ("a number or -Infinity", lambda v: type(v) in (int, float) and v < math.inf),
    "variance_type": _or_none(_word("learned", "learned_range", *_FIXED)), "time_shift_type": _word("exponential", "linear"),
    "sigma_data": _POSITIVE, "sigma_min": _or_none(_POSITIVE), "sigma_max": _or_none(_POSITIVE), "rho": _number(0.1, 1e6),
    "sigma_schedule": _word("karras", "exponential"), "interpolation_type": _word("linear", "log_linear"),
    "timestep_type": _word("discrete", "continuous"), "shift_terminal": _or_none(_or_zero(_number(1e-9, 1))),
    "base_shift": _number(-1e3, 1e3), "max_shift": _number(-1e3, 1e3), "base_image_seq_len": _whole(1, 10**9),
    "max_image_seq_len": _whole(1, 10**9),
    "disable_corrector": ("a list of whole numbers", lambda v: isinstance(v, list) and all(type(i) is int for i in v)),
    "original_inference_steps": _whole(1, _LONGEST), "timestep_scaling": _POSITIVE,
    "solver_p": ("null", lambda v: v is None), "tau_func": ("null", lambda v: v is None),
    "predictor_order": _whole(1, 4), "corrector_order": _whole(1, 4),
    "algorithm_type": _word("deis", "dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", *_SA),
    "solver_type": _word("midpoint", "heun", "bh1", "bh2", "logrho"),
}  # fmt: skip
"""What each key may hold in any class; keys that are not here are flags."""


@dataclass(slots=True)
class Settings:
    """kind: the class. values: every key of the class. notes: what a user of the spec has to know."""

    config: Config
    kind: str
    values: dict[str, Any]
    steps: int
    notes: list[str] = field(default_factory=list)
    asked: Asked = field(default_factory=Asked)

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key that the class may not have."""
        return self.values.get(key, default)

    def refuse(self, key: str, allowed: str) -> NoReturn:
        """SpecError: the value of ``key`` cannot be followed."""
        raise SpecError(self.config.fault(key, f"got {show(self.values[key])}; allowed: {allowed}"))

    def only(self, key: str, allowed: Sequence[Any], why: str) -> None:
        """Refuse ``key`` unless the class has it not or it is one of ``allowed``."""
        if key in self.values and self.values[key] not in allowed:
            self.refuse(key, f"{', '.join(map(_json, allowed))} ({why})")


def _json(value: Any) -> str:
    return {True: "true", False: "false", None: "null"}.get(value, str(value)) if not isinstance(value, list) else "[]"


def settle(config: Config, steps: int, asked: Asked) -> Settings:
    """The configuration with the defaults of its class. SpecError: every unknown key, wrong value and unknown class."""
    kind = _class(config)
    known, faults, notes = DEFAULTS[kind], [], []
    values = {**IMPLIED.get(kind, {}), **known}
    for key, value in config.values.items():
        if key.startswith("_"):
            continue
        if key not in known_keys():
            faults.append(config.fault(key, f"unknown key; allowed: {', '.join(known)}{near_miss(key, known)}"))
        elif key not in known:
            if value is not None and value is not False:
                notes.append(f"{key}: {show(value)} is not read by {kind}, here as there")
        elif fault := _wrong(config, key, value):
            faults.append(fault)
        else:
            values[key] = value
    if faults:
        raise SpecError(*faults)
    return Settings(config, kind, values, steps, notes, asked)


def _class(config: Config) -> str:
    kind = config.values.get("_class_name")
    allowed = ", ".join(DEFAULTS)
    if not isinstance(kind, str):
        got = "missing" if kind is None else f"got {show(kind)}"
        raise SpecError(config.fault("_class_name", f"{got}; allowed: {allowed}"))
    if kind.removeprefix("Flax") in DEFAULTS:
        return kind.removeprefix("Flax")
    if kind in REFUSED:
        raise SpecError(config.fault("_class_name", f"got {show(kind)}: {REFUSED[kind]}; allowed: {allowed}"))
    hint = near_miss(kind, DEFAULTS)
    raise SpecError(config.fault("_class_name", f"got {show(kind)}; allowed: {allowed}{hint}"))


def _wrong(config: Config, key: str, value: Any) -> Fault | None:
    allowed, right = CHECKS.get(key, _FLAG)
    return None if right(value) else config.fault(key, f"got {show(value)}; allowed: {allowed}")


__all__ = ["CHECKS", "Settings", "settle"]
