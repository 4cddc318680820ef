"""Tables of decisions: the rows of DPM-Solver++ and UniPC step by step, USF's estimates in exact numbers, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import factorial
from typing import Any

import pytest
import sympy as sp
from sympy import QQ

from derive.analysis.block import block
from derive.analysis.claims import prove, refute
from derive.analysis.order import PROBES
from derive.analysis.proof import prove_scheme
from derive.analysis.stability import summary
from derive.blocks import results
from derive.errors import InternalError, SpecError
from derive.families import exponential_multistep, exponential_rk, linear_multistep, predictor_corrector
from derive.families.decisions import ENTRY, PARAMETERS, build
from derive.measure.table import parts, stretched
from derive.problems import PoseError
from derive.program.ir import Program
from derive.program.memory import LETTERS
from derive.program.passes import optimise
from derive.program.phases import phases_of, ways
from derive.program.verify import verify
from derive.spec import read_spec_text
from derive.symbolic.moments import alphabet
from derive.tableau import MAX_INTEGRANDS, Kernel
from tests.analysis.stability_schemes import posed
from tests.families.exact_field import E, H, K, phi, residuals, solve, weights
from tests.families.published import nodes

DATA, NOISE, ANY = Kernel(QQ(-1)), Kernel(QQ(1)), Kernel(None)
AB = alphabet()
COST = (1, 1, 1)
UNIPC_3 = [1, 2, 3, 3, 3, 3, 2, 1]


def orders_of(count: int, order: int) -> list[int]:
    """1, 2, .., order, .., order, .., 2, 1."""
    return [min(order, i + 1, count - i) for i in range(count)]


def derivative(thetas: Sequence[Any], i: int) -> list[Any]:
    """Weights of F(theta_j) - F(0) in h^i F^(i)(0), from Taylor expansions at as many points: sum_j a_j theta_j^m/m! = [m = i]."""
    count = len(thetas)
    system = [[theta**m / factorial(m) for theta in thetas] for m in range(1, count + 1)]
    return solve(system, [K.one if m == i else K.zero for m in range(1, count + 1)])


def taylor_step(thetas: Sequence[Any], taylor: int, relaxation: str, data: bool) -> list[Any]:
    """x_t = Taylor expansion of the exact step at t_n with estimated derivatives, the first one relaxed; w.r.t. C h."""
    sign, z = (-1, -H) if data else (1, H)
    grown = 1 / E if data else E
    found = [K.zero] * (len(thetas) - 1)
    for i in range(1, taylor):
        scale = phi(i + 1, sign)
        if i == 1 and relaxation != "none":
            scale = scale * {"dpmsolver-2": z * (grown - 1) / 2, "bh1": z**2 / 2}[relaxation] / (grown - 1 - z)
        found = [w + scale * a for w, a in zip(found, derivative(thetas[1:], i))]
    return [phi(1, sign) - sum(found, start=K.zero), *found]


def own(scheme: Any, data: bool, corrects: bool = False) -> list[Any]:
    row = scheme.corrector if corrects else scheme.output
    found = weights(row, -1 if data else 1)
    return [*(w for (kind, _), w in found.items() if kind == "history"), *([found["stage", 1]] if corrects else [])]


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize(
    ("order", "named", "relaxation"), [(2, "midpoint", "dpmsolver-2"), (2, "bh1", "bh1"), (3, "exact", "none")]
)
def test_the_table_of_dpm_solver(order, named, relaxation, data):
    """Step by step the rows of DPM-Solver(++)-2M/-3M, and of USF's Taylor steps with their relaxations."""
    kernel = DATA if data else NOISE
    entries = [{"order": p, "weights": named if p == 2 else "exact"} for p in orders_of(8, order)]
    tableau = build(kernel, entries)
    method = exponential_multistep.build(kernel, order, named, "ramp", "lower_order")
    for entry, place in zip(entries, tableau.table, strict=True):
        p = entry["order"]
        assert tableau.schemes[place].output.moments == method.rows[p - 1].moments
        relax = relaxation if p == 2 else "none"
        assert own(tableau.schemes[place], data) == taylor_step(nodes(p), p, relax, data)
    assert len(tableau.schemes) == order and tableau.table == tuple(p - 1 for p in orders_of(8, order))


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
def test_the_table_of_unipc(variant, data):
    kernel = DATA if data else NOISE
    entries = [
        {"order": p, "weights": variant, "corrector": "pseudo", "corrector_weights": variant} for p in UNIPC_3[:-1]
    ] + [{"order": 1}]
    for entry in entries:
        if entry["order"] > 2:
            entry |= {"weights": "exact", "corrector_weights": "exact"}
        elif entry["order"] == 2:
            entry |= {"corrector_weights": "exact"}
    entries[-1]["corrector_weights"] = variant
    tableau = build(kernel, entries)
    method = predictor_corrector.build(kernel, 3, "PEC", variant, variant)
    for p, place in zip(UNIPC_3, tableau.table, strict=True):
        scheme, wanted = tableau.schemes[place], method.schemes[p - 1]
        assert scheme.output.moments == wanted.output.moments and scheme.corrector.moments == wanted.corrector.moments
        assert scheme.output.thetas == wanted.output.thetas and scheme.corrector.thetas == wanted.corrector.thetas
    for p in (2, 3):
        scheme = tableau.schemes[tableau.table[UNIPC_3.index(p)]]
        assert own(scheme, data, corrects=True) == taylor_step([*nodes(p), K.one], p + 1, "none", data)
    assert prove(tableau, COST).global_order == prove(method, COST).global_order == 2
    assert prove(tableau, COST).order == prove(method, COST).order == 4


