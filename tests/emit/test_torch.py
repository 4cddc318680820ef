"""The torch backend: both forms of every phase do what the program says, for programs of every shape."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from derive import emit
from derive.backends import torch as backend
from derive.errors import InternalError
from derive.gate import check_python
from derive.program.ir import Combine, Draw, Evaluate, Line, Operation, Phase, Program, Push
from derive.store import seal


def made(steps: int, converts: bool) -> Program:
    """An exponential multistep program of the given length, with or without a conversion."""
    newest = "m0" if converts else "raw"
    phases = []
    for order in range(1, steps + 1):
        lines = [Line("m0", (("cx", "x"), ("cr", "raw")))] if converts else []
        terms = [("a", "x"), ("b0", newest), *((f"b{j}", f"m[{j}]") for j in range(1, order))]
        lines.append(Line("x'", tuple(terms)))
        ops: list[Operation] = [Evaluate("raw", "x", "n"), Combine(tuple(lines))]
        ops += [Push("m", newest)] if steps > 1 else []
        phases.append(Phase("main" if order == steps else f"start_{order}", tuple(ops)))
    columns = ("a", *(f"b{j}" for j in range(steps)), *(("cx", "cr") if converts else ()))
    return Program("made", tuple(phases), columns, steps - 1)


def compiled(program: Program) -> dict[str, Any]:
    """The names of the generated step module."""
    text = emit.environment().get_template(backend.TEMPLATE).render(doc=[], **backend.context(program))
    data = seal("step_torch.py", text, "0" * 64)
    check_python("step_torch.py", data)
    names: dict[str, Any] = {}
    exec(compile(data, "step_torch.py", "exec"), names)  # noqa: S102  (what an import of the file would do)
    return names


def meaning(phase: Phase, columns: dict[str, float], x: Any, raw: Any, past: list[Any]) -> tuple[Any, Any]:
    """The phase's lines, read naively in NumPy."""
    values = {"x": x, "raw": raw, **{f"m[{j}]": v for j, v in enumerate(past, 1)}}
    for op in phase.operations:
        if isinstance(op, Combine):
            for line in op.lines:
                values[line.out] = sum((columns[c] if c else 1.0) * values[v] for c, v in line.terms)
    push = next((op.value for op in phase.operations if isinstance(op, Push)), None)
    return values["x'"], values.get(push)


@pytest.mark.parametrize(("steps", "converts"), list(itertools.product((1, 2, 3, 4), (False, True))))
def test_both_forms_do_what_the_program_says(steps: int, converts: bool) -> None:
    program = made(steps, converts)
    names = compiled(program)
    rng = np.random.default_rng(3)
    for order, phase in enumerate(program.phases, 1):
        row = dict(zip(program.columns, rng.standard_normal(len(program.columns)), strict=True))
        x, raw, *past = rng.standard_normal((order + 1, 2, 3))
        want, newest = meaning(phase, row, x, raw, past)
        c = tuple(torch.tensor(row[k], dtype=torch.float64) for k in program.columns)
        tensors = tuple(torch.from_numpy(p.copy()) for p in past)
        raw_tensor = torch.from_numpy(raw.copy())
        got, kept = names["STEPS"][order - 1](torch.from_numpy(x.copy()), raw_tensor, tensors, c)
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
        assert len(kept) == min(order, program.history)
        state = torch.from_numpy(x.copy())
        ring = (*tensors, *(torch.empty(2, 3, dtype=torch.float64) for _ in range(names["RING"] - len(tensors))))
        ring_after = names["STEPS_"][order - 1](state, raw_tensor, ring, c)
        np.testing.assert_allclose(state, want, rtol=1e-13, atol=1e-13)
        assert len(ring_after) == names["RING"]
        assert {id(b) for b in ring_after} == {id(b) for b in ring}
        if steps > 1:
            for history in (kept, ring_after):
                np.testing.assert_allclose(history[0], newest, rtol=1e-13, atol=1e-13)
                for j, p in enumerate(past[: program.history - 1], 1):
                    np.testing.assert_array_equal(history[j], p)
        np.testing.assert_array_equal(raw_tensor, raw)


def test_buffers_only_where_they_are_needed() -> None:
    assert compiled(made(1, False))["RING"] == 0
    assert compiled(made(1, True))["RING"] == 1
    assert compiled(made(3, False))["RING"] == 3


def test_in_place_allocates_nothing() -> None:
    """No tensor is made by a step in place: counted by the dispatcher."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counts(TorchDispatchMode):
        new = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.new += not (str(function._schema.name).endswith("_") or "out" in function._overloadname)
            return function(*args, **(kwargs or {}))

    names = compiled(made(3, True))
    x, raw = torch.zeros(2, 3), torch.ones(2, 3)
    ring = tuple(torch.zeros(2, 3) for _ in range(names["RING"]))
    c = tuple(torch.tensor(float(i)) for i in range(6))
    with Counts() as counts:
        names["main_"](x, raw, ring, c)
    assert counts.new == 0


def test_a_coefficient_of_one_is_not_multiplied() -> None:
    phase = Phase("main", (Evaluate("raw", "x", "n"), Combine((Line("x'", ((None, "x"), ("b0", "raw"))),))))
    names = compiled(Program("euler", (phase,), ("b0",), 0))
    x = torch.full((3,), 2.0)
    assert names["main"](x, torch.ones(3), (), (0.5,))[0].tolist() == [2.5] * 3
    names["main_"](x, torch.ones(3), (), (torch.tensor(0.5),))
    assert x.tolist() == [2.5] * 3


@pytest.mark.parametrize(
    "operations",
    [
        (Evaluate("raw", "x", "n"), Evaluate("raw", "x", "n")),
        (Evaluate("raw", "x", "n"), Draw("w", "normal")),
        (Combine((Line("x'", (("a", "raw"),)),)),),
        (Evaluate("raw", "x", "n"), Combine((Line("x'", (("a; import os", "x"),)),))),
        (Evaluate("raw", "x", "n"), Combine((Line("x'", ()),))),
        (Evaluate("raw", "x", "n"), Combine((Line("raw", (("a", "x"),)),))),
        (Evaluate("raw", "x", "n"), Combine((Line("x'", (("a", "x"),)), Line("m0", (("b", "x"),))))),
        (Evaluate("raw", "x", "n"),),
    ],
    ids=["two calls", "noise", "reads raw before the call", "bad name", "empty", "overwrites", "x after x'", "no step"],
)
def test_what_it_cannot_execute_is_our_bug(operations: tuple[Operation, ...]) -> None:
    with pytest.raises(InternalError):
        backend.context(Program("p", (Phase("main", operations),), ("a", "b"), 0))
