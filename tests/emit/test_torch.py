"""The torch backend: both forms of every phase do what the program says, for programs of every shape."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from derive import emit
from derive.backends import torch as backend
from derive.errors import InternalError
from derive.gate import check_python
from derive.program.interpret import run, run_phase
from derive.program.ir import Combine, Draw, Evaluate, Keep, Line, Operation, Phase, Program
from derive.program.memory import flow
from derive.store import seal
from tests.program.methods import TABLEAUS, program

SHAPE = (2, 3)
every_program = pytest.mark.parametrize("name", TABLEAUS)
both_networks = pytest.mark.parametrize("converts", [True, False], ids=["converts", "integrand"])


def compiled(made: Program) -> dict[str, Any]:
    """The names of the generated step module."""
    text = emit.environment().get_template(backend.TEMPLATE).render(doc=[], **backend.context(made))
    data = seal("step_torch.py", text, "0" * 64)
    check_python("step_torch.py", data)
    assert max(map(len, text.splitlines())) <= 120
    names: dict[str, Any] = {}
    exec(compile(data, "step_torch.py", "exec"), names)  # noqa: S102  (what an import of the file would do)
    return names


def calls(made: Program, seed: int = 3) -> Iterator[tuple[Phase, dict[str, float], Any, Any, Any]]:
    """Every phase with every memory that it can find: (phase, row, x, raw, memory), random numbers."""
    rng = np.random.default_rng(seed)
    for phase in made.phases:
        for count in sorted({len(entry) for entry in flow(made).entries[phase.name]}):
            row = dict(zip(made.columns, rng.standard_normal(len(made.columns)).tolist()))
            x, raw, *memory = rng.standard_normal((count + 2, *SHAPE))
            yield phase, row, x, raw, memory


def tensors(arrays: Any) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(a.copy()) for a in arrays)


def scalars(made: Program, row: dict[str, float]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(row[k], dtype=torch.float64) for k in made.columns)


def assert_close(got: Any, want: Any) -> None:
    """Equal but for the order of the roundings in a sum of ten terms of size one."""
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


@both_networks
@every_program
def test_both_forms_do_what_the_program_says(name: str, converts: bool) -> None:
    made = program(name, converts)
    names = compiled(made)
    for phase, row, x, raw, memory in calls(made):
        want, left = run_phase(phase, row, x, memory, lambda _, raw=raw: raw)
        c = scalars(made, row)
        got, kept = names["STEPS"][phase.name](*tensors([x, raw]), tensors(memory), c)
        assert_close(got, want)
        assert len(kept) == len(left)
        state, given = tensors([x, raw])
        free = [torch.full(SHAPE, torch.nan, dtype=torch.float64) for _ in range(names["RING"] - len(memory))]
        new, ring = names["STEPS_"][phase.name](state, given, (*tensors(memory), *free), c)
        assert_close(new, want)
        for a, b, wanted in zip(kept, ring, left):
            assert_close(a, wanted)
            assert_close(b, wanted)
        np.testing.assert_array_equal(given, raw)
        assert names["NEEDS"][phase.name] == len(phase.memory) <= len(memory)
        assert names["KEEPS"][phase.name] <= len(left)


@both_networks
@every_program
def test_in_place_rotates_the_buffers_it_is_given(name: str, converts: bool) -> None:
    """The same buffers come back, each once, and the new state lies in one of them."""
    made = program(name, converts)
    names = compiled(made)
    for phase, row, x, raw, memory in calls(made):
        buffers = tensors([x, *memory, *[x] * (names["RING"] - len(memory))])
        new, ring = names["STEPS_"][phase.name](buffers[0], *tensors([raw]), buffers[1:], scalars(made, row))
        assert sorted(b.data_ptr() for b in (new, *ring)) == sorted(b.data_ptr() for b in buffers)


@both_networks
@every_program
def test_in_place_allocates_nothing(name: str, converts: bool) -> None:
    """No tensor is made by a step in place: counted by the dispatcher."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counts(TorchDispatchMode):
        new = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.new += not (str(function._schema.name).endswith("_") or "out" in function._overloadname)
            return function(*args, **(kwargs or {}))

    made = program(name, converts)
    names = compiled(made)
    for phase, row, x, raw, memory in calls(made):
        ring = tensors([*memory, *[x] * (names["RING"] - len(memory))])
        c = scalars(made, row)
        x, raw = tensors([x, raw])
        with Counts() as counts:
            names["STEPS_"][phase.name](x, raw, ring, c)
        assert counts.new == 0


def itinerary(made: Program, last: int = 2) -> list[str]:
    """Phases of a whole solve: the starter or the ramp, some full steps, and lower orders at the end."""
    ways = {way[-1].name: [phase.name for phase in way] for way in made.ways}
    begin = next((way for name, way in ways.items() if name.startswith("begin")), None)
    ramp = [name for name in ways if name.startswith("start")]
    corrects = "ca" in made.columns
    first = [begin] * (len(ramp) - corrects) if begin else [ways[name] for name in ramp]
    first += [ways["enter"]] if "enter" in ways else []
    down = [ways[name] for name in reversed(ramp[1 if corrects else 0 :])]
    return [name for way in (*first, *[ways["main"]] * last, *down) for name in way]


