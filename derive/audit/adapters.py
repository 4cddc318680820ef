"""MODULE:NAME -> what it is -> its audit: a scheduler class, a k-diffusion sampler, a tableau, or a step."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from derive.audit.finding import Audit
from derive.errors import Fault, SpecError, near_miss, show


def adapted(target: str, config: dict[str, Any], order: int | None) -> Audit:
    """The audit of a named attribute. SpecError where it cannot be imported or is nothing that can be audited."""
    module_name, _, name = target.partition(":")
    value = _attribute(_module(module_name), name, target)
    from derive.audit import samplers, stepping, table_file

    if inspect.isclass(value) and hasattr(value, "set_timesteps"):
        from derive.audit.judge import audit_sampler
        from derive.audit.schedulers import scheduler_of

        return audit_sampler(scheduler_of(target, value, config, order))
    if callable(value) and samplers.looks_like_one(value):
        from derive.audit.judge import audit_sampler

        source = "--order" if order else "its name"
        return audit_sampler(samplers.KDiffusion(target, value, config, order, source))
    if config:
        raise SpecError(Fault("only schedulers and samplers have a configuration", "audit: --config"))
    if callable(value) and stepping.shape_of(value):
        return stepping.audit_step(value, target, order)
    table = table_file.table_of(value, target)
    if table is None:
        allowed = "a class with set_timesteps, f(model, x, sigmas, ..), step(f, t, x, h), or a, b, c"
        raise SpecError(Fault(f"is nothing that can be audited; allowed: {allowed}", f"audit: {target}"))
    from dataclasses import replace

    from derive.audit.tables import audit_table

    return audit_table(replace(table, order=order or table.order), target)


def _module(name: str) -> ModuleType:
    if name.split(".")[0] == "k_diffusion" and "k_diffusion" not in sys.modules:
        _bare("k_diffusion")
    try:
        sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # foreign code: whatever it throws
        said = " ".join(str(error).split())[:160]
        why = said if isinstance(error, ImportError) else f"{type(error).__name__}: {said}"
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
