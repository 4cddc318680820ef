"""Samplers, steps and modules that do not run to the end, or end in no number: what is said of them."""

from __future__ import annotations

import json
import math

from derive.audit.judge import audit_sampler
from derive.audit.samplers import KDiffusion
from derive.measure.order import fit_order
from tests.audit import foreign_torch


def audited(name):
    return audit_sampler(KDiffusion(name, getattr(foreign_torch, f"sample_{name}"), {}, 2), beside=False)


def test_an_end_that_is_no_number_is_no_error_of_zero():
    found = audited("long_runs_lost_2m")
    assert found.data["order"] == 2 and not found.holds
    assert found.failures == ("128, 256 and 512 measured steps: the state is not finite",)
    cells = {row[0]: row for row in found.tables[1].rows}
    assert cells["128"][1] == cells["512"][3] == "not finite" and cells["128"][2] == "-" and "e-" in cells["64"][1]
    assert "NaN" not in json.dumps(found.as_dict())


def test_an_error_that_is_not_finite_gives_no_exponent():
    for lost in (math.nan, math.inf):
        fit = fit_order(lambda n, lost=lost: lost if n == 64 else n**-2.0, 1024)
        assert [line.p for line in fit.table[:4]] == [None, None, None, 2.0] and fit.order == 2
        assert repr(fit.table[1].error) == repr(lost)
