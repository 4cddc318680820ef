"""What is emitted is what a solver uses."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.claims.shipped import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_points_inside_a_step_are_computed_where_a_step_has_some(name: str) -> None:
    """Stages at the ends of a step need none; steps that the error chooses end there."""
    code = import_module(f"generated.{name}.coefficients")
    inside = [c for scheme in (*code.ABSCISSAE, code.BEGIN_ABSCISSAE) for c in scheme if c not in (0, 1)]
    assert hasattr(code, "inner") == bool(inside or code.ERROR)
