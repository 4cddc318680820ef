"""Solvers that are not shipped, derived from the specs of others."""

import pytest
import torch

from benchmarks.methods import SPECS, Method, derived, shipped


@pytest.fixture(scope="session")
def variants(tmp_path_factory):
    """Solvers by name; of a pair (name of the spec, {text: other text}) one derived from the spec so changed."""
    folder = tmp_path_factory.mktemp("variants")

    def solver(what):
        if isinstance(what, str):
            return what
        name, changes = what
        text = (shipped(name) if shipped(name).exists() else SPECS / f"{name}.yaml").read_text(encoding="utf-8")
        text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path = folder / "spec.yaml"
        path.write_text(text, encoding="utf-8")
        return derived(Method(name, path, ""), folder, ("torch",)).solver

    return solver


@pytest.fixture(autouse=True)
def one_thread():
    """Networks of a few thousand numbers are slower in several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