def test_fewer_derivatives_than_values():
    """taylor 2 over three values: mt_2 = 0, the derivative by three points; order 2 (DPM-Solver-3 of USF's table is such a step)."""
    tableau = build(DATA, [{"order": 1}, {"order": 2}, {"order": 3, "taylor": 2}, {"order": 3, "taylor": 2}])
    row = tableau.schemes[-1].output
    assert row.moments == (AB.phi[1], AB.phi[2], AB.ring.zero)
    assert own(tableau.schemes[-1], True) == taylor_step(nodes(3), 2, "none", True)
    zeroth, first, second = residuals(nodes(3), own(tableau.schemes[-1], True), -1)
    assert not zeroth and not first and second == -2 * phi(3, -1)
    assert prove(tableau, COST).order == 2


def test_a_linear_relaxation_is_an_override():
    """(1 + h/2) phi_2 with z = h: phi_2 + (phi_1 - 1)/2."""
    entry = {"order": 2, "weights": {1: sp.Symbol("phi2") + (sp.Symbol("phi1") - 1) / 2}}
    scheme = build(NOISE, [{"order": 1}, entry]).schemes[1]
    first = weights(scheme.output, 1)["history", 1]
    assert first * nodes(2)[1] == (1 + H / 2) * phi(2, 1)


@pytest.mark.parametrize(
    ("orders", "start", "order", "global_order"),
    [
        ([1, 2, 3, 3, 3], "ramp", 3, 2), ([3, 3, 3], "exact", 3, 3), ([3, 3, 3, 2], "exact", 3, 3),
        ([3, 3, 3, 2, 1], "exact", 3, 2), ([1, 3, 3, 3], "exact", 3, 2), ([1, 1, 2, 2, 2], "ramp", 2, 2), ([1, 1, 1, 2], "ramp", 1, 1),
        ([1, 2, 1, 2, 1, 2], "ramp", 1, 1),
    ],
)  # fmt: skip
def test_the_order_of_a_table(orders, start, order, global_order):
    """The weakest step of what a longer table repeats; start and end are used once."""
    proved = prove(build(DATA, [{"order": p} for p in orders], start), COST)
    assert (proved.order, proved.global_order) == (order, global_order)


def test_the_body_of_a_table():
    tableau = build(DATA, [{"order": p} for p in UNIPC_3])
    assert tableau.table == (0, 1, 2, 2, 2, 2, 1, 0) and tableau.body == (2, 5)
    assert build(DATA, [{"order": 1}]).table == (0,) and tableau.final == "keep" and tableau.steps == 3


