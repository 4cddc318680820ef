"""Configurations as the sampler that their spec makes, beside the scheduler of diffusers that they come from."""

import importlib
import itertools
import sys

import pytest
import torch

from derive import emit, gate, pipeline
from derive.importing import imported
from derive.imports.reading import Config

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """made(class, options, N, also) -> (Imported, its solver); specs that differ in the grid alone share the solver."""
    folder = tmp_path_factory.mktemp("imported")
    sys.path.insert(0, str(folder))
    known = {}

    def make(kind, options, steps, also=None):
        found = imported(Config("scheduler_config.json", {"_class_name": kind, **options}), steps, also=also)
        key = found.spec.canonical().split("\ngrid:")[0], *sorted(_said(found.spec.grid))
        if key not in known:
            derived = pipeline.derive(found.spec)
            files = emit.render(derived)
            gate.check(files, derived)
            package = f"imported_{next(_NUMBERS)}"
            place = folder / package / found.spec.name
            place.mkdir(parents=True)
            for name, data in files.items():
                (place / name).write_bytes(data)
            importlib.invalidate_caches()
            known[key] = importlib.import_module(f"{package}.{found.spec.name}").solver
        return found, known[key]

    yield make
    sys.path.remove(str(folder))


def _said(grid):
    """A grid's kind and the options it says: those of a solver's own grid hold where a plan of that kind has no other."""
    return grid.kind, *(name for name, value in grid.parameters.items() if value is not None)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks of a few thousand numbers are slower in several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
