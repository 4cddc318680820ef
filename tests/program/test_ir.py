"""The program as text, its passes, its verifier and the interpreter that defines correct."""

from dataclasses import replace

import numpy as np
import pytest

from derive.errors import InternalError
from derive.program.interpret import run, run_phase
from derive.program.ir import Combine, Draw, Evaluate, Line, Phase, Program, Project, Push
from derive.program.passes import fuse, optimise, prune, streams
from derive.program.verify import verify

CONVERT = Combine((Line("m0", (("cx", "x"), ("cr", "raw"))),))
STEP = Combine((Line("x'", (("a", "x"), ("b0", "m0"), ("b1", "m[1]"))),))
MAIN = Phase("main", (Evaluate("raw", "x", "n"), CONVERT, STEP, Push("m", "m0")))
PROGRAM = Program("two", (MAIN,), ("a", "b0", "b1", "cx", "cr"), 1)


def test_a_program_reads_as_a_page():
    assert str(PROGRAM) == (
        "program two\n"
        "  columns a b0 b1 cx cr; history m[1]\n"
        "  phase main: node n\n"
        "    raw      = evaluate x @ n\n"
        "    m0       = combine cx*x + cr*raw\n"
        "    x'       = combine a*x + b0*m0 + b1*m[1]\n"
        "    push m <- m0"
    )
    assert str(Evaluate("raw", "x", "n", "cin")) == "raw      = evaluate cin*x @ n"
    assert (
        str(Draw("z", "normal")) == "z        = draw normal" and str(Project("m0", "clip")) == "m0       = project clip"
    )
    assert str(Line("y", ((None, "x"), ("b", "z")))) == "y        = combine x + b*z"


def test_fuse_leaves_one_kernel_per_network_call():
    main = fuse(PROGRAM).phase("main")
    assert (main.evaluations, main.kernels) == (1, 1)
    assert main.coefficients == ("cx", "cr", "a", "b0", "b1") and main.past == 1
    assert streams(main) == (3, 2)  # x, raw, m[1] read; x', m0 written: the algebraic floor
    assert streams(MAIN) == (4, 2)  # unfused, m0 goes through memory


def test_a_projection_separates_kernels():
    phase = Phase("main", (Evaluate("raw", "x", "n"), CONVERT, Project("m0", "clip"), STEP))
    fused = fuse(Program("p", (phase,), PROGRAM.columns, 1)).phase("main")
    assert fused.kernels == 2


def test_prune_drops_what_nobody_reads():
    single = Phase(
        "main", (Evaluate("raw", "x", "n"), Combine((Line("x'", (("a", "x"), ("b0", "raw"))),)), Push("m", "raw"))
    )
    program = optimise(Program("one", (single,), ("a", "b0"), 0))
    assert [type(op) for op in program.phase("main").operations] == [Evaluate, Combine]
    assert streams(program.phase("main")) == (2, 1)
    assert prune(PROGRAM) is PROGRAM


def test_verify_accepts_the_fused_program_and_only_that():
    assert verify(fuse(PROGRAM)) == fuse(PROGRAM)
    with pytest.raises(InternalError, match="2 kernels for 1 evaluations"):
        verify(PROGRAM)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((Evaluate("raw", "y", "n"), CONVERT), "evaluates y, which is not there"),
        ((Evaluate("raw", "x", "n"), Combine((Line("x'", (("a", "m[2]"),)),))), r"reads m\[2\], which is not there"),
        ((Evaluate("raw", "x", "n"), Combine((Line("x'", (("q", "x"),)),))), "coefficient q has no column"),
        ((Evaluate("raw", "x", "n"), Combine((Line("raw", (("a", "x"),)),))), "raw is written twice"),
        ((Evaluate("raw", "x", "n"), Push("m", "m0")), "keeps m0, which is not there"),
        ((Evaluate("raw", "x", "n"),), "x' is never computed"),
    ],
)
def test_verify_names_the_fault(operations, message):
    with pytest.raises(InternalError, match=message):
        verify(replace(PROGRAM, phases=(Phase("main", operations),)))


def test_verify_collects_every_fault_before_it_raises():
    bad = replace(PROGRAM, phases=(Phase("start_1", (Evaluate("raw", "y", "n"),)),))
    with pytest.raises(InternalError) as caught:
        verify(bad)
    assert len(str(caught.value).splitlines()) == 3


def test_interpreter_does_what_the_page_says():
    random = np.random.default_rng(1)
    x, old = random.standard_normal((2, 4))
    row = {"a": 0.5, "b0": 2.0, "b1": -3.0, "cx": 1.5, "cr": 0.25}
    new, kept = run_phase(MAIN, row, x, [old], lambda v: v**2)
    m0 = 1.5 * x + 0.25 * x**2
    np.testing.assert_allclose(new, 0.5 * x + 2 * m0 - 3 * old, rtol=1e-15)
    np.testing.assert_array_equal(kept[0], m0)
    np.testing.assert_array_equal(kept[1], old)


def test_interpreter_scales_the_input_and_keeps_the_history_short():
    phase = Phase(
        "main",
        (Evaluate("raw", "x", "n", "cin"), Combine((Line("x'", (("a", "x"), (None, "raw"))),)), Push("m", "raw")),
    )
    program = Program("p", (phase,), ("a", "cin"), 1)
    rows = [{"a": 1.0, "cin": 3.0}] * 2
    out = run(program, ["main", "main"], rows, np.array([1.0]), lambda v, i: v + i)
    # x1 = 1 + 3; x2 = 4 + (3 * 4 + 1)
    np.testing.assert_array_equal(out, [17.0])