def test_correctors_of_every_kind():
    plain, both = {"order": 1}, {"order": 1, "corrector": "implicit", "corrector_order": 1}
    tableau = build(DATA, [both, plain, both])
    assert [scheme.evaluations for scheme in tableau.schemes] == [2, 1] and tableau.table == (0, 1, 0)
    kept = build(DATA, [{"order": 1, "corrector": "pseudo"}, {"order": 2, "corrector": "pseudo"}, {"order": 2}])
    assert kept.table == (0, 1, 1) and kept.corrects
    assert build(DATA, [{"order": 1, "corrector": "pseudo"}, {"order": 1}]).table == (0, 0)


def test_what_is_said_beside_its_default_is_the_default():
    """All derivatives there are; a relaxed moment 0 that is the exact one, phi_1."""
    plain = build(DATA, [{"order": 1}, {"order": 2}])
    assert build(DATA, [{"order": 1}, {"order": 2, "taylor": 2}]) == plain
    assert build(DATA, [{"order": 1, "weights": {0: sp.Symbol("phi1")}}, {"order": 2}]) == plain
    assert build(DATA, [{"order": 1}, {"order": 2}], kernels={"data": DATA}) == plain and plain.names == ()


@pytest.mark.parametrize("kernel", [DATA, NOISE, ANY, Kernel(QQ(0))])
def test_uniform_weights_are_those_of_the_linear_multistep_family(kernel):
    entries = [{"order": min(i + 1, 4), "weights": "uniform"} for i in range(6)]
    table = build(kernel, entries)
    assert table.table == (0, 1, 2, 3, 3, 3) and table.rows[0].interpolatory
    family = linear_multistep.build(kernel, 4)
    for row, wanted in list(zip(table.rows, family.rows))[1:]:
        assert (row.given, row.moments, row.nodes) == (wanted.given, wanted.moments, wanted.nodes)
    assert prove(table, COST).order == prove(family, COST).order == 1


TWO, THREE = {"order": 2, "back": 1}, {"order": 3, "back": 2}
MIDDLE = {"order": 2, "back": 1, "weights": "midpoint"}


@pytest.mark.parametrize("kernel", [DATA, NOISE, Kernel(QQ(0))])
@pytest.mark.parametrize(
    ("entries", "order", "uniform", "global_order"),
    [
        ([{"order": 1}, TWO] * 4, 2, None, 2),
        ([{"order": 1}, MIDDLE] * 4, 2, None, 2),
        ([{"order": 1}, MIDDLE] * 3 + [{"order": 1}] * 2, 2, None, 2),
        ([{"order": 1}, TWO, {"order": 2, "nodes": (0, 2), "back": 2}] * 3, 2, 3, 2),
        ([{"order": 1}, TWO, THREE] * 3 + [{"order": 1}], 2, 3, 2),
    ],
)
def test_steps_from_earlier_states_are_blocks(kernel, entries, order, uniform, global_order):
    """Singlestep DPM-Solver on the grid's points: the Euler steps between are stages, not results."""
    proof = prove(build(kernel, entries), COST)
    assert (proof.order, proof.global_order) == (order, global_order)
    assert proof.main.uniform == uniform


def test_the_order_of_a_block_is_the_lowest_at_all_ratios_that_are_tried(monkeypatch):
    """Three values have order 3 on equal steps and 2 on others: no order more for a tuple of ratios that is special."""
    scheme = build(DATA, [{"order": 1}, TWO, THREE]).schemes[2]
    equal = (Fraction(1),) * len(PROBES[0])
    for probes in ((equal, PROBES[0]), (PROBES[1], equal)):
        monkeypatch.setattr("derive.analysis.proof.PROBES", probes)
        found = prove_scheme(scheme, DATA)
        assert (found.order, found.uniform) == (2, 3)
    assert found.engine == "bicoloured trees, exact, at rational step ratios"


def amplified(tableau: Any, w: Any) -> Any:
    """x after the table over its start for x' = mu x, w = mu h, from the nodes of its rows: quadrature over each block."""
    states: list[Any] = [1]
    for place in tableau.table:
        row = tableau.schemes[place].output
        start, own = len(states) - 1 - row.back, row.span or row
        nodes = [start + n.index if row.back else start - n.index for n in own.nodes]
        count = row.back + 1
        thetas = [K(QQ(i - start, count)) for i in nodes]
        powers = [[theta**k if k else K.one for theta in thetas] for k in range(len(nodes))]
        weights = [Fraction(str(b.as_expr())) for b in solve(powers, [K(QQ(1, k + 1)) for k in range(len(nodes))])]
        states.append(states[start] + count * w * sum(b * states[j] for b, j in zip(weights, nodes, strict=True)))
    return states[-1]


