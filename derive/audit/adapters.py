"""MODULE:NAME -> what it is -> its audit: a scheduler class, a k-diffusion sampler, a tableau, or a step."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from derive.audit.finding import Audit
from derive.audit.guard import blamed, thrown, words
from derive.errors import Fault, SpecError, near_miss, show


def adapted(target: str, config: dict[str, Any], order: int | None) -> Audit:
    """The audit of a named attribute. SpecError where it cannot be imported or is nothing that can be audited, and for
    whatever it throws before it is run."""
    module_name, _, name = target.partition(":")
    module = _module(module_name)
    with blamed(f"audit: {target}", "as it is set up it"):
        auditing = _set_up(_attribute(module, name, target), target, config, order)
    return auditing()


def _set_up(value: Any, target: str, config: dict[str, Any], order: int | None) -> Callable[[], Audit]:
    """What audits it."""
    from derive.audit import samplers, stepping, table_file

    if inspect.isclass(value) and hasattr(value, "set_timesteps"):
        from derive.audit.judge import audit_sampler
        from derive.audit.schedulers import scheduler_of

        return partial(audit_sampler, scheduler_of(target, value, config, order))
    if callable(value) and samplers.looks_like_one(value):
        from derive.audit.judge import audit_sampler

        source = "--order" if order else "its name"
        return partial(audit_sampler, samplers.KDiffusion(target, value, config, order, source))
    if config:
        raise SpecError(Fault("only schedulers and samplers have a configuration", "audit: --config"))
    if callable(value) and stepping.shape_of(value):
        return partial(stepping.audit_step, value, target, stepping.claim(value) if order is None else order)
    table = table_file.table_of(value, target)
    if table is None:
        allowed = "a class with set_timesteps, f(model, x, sigmas, ..), step(f, t, x, h), or a, b, c"
        raise SpecError(Fault(f"is nothing that can be audited; allowed: {allowed}", f"audit: {target}"))
    from dataclasses import replace

    from derive.audit.tables import audit_table

    return partial(audit_table, replace(table, order=order or table.order), target)


def _module(name: str) -> ModuleType:
    if name.split(".")[0] == "k_diffusion" and "k_diffusion" not in sys.modules:
        _bare("k_diffusion")
    try:
        sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code: whatever it throws
        why = words(error) if isinstance(error, ImportError) else thrown(error)
        raise SpecError(Fault(f"cannot be imported: {why}", f"audit: {show(name)}")) from error
    finally:
        sys.path.remove(str(Path.cwd()))


def _bare(name: str) -> None:
    """The package without what its ``__init__`` imports (training, metrics), none of which a sampler needs."""
    found = importlib.util.find_spec(name)
    if found is None:
        return
    package = ModuleType(name)
    package.__path__ = list(found.submodule_search_locations or ())
    sys.modules[name] = package
    if importlib.util.find_spec("torchvision") is None:
        for part in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            sys.modules.setdefault(part, ModuleType(part))
        sys.modules["torchvision.transforms"].functional = sys.modules["torchvision.transforms.functional"]  # type: ignore[attr-defined]


def _attribute(module: ModuleType, name: str, target: str) -> Any:
    value: Any = module
    for part in name.split("."):
        known = [n for n in dir(value) if not n.startswith("_")]
        if not hasattr(value, part):
            raise SpecError(Fault(f"there is no {show(part)}{near_miss(part, known)}", f"audit: {target}"))
        value = getattr(value, part)
    return value


__all__ = ["adapted"]
