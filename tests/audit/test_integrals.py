"""Tables, monomials and lists of weights of public solvers: orders, and the digits that float32 loses."""

from __future__ import annotations

import pytest

from derive.audit import side
from derive.audit.judge import audit_sampler
from derive.audit.samplers import KDiffusion
from tests.audit import foreign_integrals

BAD = [
    ("sde_3m", {}, 1, "moment 2 diverges like -1/(2*h)"),
    ("dpm_v3", {}, 0, "moment 2 diverges like h^-3: no convergence"),
]
MORE_BAD = [
    ("sde_3m", {"half": 0.5}, 2, "moment 2 is 1/2 of the exact one"),
    ("dpm_v3", {"points": None, "pseudo": True}, 2, "moment 2 is -(3*r0 - 2)/2 of the exact one"),
]
GOOD = [
    ("sde_3m", {"half": 0.5, "factor": 2}, 3),
    ("dpm_v3", {"points": None}, 3),
    ("deis_rho", {"right": True}, 3),
    ("sa", {}, 3),
    ("sa", {"centred": True}, 3),
]


def sampler(name, config):
    return KDiffusion(name, getattr(foreign_integrals, f"sample_{name}"), dict(config), None)


def audited(name, config):
    return audit_sampler(sampler(name, config), beside=False)


def slow(cases):
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(("name", "config", "order", "because"), [*BAD, *slow(MORE_BAD)])
def test_a_slip_is_found(name, config, order, because):
    found = audited(name, config)
    assert not found.holds and found.data["order"] == order and because in found.claims[0].because
    assert found.wrong and all(w.got != w.right for w in found.wrong if "weight" in w.where)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config", "order"), GOOD)
def test_without_it_the_same_is_as_claimed(name, config, order):
    found = audited(name, config)
    assert found.holds and found.data["order"] == order and not found.wrong


def test_a_table_of_times_has_a_floor_that_no_number_of_steps_passes():
    grid = next(t for t in audited("dpm_v3", {}).tables if t.title.startswith("measured"))
    errors = [float(row[1]) for row in grid.rows]
    assert min(errors) > 0.9 * errors[-1] > 1e-3


@pytest.mark.parametrize("order", [2, 3])
def test_a_list_that_is_too_long_is_a_finding(order):
    found = audited("deis_rho", {"order": order})
    assert found.failures == (f"a run throws ValueError: too many values to unpack (expected {order})",)


def test_monomials_of_lambda_lose_their_digits_in_float32():
    absolute, centred = (side.lost(side.digits(sampler("sa", {"centred": flag}))[1]) for flag in (False, True))
    assert absolute > 4 and centred < 2.5


def test_what_is_no_number_has_lost_all_digits():
    assert side.lost([(0.1, float("nan"))]) == side.lost([(0.1, 100.0)]) == side.DIGITS
    assert side.lost([(0.1, 0.0)]) < 0.1


def test_the_digits_that_are_lost_are_said():
    (note,) = (text for text in audit_sampler(sampler("sa", {})).notes if text.startswith("float32"))
    assert "about lambda = " in note and float(note.rsplit("(", 1)[1].split(" of 7.2")[0]) > 4
