"""A generated solver on disk as a module, from any folder: the package is imported under a name of its own.

Two folders may hold solvers of one name (``./generated`` and the ones that ship), so the module's name holds the path.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from derive.errors import Fault, SpecError, show


def load_solver(folder: Path) -> ModuleType:
    """The package in ``folder``: ``solver``, ``SPEC``, ``CLAIMS``. SpecError, with the remedy, if it cannot be imported."""
    place = folder.resolve()
    name = f"_phiforge_{place.name}_{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, place / "__init__.py", submodule_search_locations=[str(place)])
    if spec is None or spec.loader is None:
        raise SpecError(Fault(f"{show(str(folder))} holds no generated solver"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError, SyntaxError, AttributeError) as error:
        for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
            del sys.modules[loaded]
        raise SpecError(Fault(f"{folder.name} cannot be imported: {' '.join(str(error).split())}")) from error
    return module