@pytest.mark.parametrize(("entries", "order"), [([{"order": 1}, TWO], 2), ([{"order": 1}, TWO, THREE], 3)])
def test_limits_and_errors_of_blocks_are_those_of_a_grid_step(entries, order):
    """On x' = mu x: amplified just beyond the limit of h mu and not before; e^w less the table's, over its steps."""
    tableau, count = build(Kernel(QQ(0)), entries), len(entries)
    found = prove(tableau, COST)
    end = Fraction(found.stability.as_dict()["real_interval"]["value"]).limit_denominator(10**8)
    assert (
        abs(amplified(tableau, -end * Fraction(999, 1000))) < 1 < abs(amplified(tableau, -end * Fraction(1001, 1000)))
    )
    assert found.main.steps == count and "per grid step" in str(found)
    if found.main.uniform is None:  # of its terms N[N[N]] alone is not zero here
        w = Fraction(1, 10**6)
        series = sum((count * w) ** k / factorial(k) for k in range(8))
        error = (series - amplified(tableau, w)) / count / w ** (order + 1)
        assert abs(error - Fraction(2, 3)) < 1e-5 and found.main.leading == "1/6 N[N,N] + 2/3 N[N[N]]"


def test_limits_of_blocks_on_gaussian_data_are_those_of_a_grid_step():
    """A block of two steps is the step of the one-step method, of twice the length."""
    entries = [{"order": 1}, {"order": 2, "back": 1, "weights": "midpoint"}] * 2
    table = summary(build(NOISE, entries), posed(0, 1, "lambda")).gaussian
    plain = exponential_rk.build(NOISE, "last", "midpoint", "keep", nodes=[Fraction(1, 2)])
    one = summary(plain, posed(0, 1, "lambda")).gaussian
    assert table.worst.limited and table.worst.value == pytest.approx(one.worst.value / 2, rel=1e-12)
    assert table.data.value == one.data.value / 2 and table.kappa == one.kappa
    assert table.as_dict()["searched_to"] == 20 and "(up to 20)" in str(table)
    flow = build(Kernel(QQ(0)), [{"order": 1}, TWO])  # a grid that is geometric in rho has other stages
    assert summary(flow, posed(0, 1, "rho")).gaussian is None


@pytest.mark.parametrize("weights", ["exact", "midpoint"])
def test_a_block_on_equal_steps_is_the_one_step_method(weights):
    """DPM-Solver++(2S) with its stage halfway: the same numbers of the exponential Runge-Kutta family."""
    table = build(DATA, [{"order": 1}, {"order": 2, "back": 1, "weights": weights}] * 2)
    found = block(table.schemes[1], (QQ(1), QQ(1))).step((), DATA.rate)
    wanted = exponential_rk.build(DATA, "last", weights, "keep", nodes=[Fraction(1, 2)]).schemes[-1].step((), DATA.rate)
    assert found == wanted


def test_the_body_of_a_table_has_whole_blocks():
    back, table = (0, 1, 2), (0, 1, 2, 0, 1, 2, 0, 1, 0)
    assert results(table, back) == [2, 5, 7, 8] and parts(table, back) == ((), (0, 1, 2) * 2, (0, 1, 0))
    for count in range(4, 40):
        longer = stretched(table, count, back)
        assert len(longer) == count and longer[-3:] == (0, 1, 0)
        assert all(j == 0 or longer[i - 1] == j - 1 for i, j in enumerate(longer))
        orders = [longer[i] for i in results(longer, back)][:-2]
        assert orders.count(2) >= (count - 3) // 3 - 1 and (0 not in orders or count < 7)


def test_a_step_that_combines_no_value_is_allowed_outside_the_body():
    """iPNDM of diffusers begins so; an order of 0 that a longer table repeats is refused."""
    uniform = [{"order": 2, "weights": "uniform"}] * 3
    first = build(Kernel(QQ(0)), [{"order": 0}, *uniform])
    proof = prove(first, COST)
    assert (proof.order, proof.global_order) == (1, 1) and [p.order for p in proof.schemes] == [0, 1]
    assert refute(proof, {}) == [] and str(first.rows[0]).startswith("carry")
    (fault,) = refute(prove(build(DATA, [{"order": 0}] * 3), COST), {})
    assert fault.key == "method.table" and "combine no value (order: 0); allowed: entries of order" in fault.message


