"""Wrong specs that read well: the schedule, the method and the proof report them at the place in the file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from derive import pipeline
from derive.errors import SpecError
from derive.spec import read_spec
from tests.spec.bad_specs import CASES, BadSpec
from tests.spec.test_bad_specs import assert_reported

RESOLVE = [case for case in CASES if case.stage == "resolve"]


@pytest.mark.parametrize("case", RESOLVE, ids=lambda case: case.name)
def test_reported_by_the_pipeline(case: BadSpec, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    start = time.perf_counter()
    with pytest.raises(SpecError) as caught:
        pipeline.derive(read_spec(path))
    assert time.perf_counter() - start < 5
    assert_reported(case, caught.value, path)
