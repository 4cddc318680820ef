"""The program as text, its passes, its verifier and the interpreter that defines correct."""

from dataclasses import replace

import numpy as np
import pytest

from derive.errors import InternalError
from derive.program.interpret import run, run_phase
from derive.program.ir import Combine, Draw, Evaluate, Keep, Line, Phase, Program, Project
from derive.program.passes import fuse, optimise, prune, streams
from derive.program.verify import verify

EVALUATE = Evaluate("raw", "x", "n")
CONVERT = Combine((Line("m0", (("cx", "x"), ("cr", "raw"))),))
STEP = Combine((Line("x'", (("a", "x"), ("b0", "m0"), ("b1", "m[1]"))),))
FIRST = Combine((Line("x'", (("a", "x"), ("b0", "m0"))),))
MAIN = Phase("main", ("m[1]",), (EVALUATE, CONVERT, STEP, Keep(("m0",), 1)))
START = Phase("start_1", (), (EVALUATE, CONVERT, FIRST, Keep(("m0",), 1)))
PROGRAM = Program("two", (START, MAIN), ("a", "b0", "b1", "cx", "cr"), 1)


def test_a_program_reads_as_a_page():
    assert str(PROGRAM) == (
        "program two\n"
        "  columns a b0 b1 cx cr; history m[1]\n"
        "  phase start_1: node n\n"
        "    raw      = evaluate x @ n\n"
        "    m0       = combine cx*x + cr*raw\n"
        "    x'       = combine a*x + b0*m0\n"
        "    keep m0\n"
        "  phase main: node n; finds m[1]\n"
        "    raw      = evaluate x @ n\n"
        "    m0       = combine cx*x + cr*raw\n"
        "    x'       = combine a*x + b0*m0 + b1*m[1]\n"
        "    keep m0"
    )
    assert str(Evaluate("raw", "x", "n", "cin")) == "raw      = evaluate cin*x @ n"
    assert (
        str(Draw("z", "normal")) == "z        = draw normal" and str(Project("m0", "clip")) == "m0       = project clip"
    )
    assert str(Line("y", ((None, "x"), ("b", "z")))) == "y        = combine x + b*z"
    assert str(Keep((), 0)) == "keep nothing"
    assert str(Keep(("x", "m0"), 4)) == "keep x, m0, up to 2 of what is left"


def test_fuse_leaves_one_kernel_per_network_call():
    main = fuse(PROGRAM).phase("main")
    assert (main.evaluations, main.kernels) == (1, 1)
    assert main.coefficients == ("cx", "cr", "a", "b0", "b1") and main.memory == ("m[1]",)
    assert streams(main) == (3, 2)  # x, raw, m[1] read; x', m0 written: the algebraic floor
    assert streams(MAIN) == (4, 2)  # unfused, m0 goes through memory


def test_a_projection_separates_kernels():
    phase = Phase("main", ("m[1]",), (EVALUATE, CONVERT, Project("m0", "clip"), STEP, Keep(("m0",), 1)))
    program = fuse(Program("p", (START, phase), PROGRAM.columns, 1))
    assert program.phase("main").kernels == 2
    assert verify(program) is program


def test_prune_forgets_what_no_later_call_reads():
    """Call 1 reads y alone, call 2 reads k1 and y: m0 is not kept at all, and k1 for one call."""
    calls = (
        Phase("stage_1", (), (EVALUATE, CONVERT, FIRST, Keep(("x", "m0"), 2))),
        Phase(
            "stage_2",
            ("y", "m0"),
            (EVALUATE, Combine((Line("x'", (("a", "y"), ("d1", "raw"))),)), Keep(("y", "m0", "raw"), 3)),
        ),
        Phase("main", ("y", "m0", "k1"), (EVALUATE, Combine((Line("x'", (("a", "y"), ("d1", "k1"))),)), Keep((), 0))),
    )
    program = Program("p", calls, (*PROGRAM.columns, "d1"), 0, (("stage_1", "stage_2", "main"),))
    pruned = verify(optimise(program))
    assert [(p.memory, p.keep) for p in pruned.phases] == [
        ((), Keep(("x",), 1)),
        (("y",), Keep(("y", "raw"), 2)),
        (("y", "k1"), Keep((), 0)),
    ]
    assert prune(PROGRAM) == PROGRAM


def test_verify_accepts_the_fused_program_and_only_that():
    assert verify(fuse(PROGRAM)) == fuse(PROGRAM)
    with pytest.raises(InternalError, match="2 kernels for 1 evaluations"):
        verify(PROGRAM)