def refused(entries: list[dict[str, Any]], start: str = "ramp") -> PoseError:
    with pytest.raises(PoseError) as found:
        build(DATA, entries, start)
    return found.value


def test_refusals_name_the_entry():
    for entries, key, text in (
        ([{"order": 2}], "method.table[0].order", "got 2, but 1 value is known at this step"),
        ([{"order": 1}, {"order": 3}], "method.table[1].order", "2 values are known"),
        ([{"order": 1, "corrector": "pseudo", "corrector_order": 2}], "method.table[0].corrector_order", "got 2"),
        ([{"order": 1}, {"order": 2, "taylor": 3}], "method.table[1].taylor", "allowed: 1 to 2"),
        ([{"order": 1}, {"order": 2, "nodes": (0, 2)}], "method.table[1].nodes", "got [0, 2], but 2 values are known"),
        ([{"order": 2, "nodes": (0,)}], "method.table[0].nodes", "got 1 nodes; allowed: 2, the order of the entry"),
        (
            [{"order": 1, "corrector": "implicit", "corrector_nodes": (0, 1)}],
            "method.table[0].corrector_nodes",
            "got [0, 1], but 1 value is known",
        ),
        (
            [{"order": 1}, {"order": 1, "corrector": "implicit", "corrector_order": 2, "corrector_nodes": (0,)}],
            "method.table[1].corrector_nodes",
            "got 1 nodes; allowed: 2, the corrector_order of the entry",
        ),
        ([{"order": 1, "weights": {1: sp.Integer(1)}}], "method.table[0].weights", "moment 1 of a row with 1 nodes"),
        ([{"order": 1, "weights": {-1: sp.Integer(1)}}], "method.table[0].weights", "moment -1 of a row with 1 nodes"),
        (
            [{"order": 1}] * 2 + [{"order": 2, "nodes": (0, 2), "weights": "uniform"}],
            "method.table[2].weights",
            "nodes",
        ),
        ([{"order": 1}, {"order": 2, "taylor": 1, "weights": "uniform"}], "method.table[1].weights", "beside taylor"),
        (
            [{"order": 1, "back": 1}],
            "method.table[0].back",
            "got 1; allowed after a step in the same integrand with order 1",
        ),
        ([{"order": 0, "weights": "bh2"}, {"order": 1}], "method.table[0].weights", "beside order: 0"),
        ([{"order": 0, "corrector": "implicit"}, {"order": 1}], "method.table[0].corrector", "beside order: 0"),
        ([{"order": 1}, {"order": 2, "back": 2}], "method.table[1].back", "got 2; allowed after a step"),
        ([{"order": 0}, TWO], "method.table[1].back", "got 1; allowed after a step in the same integrand with order 1"),
        (
            [{"order": 1}, {"order": 2}, {"order": 2, "back": 1}],
            "method.table[2].back",
            "with order 1 and no corrector",
        ),
        (
            [{"order": 1}] * 2 + [{"order": 3, "back": 1}],
            "method.table[2].nodes",
            "a value of 2 steps ago; allowed: 0 to 1",
        ),
        ([{"order": 1}, {"order": 2, "back": 1, "weights": "uniform"}], "method.table[1].back", "uniform weights"),
    ):
        error = refused(entries)
        assert error.key == key and text in str(error)
    mixed = refused([{"order": 1}, {"order": 1, "corrector": "pseudo"}, {"order": 1}])
    assert mixed.key == "method.table[0].corrector" and "allowed beside pseudo correctors: pseudo" in str(mixed)
    assert build(DATA, [{"order": 2}, {"order": 2}], "exact").table == (0, 0)
    kept = [{"order": 1, "corrector": "pseudo"}, {"order": 1, "nodes": (1,), "corrector": "pseudo"}]
    error = refused(kept)
    assert error.key == "method.table[1].nodes" and "allowed: corrector_nodes with 0" in str(error)
    assert build(DATA, [kept[0], {**kept[1], "corrector_nodes": (0, 1)}, {"order": 1}]).table == (0, 1, 0)
    named = refused([kept[0], {**kept[1], "corrector_nodes": (1,)}])
    assert named.key == "method.table[1].corrector_nodes"


