"""Schemes that fill the history: their orders by trees and by jets, their cost, and the global order they leave."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sympy import QQ

from derive.analysis import trees
from derive.analysis.claims import prove
from derive.analysis.jet_scheme import certify_scheme
from derive.analysis.proof import prove_scheme
from derive.families import exponential_multistep, linear_multistep, predictor_corrector
from derive.families.starters import BLOCKS, START, iterated, pseudo_heun, pseudo_rk4, singlestep, starter
from derive.symbolic.forms import phi
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel, Scheme
from tests.families.march import March, measured

DATA, NOISE, FLAT, ANY = Kernel(QQ(-1)), Kernel(QQ(1)), Kernel(QQ(0)), Kernel(None)
CLOSED = [DATA, NOISE, FLAT, Kernel(QQ(-2))]
AB = alphabet()


def order(scheme: Scheme, kernel: Kernel) -> int:
    return trees.order(scheme.step((), kernel.rate)).order


@pytest.mark.parametrize("kernel", CLOSED, ids=str)
@pytest.mark.parametrize("q", range(1, 7))
@pytest.mark.parametrize("kind", [singlestep, iterated])
def test_order_is_proved_by_trees(kind, q, kernel):
    assert order(kind(q, kernel), kernel) == q


@pytest.mark.parametrize("q", range(1, 7))
@pytest.mark.parametrize("kind", [singlestep, iterated])
def test_order_for_any_kernel(kind, q):
    assert certify_scheme(kind(q, ANY), None).order == q


def test_what_a_starter_costs():
    assert [singlestep(q, DATA).evaluations for q in range(1, 7)] == [1, 2, 3, 5, 8, 12]
    assert [iterated(q, DATA).evaluations for q in range(1, 7)] == [1, 2, 5, 6, 17, 18]
    for q in range(1, 7):
        assert singlestep(q, DATA).evaluations <= iterated(q, DATA).evaluations


@pytest.mark.parametrize("q", range(1, 7))
@pytest.mark.parametrize("kind", [singlestep, iterated])
def test_rows_are_interpolatory_over_the_start_of_the_step_and_earlier_stages(kind, q):
    scheme = kind(q, ANY)
    for i, row in enumerate((*scheme.stages, scheme.output), 1):
        assert row.interpolatory and 0 < row.end <= 1 and len(set(row.thetas)) == len(row.nodes)
        assert {n.index for n in row.nodes if n.kind == "history"} == {0}
        assert all(1 <= n.index < i for n in row.nodes if n.kind == "stage")
    assert scheme.past == 0 and scheme.corrector is None


def test_the_first_kinds_by_hand():
    euler, midpoint, third = (singlestep(q, DATA) for q in (1, 2, 3))
    assert not euler.stages and euler.output.moments == (AB.phi[1],)
    assert midpoint.abscissae == (0, QQ(1, 2)) and midpoint.output.thetas == (0, QQ(1, 2))
    assert third.abscissae == (0, QQ(1, 3), QQ(2, 3))
    assert [[str(t) for t in row.thetas] for row in (*third.stages, third.output)] == [
        ["0"],
        ["0", "1/3"],
        ["0", "2/3"],
    ]
    # ETD2RK with c = 1/2, and ETD3RK with c2 = 1/3, c3 = 2/3 (Hochbruck-Ostermann 2010, Eq. 2.40; DPM-Solver-3)
    assert midpoint.output.forms(()) == (phi(1) - phi(2, q=QQ(2)), phi(2, q=QQ(2)))
    assert third.output.forms(()) == (phi(1) - phi(2, q=QQ(3, 2)), phi(2, q=QQ(3, 2)))
    assert third.stages[1].forms(())[1] == phi(2, QQ(2, 3), QQ(4, 3))


@pytest.mark.parametrize("q", range(2, 7))
def test_blocks_are_quadratures_one_order_above_interpolation(q):
    """{0} and a block integrate to the first stage of the next (or to 1) one power more than they have nodes."""
    blocks = BLOCKS[q]
    ends = [*(block[0] for block in blocks[1:]), QQ(1)]
    for block, end in list(zip(blocks, ends, strict=True))[1:]:
        nodes = [QQ(0), *block]
        polynomial = [QQ(1)]
        for node in nodes:
            polynomial = [a - node * b for a, b in zip([QQ(0), *polynomial], [*polynomial, QQ(0)])]
        assert sum(c * end ** (k + 1) / (k + 1) for k, c in enumerate(polynomial)) == 0
    assert [len(block) for block in blocks] == [1, 1, 2, 3, 4][: q - 1]
    assert q == 2 or 2 * blocks[0][0] == blocks[1][0], "the first stage is the midpoint of the second"


@pytest.mark.parametrize("q", [3, 4, 5])
@pytest.mark.parametrize("harm", ["sign", "factor", "swap", "node"])
def test_a_wrong_output_row_loses_its_order(q, harm):
    scheme = singlestep(q, DATA)
    step = scheme.step((), DATA.rate)
    b, used = list(step.b), [j for j, w in enumerate(step.b) if w]
    first, last = used[0], used[-1]
    if harm == "sign":
        b[last] = -b[last]
    elif harm == "factor":
        b[last] = b[last] * QQ(1, 2)
    elif harm == "swap":
        b[first], b[last] = b[last], b[first]
    else:
        b[last], b[last - 1] = b[last - 1], b[last]
    assert trees.order(replace(step, b=tuple(b))).order < q


@pytest.mark.parametrize("q", [3, 4, 5, 6])
def test_every_stage_is_needed(q):
    """Dropping the last block's improvement (reading the block before instead) costs order."""
    short = BLOCKS[q][-2]
    scheme = singlestep(q, DATA)
    count = len(scheme.stages) - len(BLOCKS[q][-1])
    from derive.families.starters import past, span_row, stage

    nodes = [*past(1), *(stage(count - len(short) + 1 + i, c) for i, c in enumerate(short))]
    worse = Scheme(scheme.stages[:count], span_row("short", nodes, DATA))
    assert order(worse, DATA) < q


