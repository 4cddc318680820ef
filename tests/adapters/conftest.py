"""Solvers that are not shipped, derived from the specs of others."""

import pytest

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
def _small_networks(one_thread):
    """All tests here: networks of a few thousand numbers are slower in several threads."""