def test_a_step_over_chosen_values():
    """Nodes 0 and 2: the derivative is a difference over two steps; moments 0 and 1 are exact, moment 2 is not."""
    tableau = build(DATA, [{"order": 1}, {"order": 2}, {"order": 2, "nodes": (0, 2)}, {"order": 2, "nodes": (0, 2)}])
    row = tableau.schemes[2].output
    thetas = [nodes(3)[0], nodes(3)[2]]
    assert [node.index for node in row.nodes] == [0, 2] and row.chosen and tableau.steps == 3
    first = phi(2, -1) / thetas[1]
    assert own(tableau.schemes[2], True) == [phi(1, -1) - first, first]
    zeroth, once = residuals(thetas, own(tableau.schemes[2], True), -1)
    assert not zeroth and not once
    proved = prove(tableau, COST)
    assert (
        proved.order == 2 and proved.main.residual and "2 values reproduce moments 0 to 1 only" in proved.main.because
    )
    assert proved.schemes[2].variable_grid == {"F''": "r0/4 + r1/4 + 1/6"} and "at theta = 0, -r0 - r1" in str(tableau)
    assert r"\theta = 0, - r_{0} - r_{1}" in tableau.latex()


@pytest.mark.parametrize("kernel", [DATA, NOISE, ANY])
@pytest.mark.parametrize("chosen", [(0,), (1,), (0, 3), (1, 2), (0, 2, 5), (0, 1, 3, 4), (0, 1, 2, 4, 5)])
def test_every_subset_of_values_has_the_order_of_its_size_and_no_more(chosen, kernel):
    tableau = build(kernel, [{"order": len(chosen), "nodes": chosen}] * 2, "exact")
    proved = prove(tableau, COST)
    assert proved.order == proved.global_order == len(chosen)
    assert [fault.key for fault in refute(proved, {"order": len(chosen)})] == []
    assert [fault.key for fault in refute(proved, {"order": len(chosen) + 1})] == ["claims.order"]


def test_the_corrector_of_chosen_values():
    """By default over the same values; its own where they are given."""
    step = {"order": 2, "nodes": (0, 2), "corrector": "implicit"}
    same, other = build(DATA, [step, {**step, "corrector_nodes": (0, 1, 3)}], "exact").schemes
    assert [(n.kind, n.index) for n in same.output.nodes] == [("stage", 1), ("history", 0), ("history", 2)]
    assert [n.index for n in other.output.nodes] == [1, 0, 1, 3] and other.past == 3
    newest = build(DATA, [{**step, "corrector_order": 2}], "exact").schemes[0]
    assert [n.index for n in newest.output.nodes] == [1, 0, 1]
    proved = prove(build(DATA, [{**step, "corrector": "pseudo"}] * 3, "exact"), COST)
    assert (proved.order, proved.main.predictor) == (3, 2)


BOTH = {"data": DATA, "noise": NOISE}


def mixed(*entries: dict[str, Any], start: str = "ramp", **kernels: Kernel) -> Any:
    """A table in data (0) and noise (1), or in these kernels."""
    known = kernels or BOTH
    return build(next(iter(known.values())), entries, start, known)


def test_every_step_has_the_kernel_of_its_integrand():
    tableau = mixed({"order": 1, "integrand": 1}, {"order": 2, "integrand": 1}, {"order": 2}, {"order": 2})
    assert [scheme.integrand for scheme in tableau.schemes] == [1, 1, 0] and tableau.kept == (0, 1)
    assert [tableau.kernel_of(scheme) for scheme in tableau.schemes] == [NOISE, NOISE, DATA]
    assert tableau.names == ("data", "noise") and tableau.others == (NOISE,)
    assert prove(tableau, COST).switches == "integrand by step: 0 to 1 noise, 2 to 3 data"
    assert str(prove(tableau, COST)).endswith("1 reads + 1 writes, history 1 in 2 integrands")
    assert "noise: kernel exp(h*(1 - theta))" in str(tableau) and r"F^{\mathrm{noise}}[\theta_0" in tableau.latex()


