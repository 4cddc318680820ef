"""Maps of stability and summaries within their budget of CPU time; maps are the same picture as eigenvalues give."""

import pytest
from sympy import QQ

from benchmarks import stability_map
from derive.analysis.stability import summary
from derive.families.exponential_multistep import build
from derive.tableau import Kernel
from tests.analysis.stability_schemes import KINDS, posed


@pytest.mark.parametrize("steps", stability_map.STEPS)
def test_a_map_costs_less_than_a_second(steps):
    assert stability_map.disagreements(steps, 65) == 0
    assert 0 < stability_map.by_recursion(steps, 65).mean() < 1
    assert stability_map.cpu_seconds(lambda: stability_map.by_recursion(steps), 2) < stability_map.BUDGET


@pytest.mark.parametrize("steps", range(1, 6))
@pytest.mark.parametrize(("rate", "c0", "c1", "variable"), KINDS)
def test_a_summary_costs_less_than_a_quarter_of_a_second(steps, rate, c0, c1, variable):
    tableau = build(Kernel(QQ(rate)), steps, "exact", "ramp", "lower_order")
    assert stability_map.cpu_seconds(lambda: summary(tableau, posed(c0, c1, variable)).as_dict(), 2) < 0.25
