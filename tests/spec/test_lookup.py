"""The folder is the registry: names are files that define a kind, and nothing else can be loaded."""

from __future__ import annotations

from types import ModuleType

import pytest

from derive import lookup, reserved
from derive.errors import SpecError
from derive.parameters import Field

PACKAGES = ("derive.schedules", "derive.predictions", "derive.families")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_loads_and_declares_itself(package: str) -> None:
    assert lookup.names(package)
    assert list(lookup.names(package)) == sorted(lookup.names(package))
    for name in lookup.names(package):
        module = lookup.load(package, name)
        assert isinstance(module, ModuleType)
        assert all(isinstance(field, Field) for field in module.PARAMETERS.values())
        assert callable(module.build)
        assert len(lookup.summary(module)) > 10


def test_known_kinds() -> None:
    assert {"flow", "vp_linear", "edm", "expression", "table"} <= set(lookup.names("derive.schedules"))
    assert {"noise", "data", "v", "velocity", "linear"} <= set(lookup.names("derive.predictions"))
    assert lookup.names("derive.problems") == ("consistency", "diffusion", "sde")
    assert "torch" in lookup.names("derive.backends")


def test_helpers_of_a_folder_are_no_kinds() -> None:
    assert not {"printer", "__init__", "coefficients", "layout"} & set(lookup.names("derive.backends"))


@pytest.mark.parametrize(
    "name", ["../errors", "__init__", "os", "flow.build", "Flow", "flow\n", "", "flow ", "ﬂow", "a" * 10_000]
)
def test_nothing_else_loads(name: str) -> None:
    with pytest.raises(SpecError, match=r"allowed for a schedule: .*flow") as caught:
        lookup.load("derive.schedules", name)
    assert len(str(caught.value)) < 400


def test_near_miss() -> None:
    with pytest.raises(SpecError, match="did you mean 'vp_cosine'"):
        lookup.load("derive.schedules", "vp_cosin")
    assert "for a family:" in lookup.unknown("derive.families", "x")


def test_an_empty_folder_has_no_names() -> None:
    assert lookup.names("derive.no_such_folder") == ()


@pytest.mark.parametrize(
    ("name", "why"),
    [("lambda", "Python keyword"), ("match", "Python keyword"), ("eval", "builtin"), ("json", "standard library"),
     ("torch", "uses"), ("runtime", "this project"), ("volatile", "C or C++"), ("lpt9", "Windows"), ("my_solver", "")],
)  # fmt: skip
def test_reserved(name: str, why: str) -> None:
    assert why in reserved.reason(name)
    assert bool(reserved.reason(name)) == bool(why)