def test_the_integrands_whose_history_is_kept():
    """Those that some row reads at earlier grid points, or that a corrector evaluates."""
    one = mixed({"order": 1}, {"order": 1, "integrand": 1}, {"order": 2})
    assert one.kept == (0,) and mixed({"order": 1}, {"order": 1, "integrand": 1}).kept == ()
    assert mixed({"order": 1, "corrector": "pseudo"}, {"order": 1, "integrand": 1, "corrector": "pseudo"}).kept == (
        0,
        1,
    )


@pytest.mark.parametrize(
    ("entries", "order", "global_order"),
    [
        ([(1, 1), (2, 1), (3, 0), (3, 0), (3, 0)], 3, 2),
        ([(1, 1), (2, 1), (2, 0), (3, 0), (2, 1), (3, 0)], 2, 2),
        ([(1, 0), (1, 1), (2, 0), (2, 1), (2, 0), (2, 1)], 2, 2),
        ([(1, 1), (2, 0), (2, 0), (1, 1)], 2, 2),
        ([(1, 1), (1, 0), (1, 1), (2, 0), (1, 1)], 1, 1),
    ],
)
@pytest.mark.parametrize("kernels", [BOTH, {"noise": Kernel(QQ(0)), "v": ANY}], ids=["lambda", "rho"])
def test_the_order_of_a_table_in_several_integrands(entries, order, global_order, kernels):
    """Of each step with its own kernel; switching costs nothing."""
    tableau = mixed(*({"order": p, "integrand": k} for p, k in entries), **kernels)
    proved = prove(tableau, COST)
    assert (proved.order, proved.global_order) == (order, global_order)
    assert [fault.key for fault in refute(proved, {"order": order + 1})] == ["claims.order"]
    for scheme, found in zip(tableau.schemes, proved.schemes, strict=True):
        assert found == prove_scheme(scheme, list(kernels.values())[scheme.integrand])


def test_a_scheme_combines_one_integrand_and_every_integrand_is_combined():
    tableau = mixed({"order": 1}, {"order": 2, "integrand": 1, "corrector": "implicit"})
    second = tableau.schemes[1]
    with pytest.raises(ValueError, match="values of one integrand"):
        replace(second, stages=(replace(second.stages[0], integrand=0),))
    with pytest.raises(ValueError, match="every integrand has a kernel"):
        replace(tableau, others=())
    with pytest.raises(ValueError, match="every integrand has a kernel"):
        replace(tableau, others=(NOISE, ANY))
    with pytest.raises(PoseError, match="got 9 integrands; allowed: at most 8 different ones"):
        mixed({"order": 1}, **{f"q{k}": DATA for k in range(9)})
    every = mixed(*({"order": 1, "integrand": k} for k in range(8)), **{f"q{k}": DATA for k in range(8)})
    assert every.integrands == tuple(range(8)) and len(every.names) == 8
    assert len(LETTERS) == MAX_INTEGRANDS


def test_what_the_program_of_a_table_in_two_integrands_keeps():
    """A pair of values for every grid point, the newest first; one evaluation and one kernel a call."""
    tableau = mixed({"order": 1, "integrand": 1}, {"order": 2}, {"order": 2, "integrand": 1, "corrector": "implicit"})
    phases, columns = phases_of(tableau, (True, False), False)
    made = optimise(Program("pair", phases, columns, 1, ways(tableau), (0, 1, 2), "mn"))
    assert verify(made) is made and columns == ("a", "b0", "b1", "d1", "cx", "cr")
    assert str(made.phase("step_2")).splitlines() == [
        "  phase step_2: node n; finds m[1], n[1]",
        "    raw      = evaluate x @ n",
        "    m0       = combine cx*x + cr*raw",
        "    n0       = combine raw",
        "    x'       = combine a*x + b0*m0 + b1*m[1]",
        "    keep m0, n0",
    ]
    first, second = made.phase("step_3_1"), made.phase("step_3_2")
    assert first.keep.values == ("x", "m0", "n0", "n[1]") and second.memory == ("y", "m0", "n0", "n[1]")
    assert all(phase.evaluations == phase.kernels == 1 for phase in made.phases)
    wrong = replace(made, kept="nm")
    with pytest.raises(InternalError, match="is not a history"):
        verify(wrong)


