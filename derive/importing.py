"""``import-config``: the configuration of a diffusers scheduler as a spec whose sampler takes the same steps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derive.errors import Fault, InternalError, RefusedError, SpecError, show
from derive.imports import distilled, stochastic
from derive.imports.asked import Asked, asked
from derive.imports.clock import asked_for_nothing, flow
from derive.imports.draft import Draft
from derive.imports.grids import grid
from derive.imports.methods import METHODS
from derive.imports.projection import projected
from derive.imports.reading import Config, read_config
from derive.imports.schedules import prediction, schedule
from derive.imports.settings import Settings, settle
from derive.imports.whole import written_out
from derive.reserved import NAME
from derive.spec import MAX_GRID_STEPS, Spec, read_spec_text
from derive.store import replace

STEPS = 20
"""Of the spec's default grid, if the user does not say."""


@dataclass(frozen=True, slots=True)
class Imported:
    """text: the spec's file. notes: what the caller has to know. call: what ``sample`` takes beside the model and x_T."""

    text: str
    spec: Spec
    kind: str
    notes: tuple[str, ...]
    call: dict[str, Any]


def import_config(
    path: str | os.PathLike[str], steps: int | None = None, name: str | None = None, also: Asked | None = None
) -> Imported:
    """The spec of the configuration in a file. SpecError names every key that cannot be followed."""
    return imported(read_config(path), steps, name, also)


def imported(config: Config, steps: int | None = None, name: str | None = None, also: Asked | None = None) -> Imported:
    """The spec of a configuration; steps: of its grid; name: of the solver; also: what else a pipeline passes."""
    steps = STEPS if steps is None else steps
    if not 1 <= steps <= MAX_GRID_STEPS:
        raise SpecError(Fault(f"got {steps}; allowed: 1 to {MAX_GRID_STEPS}", "import-config: --steps"))
    if name is not None and not NAME.fullmatch(name):
        raise SpecError(Fault(f"got {show(name)}; allowed: {NAME.pattern}", "import-config: --name"))
    settings = settle(config, steps, also or Asked())
    asked_for_nothing(settings)
    draft = _draft(settings, name)
    text = draft.text()
    try:
        spec = read_spec_text(text)
    except SpecError as error:
        raise InternalError(f"the spec of {settings.kind} does not read back: {error.faults[0]}") from error
    return Imported(text, spec, settings.kind, tuple(draft.notes), draft.call)


def _draft(settings: Settings, name: str | None) -> Draft:
    method, own, references = METHODS[settings.kind]
    call = projected(settings)
    draft = Draft(
        name or _name(own, settings),
        f"{settings.kind} of diffusers",
        schedule(settings),
        prediction(settings),
        method(settings),
        grid(settings),
        references,
        call=call,
        problem={**distilled.problem(settings), **stochastic.problem(settings)},
    )
    said = ", ".join(f"{key}={value!r}" for key, value in call.items())
    draft.notes += settings.notes
    if call:
        draft.notes.append(f"the spec has no place for a projection of the data: call sample(..., {said})")
    if flow(settings) and (times := written_out(settings)):
        draft.notes.append(
            "some times are whole training steps, which come out below in the double precision of diffusers: to feed the "
            f"network what it feeds, call sample(..., nodes={times})"
        )
        draft.call["nodes"] = times
    return draft


def _name(own: str, settings: Settings) -> str:
    order = settings.get("solver_order")
    return f"{own}_{order}" if order else own


def write(text: str, path: str | os.PathLike[str], force: bool = False) -> bool:
    """The spec into a file, whole or not at all; whether anything was written. RefusedError for another file there."""
    place, data = Path(path), text.encode("ascii")
    if place.is_file() and place.read_bytes() == data:
        return False
    if place.exists() and not (force and place.is_file()):
        raise RefusedError(f"{ascii(str(place))[1:-1]} is there and differs; --force replaces it")
    replace(place, data)
    return True


__all__ = ["STEPS", "Asked", "Imported", "asked", "import_config", "imported", "write"]
