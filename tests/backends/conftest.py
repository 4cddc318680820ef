"""Native steps are built in a folder of the test run's own, so they are built, and nobody's cache is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import api


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("built", numbered=True)
    folder.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHIFORGE_CACHE", str(folder))
        api._fused.cache_clear()
        yield folder
    api._fused.cache_clear()