SPEC = """
name: searched
problem: {{kind: diffusion, schedule: vp_linear, prediction: noise}}
method:
  family: decisions
  integrand: data
  table: [{table}]
"""


def test_a_spec_with_a_table_reads_back_as_itself():
    text = SPEC.format(table='{order: 1}, {order: 2, weights: {moments: {1: "phi1/2"}}, corrector: implicit}')
    spec = read_spec_text(text)
    first, second = spec.method.parameters["table"]
    assert first == {"order": 1, "weights": "exact", "corrector": "none", "corrector_weights": "exact"}
    assert second["weights"] == {1: sp.Symbol("phi1") / 2} and second["corrector"] == "implicit"
    again = read_spec_text(spec.canonical())
    assert again.method == spec.method and again.canonical() == spec.canonical()
    tableau = build(NOISE, **{k: v for k, v in spec.method.parameters.items() if k in ("table", "start")})
    assert tableau.table == (0, 1) and tableau.schemes[1].evaluations == 2


def test_a_spec_with_nodes_and_integrands_reads_back_as_itself():
    text = SPEC.format(
        table="{order: 1, integrand: noise}, {order: 1}, {order: 2, nodes: [0, 2], integrand: {x0: 1, eps: sigma}}"
    )
    spec = read_spec_text(text)
    assert spec.method.parameters["table"][2]["nodes"] == (0, 2)
    again = read_spec_text(spec.canonical())
    assert again.method == spec.method and again.canonical() == spec.canonical()
    assert 'nodes: [0, 2], integrand: {kind: linear, x0: "1", eps: "sigma"}' in spec.canonical()


@pytest.mark.parametrize(
    ("table", "key", "text"),
    [
        ("{order: 7}", "method.table[0].order", "allowed 0 to 6"),
        ("{order: 1}, {ordr: 2}", "method.table[1].ordr", "order"),
        ("{order: 1}, 3", "method.table[1]", "a mapping with the keys order, nodes"),
        ("{order: 1, corrector: full}", "method.table[0].corrector", "none, pseudo, implicit"),
        ("{}", "method.table[0].order", "missing"),
        ("{order: 2, nodes: 2}", "method.table[0].nodes", "a list of 1 to 6 different integers from 0 to 5, rising"),
        ("{order: 2, nodes: [0, 1.5]}", "method.table[0].nodes", "a list of 1 to 6 different integers"),
        ("{order: 2, nodes: [0, [1]]}", "method.table[0].nodes", "a list of 1 to 6 different integers"),
        ("{order: 2, nodes: []}", "method.table[0].nodes", "a list of 1 to 6 different integers"),
        ("{order: 2, nodes: [0, true]}", "method.table[0].nodes", "a list of 1 to 6 different integers"),
        ("{order: 2, nodes: [0, 6]}", "method.table[0].nodes", "got [0, 6]; allowed a list of 1 to 6 different"),
        ("{order: 2, nodes: [2, 0]}", "method.table[0].nodes", "got [2, 0]; allowed a list of 1 to 6 different"),
        ("{order: 2, nodes: [1, 1]}", "method.table[0].nodes", "got [1, 1]; allowed a list of 1 to 6 different"),
        ("{order: 2, corrector_nodes: [-1]}", "method.table[0].corrector_nodes", "got [-1]; allowed a list of"),
        ("{order: 1, integrand: noice}", "method.table[0].integrand", "did you mean 'noise'"),
        ("{order: 1, integrand: {x0: z, eps: 1}}", "method.table[0].integrand.x0", "z"),
        ("", "method.table", "a list of 1 to 64 mappings"),
    ],
)
def test_a_wrong_table_is_refused_in_its_place(table, key, text):
    with pytest.raises(SpecError) as found:
        read_spec_text(SPEC.format(table=table))
    assert any(fault.key == key and text in fault.message for fault in found.value.faults)


def test_what_a_spec_may_write():
    assert list(PARAMETERS) == ["table", "integrand", "variable", "transfer", "start"]
    assert PARAMETERS["table"].longest == 64
    step = ["order", "nodes", "integrand", "back", "taylor", "weights"]
    assert list(ENTRY) == [*step, "corrector", "corrector_order", "corrector_nodes", "corrector_weights"]