@both_networks
@every_program
def test_whole_solves_agree_with_the_interpreter(name: str, converts: bool) -> None:
    """Functional, in place and interpreted, call after call with the memory each one leaves."""
    made = program(name, converts, scaled=True)
    names, path = compiled(made), itinerary(made)
    rng = np.random.default_rng(5)
    rows = [dict(zip(made.columns, rng.uniform(-0.5, 0.5, len(made.columns)).tolist())) for _ in path]
    x = rng.standard_normal(SHAPE)

    def network(state: Any, i: int) -> Any:
        return state / (1 + state * state) + 0.125 * i

    want = run(made, path, rows, x, network)
    plain, memory = torch.from_numpy(x), ()
    state, ring = torch.from_numpy(x.copy()), tuple(torch.full(SHAPE, torch.nan).double() for _ in range(names["RING"]))
    for i, (phase, row) in enumerate(zip(path, rows, strict=True)):
        c = scalars(made, row)
        plain, memory = names["STEPS"][phase](plain, network(plain * row["cin"], i), memory, c)
        state, ring = names["STEPS_"][phase](state, network(state * row["cin"], i), ring, c)
    np.testing.assert_allclose(plain, want, rtol=0, atol=4e-15)
    np.testing.assert_allclose(state, want, rtol=0, atol=4e-15)


@both_networks
@every_program
def test_new_tensors_in_any_arithmetic(name: str, converts: bool) -> None:
    """Fractions in, fractions out, exact; NumPy arrays as well: the functional form is arithmetic and nothing else."""
    made = program(name, converts)
    names = compiled(made)
    for phase, row, x, raw, memory in calls(made):
        exact = {k: Fraction(v) for k, v in row.items()}
        values = dict(zip(phase.memory, (Fraction(float(m[0, 0])) for m in memory)))
        values |= {"x": Fraction(float(x[0, 0])), "raw": Fraction(float(raw[0, 0]))}
        found = [Fraction(float(m[0, 0])) for m in memory]
        for line in phase.lines:
            values[line.out] = sum(exact[k or ""] * values[v] for k, v in line.terms)
        got, kept = names["STEPS"][phase.name](values["x"], values["raw"], tuple(found), tuple(exact.values()))
        left = [*(values[v] for v in phase.keep.values), *found[len(phase.memory) :]]
        assert got == values["x'"] and list(kept) == left[: phase.keep.most]
        want, _ = run_phase(phase, row, x, memory, lambda _, raw=raw: raw)
        array, _ = names["STEPS"][phase.name](x, raw, tuple(memory), tuple(row.values()))
        assert_close(array, want)


@pytest.mark.parametrize(
    ("name", "converts", "ring"),
    [
        ("ab1", False, 0), ("ab1", True, 1), ("ab2", False, 1), ("ab3", False, 2), ("ab3", True, 3),
        ("midpoint", True, 2), ("rk4", True, 4), ("rk4", False, 4), ("heun3", True, 2), ("pec2", True, 3),
        ("pec3", False, 4), ("begun", True, 3),
    ],
)  # fmt: skip
def test_buffers_only_where_they_are_needed(name: str, converts: bool, ring: int) -> None:
    """k - 1 past values and one to work in; s + 1 for s stages: x_n and the integrands but the last."""
    assert compiled(program(name, converts))["RING"] == ring


def one_call(*operations: Operation, memory: tuple[str, ...] = ()) -> Program:
    return Program("p", (Phase("main", memory, operations),), ("a", "b"), 0)


EVALUATE, NOTHING = Evaluate("raw", "x", "n"), Keep((), 0)


def test_a_coefficient_of_one_is_not_multiplied() -> None:
    names = compiled(one_call(EVALUATE, Combine((Line("x'", ((None, "x"), ("b", "raw"))),)), NOTHING))
    x = torch.full((3,), 2.0)
    assert names["main"](x, torch.ones(3), (), (0, 0.5))[0].tolist() == [2.5] * 3
    assert names["main_"](x, torch.ones(3), (), (0, torch.tensor(0.5)))[0].tolist() == [2.5] * 3


def test_a_sum_without_coefficients_is_copied_and_added() -> None:
    total = Combine((Line("x'", ((None, "x"), (None, "raw"))),))
    names = compiled(one_call(EVALUATE, total, Keep(("x",), 1)))
    x, buffer = torch.full((3,), 2.0), torch.zeros(3)
    new, (kept,) = names["main_"](x, torch.ones(3), (buffer,), (0, 0))
    assert new is buffer and kept is x and new.tolist() == [3.0] * 3 and x.tolist() == [2.0] * 3


STEP = Combine((Line("x'", (("a", "x"),)),))


@pytest.mark.parametrize(
    "operations",
    [
        (EVALUATE, EVALUATE, STEP, NOTHING),
        (EVALUATE, Draw("w", "normal"), STEP, NOTHING),
        (Combine((Line("x'", (("a", "raw"),)),)), NOTHING),
        (EVALUATE, Combine((Line("x'", (("a; import os", "x"),)),)), NOTHING),
        (EVALUATE, Combine((Line("x'", ()),)), NOTHING),
        (EVALUATE, Combine((Line("raw", (("a", "x"),)),)), NOTHING),
        (EVALUATE, Combine((Line("x'", (("a", "x"), ("b", "x"))),)), NOTHING),
        (EVALUATE, Combine((Line("x'", (("a", "x"),)), Line("m0", (("b", "x"),)))), NOTHING),
        (EVALUATE, NOTHING),
        (EVALUATE, STEP),
        (EVALUATE, STEP, Keep(("m0",), 1)),
        (EVALUATE, STEP, Keep(("x'",), 1)),
        (EVALUATE, Combine((Line("os.system", (("a", "x"),)), *STEP.lines)), NOTHING),
    ],
    ids=[
        "two calls", "noise", "reads raw before the call", "bad name", "empty", "overwrites", "twice", "x' not last",
        "no step", "no keep", "keeps what is not there", "keeps the state", "bad value",
    ],
)  # fmt: skip
def test_what_it_cannot_execute_is_our_bug(operations: tuple[Operation, ...]) -> None:
    with pytest.raises(InternalError):
        backend.context(one_call(*operations))