KEEP = Keep(("m0",), 1)
GOOD = Combine((*CONVERT.lines, *STEP.lines))


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((Evaluate("raw", "y", "n"), GOOD, KEEP), "evaluates y, which is not there"),
        ((Evaluate("raw", "x", "n", "cin"), GOOD, KEEP), "scale cin has no column"),
        ((EVALUATE, Combine((Line("x'", (("a", "m[2]"),)),)), KEEP), r"reads m\[2\], which is not there"),
        ((EVALUATE, Combine((Line("x'", (("q", "x"),)),)), KEEP), "coefficient q has no column"),
        ((EVALUATE, Combine((Line("x'", (("a", "x"), ("b0", "x"))),)), KEEP), "x' reads a value twice"),
        ((EVALUATE, Combine((Line("raw", (("a", "x"),)),)), KEEP), "raw is written twice"),
        ((EVALUATE, Combine((Line("m[1]", (("a", "x"),)),)), KEEP), r"m\[1\] is written twice"),
        ((EVALUATE, KEEP), "keeps m0, which is not there"),
        ((EVALUATE, GOOD, Keep(("m0", "m0"), 2)), "keeps m0 twice"),
        ((EVALUATE, GOOD, Keep(("x'",), 1)), "keeps x', which is the state"),
        ((EVALUATE, GOOD, Keep(("m0", "m[1]"), 1)), "keeps 2 values, at most 1"),
        ((EVALUATE, GOOD), "keep is the last operation"),
        ((EVALUATE, KEEP, GOOD), "keep is the last operation"),
        ((EVALUATE, EVALUATE, GOOD, KEEP), "2 evaluations; a phase has one"),
        ((EVALUATE, Keep((), 0)), "x' is never computed"),
    ],
)
def test_verify_names_the_fault(operations, message):
    with pytest.raises(InternalError, match=message):
        verify(Program("p", (fuse(PROGRAM).phase("start_1"), Phase("main", ("m[1]",), operations)), PROGRAM.columns, 1))


def test_verify_collects_every_fault_before_it_raises():
    bad = replace(PROGRAM, phases=(Phase("start_1", ("m[1]", "m[1]"), (Evaluate("raw", "y", "n"),)),))
    with pytest.raises(InternalError) as caught:
        verify(bad)
    assert len(str(caught.value).splitlines()) == 5


def changed(name, /, **changes):
    program = fuse(PROGRAM)
    return replace(program, phases=tuple(replace(p, **changes) if p.name == name else p for p in program.phases))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (changed("main", name="start_1"), "names are unique"),
        (changed("main", name="last"), "one is main"),
        (replace(fuse(PROGRAM), steps=(("main",),)), "each is a call of one way"),
        (replace(fuse(PROGRAM), steps=(("start_1", "main"),)), r"main: reads m\[1\], finds m0"),
        (changed("main", memory=("m[1]", "m[2]")), r"main: no step leaves m\[1\], m\[2\] for it"),
        (changed("main", operations=(EVALUATE, GOOD, Keep((), 0))), "is not enough for main of the next step"),
        (changed("main", operations=(EVALUATE, GOOD, Keep(("m[1]",), 1))), r"leaves m\[2\], which is not a history"),
    ],
)
def test_verify_follows_the_memory_through_every_sequence_of_steps(program, message):
    with pytest.raises(InternalError, match=message):
        verify(program)


def test_interpreter_does_what_the_page_says():
    random = np.random.default_rng(1)
    x, old = random.standard_normal((2, 4))
    row = {"a": 0.5, "b0": 2.0, "b1": -3.0, "cx": 1.5, "cr": 0.25}
    new, kept = run_phase(MAIN, row, x, [old], lambda v: v**2)
    m0 = 1.5 * x + 0.25 * x**2
    np.testing.assert_allclose(new, 0.5 * x + 2 * m0 - 3 * old, rtol=1e-15)
    assert len(kept) == 1
    np.testing.assert_array_equal(kept[0], m0)


def test_interpreter_carries_what_a_phase_does_not_name():
    phase = replace(START, operations=(*START.operations[:-1], Keep(("x", "m0"), 4)))
    row = {"a": 0.5, "b0": 2.0, "cx": 1.0, "cr": 0.0}
    _, kept = run_phase(phase, row, np.array([1.0]), [np.array([float(j)]) for j in (5, 6, 7)], lambda v: v)
    assert [k.tolist() for k in kept] == [[1.0], [1.0], [5.0], [6.0]]
    with pytest.raises(ValueError, match=r"phase main reads m\[1\]; the memory holds 0 values"):
        run_phase(MAIN, row, np.array([1.0]), [], lambda v: v)


def test_interpreter_scales_the_input_and_threads_the_memory():
    phase = Phase(
        "main",
        (),
        (Evaluate("raw", "x", "n", "cin"), Combine((Line("x'", (("a", "x"), (None, "raw"))),)), Keep(("raw",), 1)),
    )
    program = Program("p", (phase,), ("a", "cin"), 1)
    rows = [{"a": 1.0, "cin": 3.0}] * 2
    out = run(program, ["main", "main"], rows, np.array([1.0]), lambda v, i: v + i)
    # x1 = 1 + 3; x2 = 4 + (3 * 4 + 1)
    np.testing.assert_array_equal(out, [17.0])
