"""Proved orders of the stochastic Runge-Kutta tables, and that every coefficient of them matters."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction as Q

import pytest

from derive.analysis.ito_taylor import _shuffled, moment, prove
from runtime.sde import METHODS, Table

THEIRS = Table(
    ((), (Q(1),), (Q(1, 2), Q(1, 2))), ((Q(1),),) * 3, ((),) * 3, (Q(1), Q(1)), (Q(0),), True
)  # fmt: skip
"""The interpolants' public code: noise first, then both slopes at the end of the step."""


@pytest.mark.parametrize(
    "name, additive, linear, weak, strong, against",
    [
        ("euler_maruyama", False, False, 1, Q(1, 2), {(1, 1)}),
        ("milstein", False, False, 1, Q(1), {(0, 1), (1, 0), (1, 1, 1)}),
        ("euler_maruyama", True, False, 1, Q(1), {(0, 1), (1, 0)}),
        ("euler_maruyama", True, True, 1, Q(1), {(0, 1), (1, 0)}),
        ("heun", True, False, 2, Q(1), {(0, 1), (1, 0)}),
        ("sra1", True, False, 2, Q(3, 2), None),
        ("sra3", True, False, 2, Q(3, 2), None),
        ("sra1", True, True, 2, Q(2), {(0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)}),
        ("sra3", True, True, 2, Q(2), {(0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)}),
    ],
)
def test_orders_hold_and_the_next_ones_fail(name, additive, linear, weak, strong, against):
    """The words that differ one half order above; on linear problems a scheme of strong order 1.5 has 2."""
    found = prove(METHODS[name], additive, linear)
    assert (found.weak, found.strong) == (weak, strong) and found.strong_words and found.weak_moments
    assert against is None or set(found.strong_words) == against
    if name.startswith("sra") and not linear:  # I_(1,1,0) f'' g^2, which (W, Z) does not determine
        assert all(word.count(1) == 2 for word in found.strong_words)


def test_the_noise_first_heun_step_has_weak_order_1():
    found = prove(THEIRS, True)
    assert (found.weak, found.strong) == (1, Q(1)) and 1 in found.weak_moments  # its mean is wrong already


@pytest.mark.parametrize("name", METHODS)
def test_every_coefficient_matters(name):
    """Moved by 1/7, any of them lowers an order."""
    table = METHODS[name]
    good = prove(table, table.additive)
    for field in ("drift", "path", "area"):
        rows = getattr(table, field)
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                if value:
                    moved = (*row[:j], value + Q(1, 7), *row[j + 1 :])
                    bad = prove(replace(table, **{field: (*rows[:i], moved, *rows[i + 1 :])}), table.additive)
                    assert bad.weak < good.weak or bad.strong < good.strong, (field, i, j)
    if table.square:
        assert prove(replace(table, square=Q(3, 7)), False).strong == Q(1, 2)


def test_products_of_integrals():
    """W^2 = 2 I_11 + I_0, W I_10 = 2 I_110 + I_101 + I_00; normal moments of (W, Z/h)."""
    assert dict(_shuffled((1,), (1,))) == {(1, 1): 2, (0,): 1}
    assert dict(_shuffled((1,), (1, 0))) == {(1, 1, 0): 2, (1, 0, 1): 1, (0, 0): 1}
    assert (moment(2, 0), moment(1, 1), moment(0, 2), moment(4, 0), moment(0, 4)) == (1, Q(1, 2), Q(1, 3), 3, Q(1, 3))
    assert moment(2, 2) == 1 * Q(1, 3) + 2 * Q(1, 4)
