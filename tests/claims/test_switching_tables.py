"""Tables that choose the integrand and the nodes of every step, against the same steps written out by hand.

By hand means: the states at which the network was called and what it returned are remembered as they were, a step forms
the values of its own integrand from them when it reads them, and its weights solve V w = m with moments of its own kernel.
The solvers form the values when the network is called, and convert nothing later. In lambda: F = eps has
x_t = (alpha_t/alpha_s) x_s - sigma_t int_0^h e^(h - u) eps du, F = x_0 has
x_t = (sigma_t/sigma_s) x_s + alpha_t int_0^h e^(u - h) x_0 du.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath
import pytest
import torch

from derive.analysis.jet_module import certify_global, certify_module
from derive.check import STEP_BOUND, ULPS, compare_rows, compare_step
from derive.measure.march import Emitted, cold, finish
from runtime.real import real
from tests.claims.shipped import Shipped, shipped
from tests.claims.test_tables_of_decisions import (
    FOLDER,
    MULTISTEP,
    UNEVEN,
    made,
    network,
    start,
    table,
    written,
)

mp = mpmath.mp.clone()
mp.dps = 90
CLOSE = mp.mpf(10) ** -60
NOISE, DATA = "integrand: noise", "integrand: data"
Entry = dict[str, Any]


def entry_text(entry: Entry) -> str:
    return ", ".join(f"{key}: {value}" for key, value in entry.items())


class ByHand:
    """A table in the variable lambda, of data (the default) and noise, run with 90 digits; the network returns eps."""

    def __init__(self, solver: Shipped, entries: Sequence[Entry], times: Sequence[float]) -> None:
        self.entries = entries
        code = solver.coefficients
        self.alpha = [mp.mpf(str(code.alpha(real(t)))) for t in times]
        self.sigma = [mp.mpf(str(code.sigma(real(t)))) for t in times]
        self.lam = [mp.log(a / s) for a, s in zip(self.alpha, self.sigma)]
        self.times = [mp.mpf(t) for t in times]
        self.calls: list[tuple[int, Any, Any]] = []

    def network(self, x: Any, i: int) -> Any:
        """eps, linear in the state."""
        return (mp.mpf(3) / 10 + self.times[i] / 5) * x

    def call(self, x: Any, i: int) -> None:
        """Remembers the state at point i, and what the network returned."""
        self.calls.append((i, x, self.network(x, i)))

    def moments(self, noise: bool, h: Any, count: int) -> list[Any]:
        """int_0^1 e^(z (1 - theta)) theta^k dtheta, z = h or -h: mu_0 = (e^z - 1)/z, by parts mu_k = (k mu_{k-1} - 1)/z."""
        z = h if noise else -h
        found = [(mp.exp(z) - 1) / z]
        for k in range(1, count):
            found.append((k * found[-1] - 1) / z)
        return found

    def moved(self, x: Any, i: int, noise: bool, read: Sequence[tuple[int, Any, Any]]) -> Any:
        """x from point i to the next, over these values."""
        h = self.lam[i + 1] - self.lam[i]
        thetas = [(self.lam[j] - self.lam[i]) / h for j, _, _ in read]
        values = [e if noise else (s - self.sigma[j] * e) / self.alpha[j] for j, s, e in read]
        system = mp.matrix([[theta**k if k else mp.one for theta in thetas] for k in range(len(read))])
        weights = mp.lu_solve(system, mp.matrix(self.moments(noise, h, len(read))))
        total = h * sum((w * v for w, v in zip(weights, values)), mp.zero)
        if noise:
            return self.alpha[i + 1] / self.alpha[i] * x - self.sigma[i + 1] * total
        return self.sigma[i + 1] / self.sigma[i] * x + self.alpha[i + 1] * total

    def run(self, x: Any) -> Any:
        """The last state. Per grid point one call, that of the predicted state where predictions are kept."""
        kinds = [entry.get("corrector", "none") for entry in self.entries]
        history: list[tuple[int, Any, Any]] = []
        for i, entry in enumerate(self.entries):
            noise = entry.get("integrand") == "noise"
            nodes = entry.get("nodes", range(entry["order"]))
            known = entry.get("corrector_nodes", nodes)
            if i == 0 or kinds[i - 1] != "pseudo":
                history = [(i, x, self.network(x, i)), *history]
            ahead = self.moved(x, i, noise, [history[j] for j in nodes])
            if kinds[i] == "none":
                x = ahead
                continue
            there = (i + 1, ahead, self.network(ahead, i + 1))
            x = self.moved(x, i, noise, [there, *(history[j] for j in known)])
            if kinds[i] == "pseudo":
                history = [there, *history]
        return x


MIXED: dict[str, list[Entry]] = {
    "plain": [
        {"order": 1, "integrand": "noise"}, {"order": 2, "integrand": "noise"}, {"order": 2}, {"order": 2, "nodes": [0, 2]},
        {"order": 3, "integrand": "noise", "nodes": [0, 1, 3]}, {"order": 3}, {"order": 1, "integrand": "noise"}, {"order": 2},
    ],
    "evaluated_again": [
        {"order": 1, "integrand": "noise", "corrector": "implicit"}, {"order": 2, "corrector": "implicit"}, {"order": 1},
        {"order": 2, "integrand": "noise", "nodes": [0, 2], "corrector": "implicit"},
        {"order": 2, "corrector": "implicit", "corrector_nodes": [0, 3]}, {"order": 3}, {"order": 2, "integrand": "noise"},
    ],
    "kept": [
        {"order": 1, "integrand": "noise", "corrector": "pseudo"}, {"order": 2, "corrector": "pseudo"},
        {"order": 2, "integrand": "noise", "nodes": [0, 2], "corrector": "pseudo"}, {"order": 3, "corrector": "pseudo"},
        {"order": 2, "corrector": "pseudo", "corrector_nodes": [0, 3]}, {"order": 1, "integrand": "noise"},
    ],
    "only_new_values_of_one": [
        {"order": 1, "integrand": "noise"}, {"order": 2}, {"order": 1, "integrand": "noise", "corrector": "implicit"}, {"order": 3},
    ],
}  # fmt: skip


@pytest.mark.parametrize("returned", ["noise", "data", "v"])
@pytest.mark.parametrize("name", MIXED)
def test_a_table_is_the_composition_of_its_steps(name: str, returned: str) -> None:
    """On a linear problem to 60 digits, whatever the network returns; the last state of a corrected table is a prediction."""
    entries = MIXED[name]
    text = (
        f"name: hand_{name}_{returned}\nproblem: {{kind: diffusion, schedule: vp_linear, prediction: {returned}}}\n"
        f"method: {{{table(*map(entry_text, entries))}, integrand: data, variable: lambda}}\n"
    )
    solver = written(text, FOLDER)
    times = UNEVEN[: len(entries) + 1]
    hand = ByHand(solver, entries, times)

    def raw(x: tuple[Any, ...], point: Any) -> tuple[Any, ...]:
        eps = tuple((real(3) / 10 + point.t / 5) * v for v in x)
        data = tuple((v - point.sigma * e) / point.alpha for v, e in zip(x, eps, strict=True))
        mixed = tuple(point.alpha * e - point.sigma * d for d, e in zip(data, eps, strict=True))
        return {"noise": eps, "data": data, "v": mixed}[returned]

    points = [solver.coefficients.node(real(t)) for t in times]
    (found,) = finish(solver.emitted, cold(solver.emitted, points, lambda _: (real(1),)), raw)
    wanted = hand.run(mp.one)
    assert abs(mp.mpf(str(found)) - wanted) < CLOSE * abs(wanted)


@pytest.mark.parametrize("name", ["usf_switch_10", "usf_unipc_switch_8"])
def test_shipped_tables_do_to_tensors_what_the_interpreter_does(name: str) -> None:
    solver = shipped(name)
    assert compare_step(solver.coefficients, solver.step, solver.derived) <= STEP_BOUND
    assert len(solver.coefficients.KEPT) == 2 and solver.coefficients.KEPT[1] == ()


def test_order_one_in_any_integrand_is_ddim() -> None:
    """From the same state every step is that of DDIM: to 1e-14 in float64, and as a map of state and output to 60 digits."""
    entries = ["order: 1" + (f", {NOISE}" if i % 3 else "") for i in range(8)]
    solver, ddim = made(table(*entries)), made(MULTISTEP.format(1), "noise")
    plans = [each.solver.plan(nodes=UNEVEN) for each in (solver, ddim)]
    x = start()
    for i in range(8):
        outputs = []
        for each, plan in zip((solver, ddim), plans, strict=True):
            t = torch.full((len(x),), plan.time(i), dtype=torch.float64)
            row, phase = plan.coefficients(x)[i], plan.phases[i]
            outputs.append(each.step.STEPS[phase](x, network(x, t), (), row)[0])
        torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-14, atol=1e-14)
        x = outputs[1]
    points = [solver.coefficients.node(real(t)) for t in UNEVEN]
    for ours, theirs in zip(solver.emitted.visits(points), ddim.emitted.visits(points), strict=True):
        got = solver.step.STEPS[ours.phase]
        want = ddim.step.STEPS[theirs.phase]
        for x0, raw in ((real(1), real(0)), (real(0), real(1))):
            a, b = got(x0, raw, (), ours.row)[0], want(x0, raw, (), theirs.row)[0]
            assert abs(mp.mpf(str(a)) - mp.mpf(str(b))) < CLOSE


@pytest.mark.parametrize(("asked", "method"), [(DATA, "noise"), (NOISE, "data")])
def test_a_table_in_one_integrand_is_the_multistep_solver_bit_for_bit(asked: str, method: str) -> None:
    """Said by every entry, or once; what no entry uses is not computed."""
    one = asked.removeprefix("integrand: ")
    counts = [1, 2, 3, 3, 3, 3, 3, 3]
    said = made(table(*(f"order: {p}, {asked}" for p in counts)), method)
    once = made(table(*(f"order: {p}" for p in counts)), one)
    plain = made(MULTISTEP.format(3) + ", final: keep", one)
    plans = [each.solver.plan(nodes=UNEVEN) for each in (said, once, plain)]
    assert torch.equal(plans[0].table, plans[1].table) and torch.equal(plans[0].table, plans[2].table)
    found = [each.solver.sample(network, start(), nodes=UNEVEN) for each in (said, once, plain)]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    for file in ("coefficients.py", "step_torch.py"):
        texts = [(each.folder / file).read_text().split("\n", 3) for each in (said, once)]
        assert texts[0][3] == texts[1][3], file


def test_the_same_quantity_under_another_name_is_no_other_integrand() -> None:
    named = made(table("order: 1", "order: 2, integrand: {x0: 1, eps: 0}", f"order: 2, {DATA}"))
    assert not hasattr(named.coefficients, "KEPT") and not named.derived.tableau.others


def test_given_history() -> None:
    """Pairs of state and output, from which every value is formed that the table reads; one value is not enough."""
    solver = made(table(f"order: 2, nodes: [0, 2], {NOISE}", "order: 2", "order: 2") + ", start: exact").solver
    nodes, before = UNEVEN[:6], [start() * 1.2, start() * 1.1]
    given = [(x, network(x, torch.full((3,), t, dtype=torch.float64))) for x, t in zip(before, nodes)]
    plan = solver.plan(nodes=nodes, history=2)
    state = solver.init(plan, start(), given)
    columns, expected = solver.coefficients.KEPT, []
    for (x, raw), row in list(zip(given, plan.integrand(start()), strict=True))[::-1]:
        for names, cx, cr in zip(columns, row[::2], row[1::2], strict=True):
            expected.append(cx * x + cr * raw if names else raw)
    assert len(state.past) == 4 and all(map(torch.equal, state.past, expected))
    assert solver.sample(network, start(), nodes=nodes, history=given).isfinite().all()
    with pytest.raises(
        ValueError, match=r"history: got one value; allowed: the pair \(x, raw\), of which 2 are formed"
    ):
        solver.init(plan, start(), [raw for _, raw in given])
    with pytest.raises(ValueError, match="history: got 1; allowed: at least 2"):
        solver.plan(nodes=nodes[:5], history=1)


def test_an_entry_that_reads_back_too_far_is_named() -> None:
    flow = made(table("order: 1", "order: 1", "order: 2, nodes: [0, 2]"), schedule="flow").solver
    with pytest.raises(
        ValueError, match="entry 2 of the solver's table reads back over 3 grid points, and 2 there have a"
    ):
        flow.plan(nodes=(1.0, 0.5, 0.25, 0.1))


def test_the_last_step_into_sigma_zero_is_the_same_in_both_integrands() -> None:
    ends = [made(table("order: 1", "order: 2", f"order: 1, {last}")).solver for last in (DATA, NOISE)]
    a, b = (solver.sample(network, start(), nodes=(0.9, 0.5, 0.2, 0.0)) for solver in ends)
    torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", MIXED)
def test_new_states_and_steps_in_place_agree(name: str) -> None:
    solver = made(table(*map(entry_text, MIXED[name]))).solver
    nodes = UNEVEN[: len(MIXED[name]) + 1]
    found = solver.sample(network, start().requires_grad_(), nodes=nodes)
    torch.testing.assert_close(found.detach(), solver.sample(network, start(), nodes=nodes), rtol=1e-13, atol=1e-13)


def test_values_of_the_wrong_integrand_are_refuted() -> None:
    """The emitted code on power series: as it is, and with the values of the last step taken for one another."""
    solver = shipped("usf_switch_10").emitted

    def swapped(x: Any, raw: Any, m: Any, c: Any) -> Any:
        return solver.steps["step_3"](x, raw, (m[1], m[0], *m[2:]), c)

    wrong = Emitted(solver.code, {**solver.steps, "step_3": swapped})
    assert certify_module(solver).order == 3 and certify_module(wrong).order == 0
    assert certify_global(solver) == 2 and certify_global(wrong) == 0


@pytest.mark.parametrize(
    ("schedule", "integrand", "variable", "entries", "proved"),
    [
        ("vp_linear", "data", "rho", [f"order: 1, {NOISE}", f"order: 2, {NOISE}", "order: 2", "order: 2"], (2, 2)),
        ("flow", "velocity", "t", [f"order: 1, {NOISE}", f"order: 2, {NOISE}", "order: 2", f"order: 2, {DATA}"], (2, 2)),
        ("edm", "data", "lambda", ["order: 1", "order: 1, integrand: score", "order: 2, integrand: v", "order: 2"], (2, 2)),
        (
            "vp_linear", "data", "lambda",
            [f"order: 1, corrector: pseudo, {NOISE}", "order: 2, corrector: pseudo", "order: 2, corrector: pseudo", "order: 1"],
            (3, 2),
        ),
    ],
)  # fmt: skip
def test_every_number_and_the_order_of_emitted_tables(
    schedule: str, integrand: str, variable: str, entries: list[str], proved: tuple[int, int]
) -> None:
    """Kernels closed, constant and by quadrature beside each other."""
    solver = made(table(*entries), integrand, variable, schedule)
    ulps, where = compare_rows(solver.coefficients, solver.derived)
    assert ulps <= ULPS, where
    assert compare_step(solver.coefficients, solver.step, solver.derived) <= STEP_BOUND
    assert (certify_module(solver.emitted).order, certify_global(solver.emitted)) == proved
    assert (solver.derived.proof.order, solver.derived.proof.global_order) == proved