def test_pseudo_runge_kutta():
    """PNDM Eq. 12: DDIM to 1/2 with e1, to 1/2 with e2, to 1 with e3, to 1 with (e1 + 2 e2 + 2 e3 + e4)/6."""
    scheme = pseudo_rk4(NOISE)
    assert scheme.abscissae == (0, QQ(1, 2), QQ(1, 2), QQ(1)) and scheme.evaluations == 4
    half = phi(1, QQ(1, 2), QQ(1, 2))
    step = scheme.step((), NOISE.rate)
    assert [[j for j, w in enumerate(row) if w] for row in step.a] == [[0], [1], [2]]
    assert [next(w for w in row if w) for row in step.a] == [half, half, phi(1)]
    assert step.b == tuple(phi(1, q=q) for q in (QQ(1, 6), QQ(1, 3), QQ(1, 3), QQ(1, 6)))
    assert [order(pseudo_rk4(kernel), kernel) for kernel in (FLAT, NOISE, DATA)] == [4, 2, 2]
    assert certify_scheme(pseudo_rk4(ANY), None).order == 2
    assert [order(pseudo_heun(kernel), kernel) for kernel in (FLAT, NOISE, DATA)] == [2, 2, 2]
    assert prove_scheme(pseudo_heun(ANY), ANY).order == 2


def test_a_starter_has_the_order_that_the_method_needs():
    for kind in ("singlestep", "iterated"):
        for p in range(2, 7):
            plain = exponential_multistep.build(DATA, p, "exact", kind, "keep")
            assert prove_scheme(plain.starter, DATA).order == p - 1 and plain.steps == p
            constant = linear_multistep.build(FLAT, p, start=kind)
            assert prove_scheme(constant.starter, FLAT).order == p - 1
            corrected = predictor_corrector.build(DATA, p, start=kind)
            assert prove_scheme(corrected.starter, DATA).order == p and corrected.steps == p
    for p, q, want in ((2, 4, 2), (4, 2, 2), (3, 4, 3)):
        mixed = predictor_corrector.build(DATA, p, corrector_steps=q, start="singlestep")
        assert mixed.steps == max(p, q) and prove_scheme(mixed.starter, DATA).order == want


def test_no_starter_where_none_is_used():
    assert set(START.options) == {"ramp", "exact", "singlestep", "pseudo_rk4", "iterated"}
    assert [starter(kind, 3, DATA, 4) for kind in ("ramp", "exact")] == [None, None]
    assert [starter(kind, 1, DATA, 1) for kind in START.options] == [None] * 5
    assert starter("pseudo_rk4", 1, DATA, 2) == pseudo_heun(DATA) and starter("pseudo_rk4", 1, DATA, 3) == pseudo_rk4(
        DATA
    )
    for q in (0, 7):
        with pytest.raises(ValueError, match=f"start iterated of order {q}; allowed: 1 to 6"):
            starter("iterated", q, DATA, 8)


@pytest.mark.parametrize(
    ("tableau", "want"),
    [
        (exponential_multistep.build(DATA, 3, "exact", "exact", "keep"), 3),
        (exponential_multistep.build(DATA, 3, "exact", "ramp", "keep"), 2),
        (exponential_multistep.build(DATA, 3, "exact", "singlestep", "keep"), 3),
        (exponential_multistep.build(DATA, 3, "exact", "singlestep", "lower_order"), 2),
        (exponential_multistep.build(NOISE, 4, "exact", "singlestep", "keep"), 4),
        (exponential_multistep.build(NOISE, 4, "exact", "iterated", "keep"), 4),
        (exponential_multistep.build(DATA, 4, "exact", "pseudo_rk4", "keep"), 3),
        (exponential_multistep.build(FLAT, 5, "exact", "singlestep", "keep"), 5),
        (linear_multistep.build(FLAT, 4, "variable", "pseudo_rk4", "keep"), 4),
    ],
    ids=lambda x: f"{x.kernel.rate} {x.steps} {x.start} {x.final}" if not isinstance(x, int) else "",
)
def test_global_order_is_proved_and_measured(tableau, want):
    assert prove(tableau, (1, 1, 1)).global_order == want
    assert abs(measured(tableau, 32) - want) < 0.25


def test_a_start_of_third_order_beats_the_ramp_by_far():
    methods = {start: exponential_multistep.build(DATA, 4, "exact", start, "keep") for start in START.options[:3]}
    runs = {start: March(method, 48).error for start, method in methods.items()}
    assert runs["singlestep"] < runs["ramp"] / 20 and runs["singlestep"] < 20 * runs["exact"]
