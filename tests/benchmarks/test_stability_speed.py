"""Maps of stability within their budget of CPU time, and the same picture as eigenvalues give."""

import pytest

from benchmarks import stability_map


@pytest.mark.parametrize("steps", stability_map.STEPS)
def test_a_map_costs_less_than_a_second(steps):
    assert stability_map.disagreements(steps, 65) == 0
    assert 0 < stability_map.by_recursion(steps, 65).mean() < 1
    assert stability_map.cpu_seconds(lambda: stability_map.by_recursion(steps), 2) < stability_map.BUDGET
