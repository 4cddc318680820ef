"""Orders of schemes on jets: textbook methods, for the constant, the exponential and any kernel; perturbed ones refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sympy import QQ

from derive.analysis.jet_scheme import SchemeOrder, certify_scheme
from derive.symbolic.forms import Form, phi
from derive.symbolic.moments import alphabet, exact_moments
from derive.tableau import Kernel, Node, Row, Scheme, multistep_row

RING = alphabet().ring
RATES = (QQ(0), QQ(1), QQ(-1), QQ(-2, 3), None)
HALF = QQ(1, 2)


def node(theta: object, index: int) -> Node:
    return Node("stage" if index else "history", index, RING(theta))


def row(end: object, *nodes: Node, closed: bool = True) -> Row:
    exact = exact_moments(len(nodes) + 1, closed)
    return Row("row", nodes, exact[: len(nodes)], exact, end=end)


def singlestep(c1: object, c2: object, closed: bool) -> Scheme:
    """DPM-Solver-3: stages at c1 and c2, the output through 0 and c2 (arXiv:2206.00927, Alg. 2)."""
    zero = node(QQ(0), 0)
    stages = (row(c1, zero, closed=closed), row(c2, zero, node(c1, 1), closed=closed))
    return Scheme(stages, row(QQ(1), zero, node(c2, 2), closed=closed))


def lawson(end: object, nodes: list[tuple[int, object]], weights: list[object]) -> Row:
    forms = tuple(phi(0, end - theta, w) for (_, theta), w in zip(nodes, weights, strict=True))  # type: ignore[operator]
    return Row("row", tuple(Node("stage" if i else "history", i, t) for i, t in nodes), (), (), end, given=forms)


def lawson4(third: object = HALF) -> Scheme:
    """The classical Runge-Kutta method in the integrating factor (Lawson 1967); ``third``: a_32."""
    one, zero = QQ(1), QQ(0)
    stages = (
        lawson(HALF, [(0, zero)], [HALF]),
        lawson(HALF, [(1, HALF)], [third]),
        lawson(one, [(2, HALF)], [one]),
    )
    weights = [QQ(1, 6), QQ(1, 3), QQ(1, 3), QQ(1, 6)]
    return Scheme(stages, lawson(one, [(0, zero), (1, HALF), (2, HALF), (3, one)], weights))


def corrected(steps: int, closed: bool) -> Scheme:
    """UniPC-p: the corrector adds the node theta = 1 (arXiv:2302.04867, Eq. 9)."""
    predictor = multistep_row(steps, Kernel(QQ(1) if closed else None))
    exact = exact_moments(steps + 2, closed)
    nodes = (Node("stage", 1, RING.one), *predictor.nodes)
    return Scheme((), predictor, Row("corrector", nodes, exact[: steps + 1], exact))


@pytest.mark.parametrize("rate", RATES)
def test_orders_of_textbook_methods(rate: object) -> None:
    closed = rate is not None
    assert certify_scheme(singlestep(QQ(1, 3), QQ(2, 3), closed), rate).order == 3
    assert certify_scheme(singlestep(QQ(3, 10), HALF, closed), rate).order == 2  # 3 r2 = 2 is the condition
    assert certify_scheme(lawson4(), rate).order == 4
    for steps in range(1, 6):
        assert certify_scheme(Scheme((), multistep_row(steps, Kernel(rate))), rate).order == steps
    for steps in range(1, 5):
        assert certify_scheme(corrected(steps, closed), rate) == SchemeOrder(steps + 1, steps)


@pytest.mark.parametrize("rate", RATES)
def test_a_perturbed_weight_is_seen(rate: object) -> None:
    assert certify_scheme(lawson4(HALF * (1 + QQ(1, 10**9))), rate).order < 4
    predictor = multistep_row(3, Kernel(rate))
    wrong = replace(predictor, moments=(*predictor.moments[:2], predictor.moments[2] * (1 + QQ(1, 10**9))))
    assert certify_scheme(Scheme((), wrong), rate).order == 2


def test_an_embedded_row_is_exactly_its_order() -> None:
    zero = node(QQ(0), 0)
    pair = Scheme((row(HALF, zero),), row(QQ(1), zero, node(HALF, 1)), embedded=row(QQ(1), zero))
    assert certify_scheme(pair, QQ(-1)) == SchemeOrder(2, None, 1)
    assert certify_scheme(replace(pair, embedded=row(QQ(1), zero, node(QQ(1), 2))), QQ(-1)).embedded == 2


def test_the_scheme_as_forms_is_the_scheme() -> None:
    """Interpolatory rows written out as forms in phi_k have the same order, and one wrong form does not."""
    scheme = singlestep(QQ(1, 3), QQ(2, 3), True)

    def given(r: Row) -> Row:
        return replace(r, given=r.forms(()), moments=(), exact=())

    written = Scheme(tuple(map(given, scheme.stages)), given(scheme.output))
    assert certify_scheme(written, QQ(-1)).order == 3
    spoiled = replace(written.output, given=(written.output.given[0] + Form(), written.output.given[1] * QQ(999, 1000)))
    assert certify_scheme(Scheme(written.stages, spoiled), QQ(-1)).order == 0
