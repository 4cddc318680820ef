"""Limits that the families state are those that the spec reader holds: one more is a fault at its key."""

from __future__ import annotations

import pytest
import sympy as sp
from sympy import QQ

from derive.errors import SpecError
from derive.families.predictor_corrector import build
from derive.problems import PoseError
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel
from tests.families.limits import read


def nodes(count: int) -> str:
    return "[" + ", ".join(f"{k}/{count}" for k in range(1, count + 1)) + "]"


@pytest.mark.parametrize(
    ("family", "method"),
    [
        ("exponential_rk", {"nodes": nodes(6)}),
        ("exponential_rk", {"nodes": nodes(1)}),
        ("exponential_multistep", {"steps": "6"}),
        ("exponential_multistep", {"steps": "1"}),
        ("predictor_corrector", {"steps": "6", "corrector_steps": "6"}),
    ],
    ids=str,
)
def test_what_is_just_allowed(family, method):
    assert read(family, **method).method.family == family


@pytest.mark.parametrize(
    ("family", "method", "key"),
    [
        ("exponential_rk", {"nodes": nodes(7)}, "nodes"),
        ("exponential_rk", {"nodes": "[]"}, "nodes"),
        ("exponential_rk", {"nodes": "[3/2]"}, "nodes"),
        ("exponential_multistep", {"steps": "7"}, "steps"),
        ("exponential_multistep", {"steps": "0"}, "steps"),
        ("predictor_corrector", {"steps": "7"}, "steps"),
        ("predictor_corrector", {"steps": "0"}, "steps"),
        ("predictor_corrector", {"steps": "2", "corrector_steps": "7"}, "corrector_steps"),
        ("predictor_corrector", {"steps": "2", "corrector_steps": "0"}, "corrector_steps"),
    ],
    ids=str,
)
def test_what_is_just_too_much(family, method, key):
    with pytest.raises(SpecError, match=f"method.{key}"):
        read(family, **method)


def test_every_moment_of_a_row_may_be_overridden():
    """Moment 0 too; one that the row does not have may not."""
    kernel, word = Kernel(QQ(1)), sp.Symbol("phi1")
    same = build(kernel, 2, weights={0: word}, corrector_weights={0: word, 2: 2 * sp.Symbol("phi3")})
    assert [s.rows for s in same.schemes] == [s.rows for s in build(kernel, 2).schemes]
    assert build(kernel, 2, weights={1: word}).schemes[-1].output.moments[1] == alphabet().phi[1]
    for which, options, nodes in (
        ("weights", {"weights": {2: word}}, 2),
        ("corrector_weights", {"corrector_weights": {3: word}}, 3),
    ):
        with pytest.raises(PoseError, match=rf"row with {nodes} nodes; allowed: 0 to {nodes - 1}") as caught:
            build(kernel, 2, **options)
        assert caught.value.key == f"method.{which}"
    with pytest.raises(PoseError, match="moment -1"):
        build(kernel, 2, weights={-1: word})
