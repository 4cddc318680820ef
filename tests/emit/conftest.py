"""Fixtures: the hand-made derivation, its files, and an output root."""

from __future__ import annotations

from pathlib import Path

import pytest

from derive import emit
from tests.emit.sample import FakeDerived


@pytest.fixture
def derived() -> FakeDerived:
    return FakeDerived()


@pytest.fixture
def files(derived: FakeDerived) -> dict[str, bytes]:
    return emit.render(derived)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The output root."""
    return tmp_path / "generated"
