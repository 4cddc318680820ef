"""``step_triton.py``: every stream once, in the text; and the text is the program or it is refused."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("triton")

from derive import emit, gate, pipeline
from derive.backends import torch as torch_backend
from derive.backends import triton
from derive.backends._kernel import buffers
from derive.backends._triton_steps import check_phases
from derive.errors import InternalError
from derive.program.ir import Combine, Evaluate, Keep, Line, Phase, Program
from derive.program.passes import streams
from derive.spec import read_spec
from derive.store import seal
from tests.backends.sources import program_of
from tests.backends.tritons import SHIPPED, text_of
from tests.claims.shipped import FOLDER, NAMES
from tests.program.methods import TABLEAUS, program

NAME = triton.FILE


def read(made: Program, text: str) -> None:
    check_phases(NAME, text.encode("ascii", "replace"), made, buffers(made))


def traffic(text: str) -> dict[str, tuple[int, int]]:
    """(reads, writes) of every phase: its calls that load, and that store."""
    parts = re.split(r"^def (\w+)\(block\):$", text, flags=re.MULTILINE)[1:]
    return {
        name: (len(re.findall(r" = load\w*\(", body)), len(re.findall(r"^    store\w*\(", body, re.MULTILINE)))
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_stream_moves_once(name: str) -> None:
    """The network's own output is copied where it is kept: its buffer is not ours."""
    made = program_of(name)
    text = text_of(made)
    found = traffic(text)
    assert [*found] == [phase.name for phase in made.phases]
    for phase in made.phases:
        reads, writes = streams(phase)
        assert found[phase.name] == (reads, writes + ("raw" in phase.keep.values)), phase.name
    read(made, text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("z = normals(block)", "z = load_raw(block)"),
        ("z = normals(block)", "z = normals(block)\n    z1 = normals(block)"),
        ("z = normals(block)", "z = normals(block, 0)"),
        ("z = normals(block)", "z = load(block, 0)"),
        ("s * z", "s * x"),
        ("s * z", "a * z"),
        ("s * z", "s * normals(block)"),
        ("load_raw, load_state, normals,", "load_raw, load_state,"),
    ],
)
def test_changed_noise_is_refused(old: str, new: str) -> None:
    made = program_of("sde_dpmpp_2m")
    text = text_of(made)
    assert old in text
    read(made, text)
    with pytest.raises(InternalError):
        read(made, text.replace(old, new, 1))


def test_normals_that_nobody_draws_are_refused() -> None:
    made = program_of("dpmpp_2m")
    text = text_of(made).replace("raw = load_raw(block)", "raw = load_raw(block)\n    z = normals(block)")
    with pytest.raises(InternalError):
        read(made, text.replace("load_state,", "load_state, normals,", 1))


@pytest.mark.parametrize("converts", [True, False], ids=["converts", "integrand"])
@pytest.mark.parametrize("name", TABLEAUS)
def test_what_is_written_is_what_is_read(name: str, converts: bool) -> None:
    made = program(name, converts)
    read(made, text_of(made))


def test_some_solvers_ship_it() -> None:
    assert {"ddim", "dpmpp_2m", "dpmpp_3m", "dpmpp_3s", "edm_heun", "unipc_2"} <= set(SHIPPED)


def test_the_state_and_the_history_of_2m_stay_where_they_are() -> None:
    text = text_of(program_of("dpmpp_2m"))
    main = text[text.index("def main") : text.index("def phases")]
    assert re.findall(r"(\w+)\(block, (\d)\b(?:, (\w+)\))?", main) == [
        *(("load_state", "0", ""), ("load", "1", "")),
        *(("coefficient", str(i), "") for i in range(5)),
        *(("store_next", "0", "x_new"), ("store", "1", "m0")),
    ]
    assert "RING = 1 " in text and "HIGHEST = 0 " in text


CHANGES = {
    r"\bcx\b": "cr", r"\bb0\b": "a", r"\bd1\b": "d2", r"\bcb1\b": "cb0", r"\by\b": "x", r"\bm1\b": "m0", r"\braw\b": "x",
    r"\b0\b": "1", r"\b1\b": "0", r"\b2\b": "-1", r" \+ (?=[a-z])": " * ", r"\bx_new\b": "x", r"\bk1\b": "m0",
    r"\bload_state\b": "load", r"\bload\b(?=\()": "load_state", r"\bload_raw\b": "load", r"\bcoefficient\b": "load",
    r"\bstore_next\b": "store_state", r"\bstore_state\b": "store_next", r"\bstore\b(?=\()": "store_state",
    r"\bmain\b": "more", r"\bblock\b": "number", r"\btriton\b": "torch", r"\btl\b": "x", r"@triton.jit": "@triton.autotune",
    r"\bnumber\b": "block", r"\bphases\b": "phase", r"\bCOLUMNS\b": "columns", r"\bRING = .": "RING = 9",
    r"\bCOLUMNS = .": "COLUMNS = 2", r"\bHIGHEST = .": "HIGHEST = 9", r"\bAFTER\b": "BEFORE",
    r"\bWORDS = .": "WORDS = (9,) + (",
}  # fmt: skip


@pytest.mark.parametrize("name", ["ab2", "pec1", "midpoint"])
def test_every_changed_token_is_seen(name: str) -> None:
    """Each occurrence in turn of each token that can be another one; comments and docstrings aside."""
    made = program(name)
    text = text_of(made)
    docs = [match.span() for match in re.finditer(r'"""(?s:.*?)"""|#.*', text)]
    seen = 0
    for pattern, other in CHANGES.items():
        for match in re.finditer(pattern, text):
            if any(start <= match.start() < end for start, end in docs):
                continue
            seen += 1
            with pytest.raises(InternalError):
                read(made, text[: match.start()] + other + text[match.end() :])
    assert seen > 100


STORE = "    store_next(block, 0, x_new)\n"
LOAD = "    x = load_state(block, 0)\n"
RAW = "    raw = load_raw(block)\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (STORE, STORE + STORE),
        (STORE, ""),
        (STORE, "    store_next(block, 0, x_new * a)\n"),
        (STORE, "    store_next(block, 0, x_new, x)\n"),
        (STORE, "    store_next(block, slot=0, value=x_new)\n"),
        (STORE, "    store_next(block, 00, x_new)\n    y = load(block, 0)\n"),
        (STORE, "    store_next(block, False, x_new)\n"),
        (STORE, "    tl.store(block, 0, x_new)\n"),
        (STORE, f"    if True:\n    {STORE}"),
        (STORE, f"    for i in range(1):\n    {STORE}"),
        (STORE, f"{STORE}    return x_new\n"),
        (LOAD, "    x = load_state(block, 0) + load_state(block, 0)\n"),
        (LOAD, "    x = load_state(block, 0 + 0)\n"),
        (LOAD, LOAD + LOAD),
        (LOAD + RAW, RAW + LOAD),
        (LOAD, LOAD + "    x += x\n"),
        (LOAD, LOAD + "    x: tl.constexpr = x\n"),
        (LOAD, LOAD + "    block = x\n"),
        (LOAD, LOAD + "    load = x\n"),
        (LOAD, LOAD + "    y = z = x\n"),
        (LOAD, LOAD + "    y = x - x\n"),
        (LOAD, LOAD + "    y = 2 * x\n"),
        (LOAD, LOAD + "    y = x if x else x\n"),
        (LOAD, LOAD + "    y = load(block, -1)\n"),
        (LOAD, LOAD + "    y = print(block)\n"),
        (LOAD, LOAD + '    """more"""\n'),
        ("def main(block):", "def main(block, x=1):"),
        ("def main(block):", "def main(block) -> None:"),
        ("def main(block):", "async def main(block):"),
        ("@triton.jit\ndef main", "@triton.jit()\ndef main"),
        ("@triton.jit\ndef main", "@triton.jit\n@triton.jit\ndef main"),
        ("@triton.jit\ndef main", "def main"),
        ("import triton\n", "import triton\nimport os\n"),
        ("import triton\n", "import triton as t\n"),
        ("from runtime.fused_step_triton", "from runtime.fused_step_numpy"),
        ("import coefficient, ", "import coefficient, coefficient, "),
        ("import coefficient, ", "import step, coefficient, "),
        ("import coefficient, ", "import "),
        ("    if number == 0:\n", "    if number == 0 or number == 7:\n"),
        ("    if number == 0:\n", "    if number == 1:\n"),
        ("        main(block)\n", "        main(block)\n        main(block)\n"),
        ("        main(block)\n", "        main(block)\n    else:\n        main(block)\n"),
        ("COLUMNS = ", "COLUMNS = COLUMNS = "),
        ("HIGHEST = 0 ", "HIGHEST = 0\nHIGHEST = 0 "),
        ("HIGHEST = 0 ", "HIGHEST: int = 0 "),
        ("AFTER = {", "print()\nAFTER = {"),
        ('"main": (0,', '"main": (0.0,'),
        ('"main": (0,', '"main": (0, 0,'),
        ('"main": (0,', '"mine": (0,'),
        ('"""The phase', '"""The\x00 phase'),
        ('"""The phase', '"""The \xe9 phase'),
        ('"""The phase of this number."""\n', '"""The phase of this number."""\r\n'),
        ('"""The phase of this number."""\n', ""),
        ("    x_new = ", "    x_new =  ("),
    ],
)
def test_what_is_never_written_is_refused(old: str, new: str) -> None:
    made = program("ab1")
    text = text_of(made)
    assert old in text
    with pytest.raises(InternalError):
        check_phases(NAME, text.replace(old, new, 1).encode("latin1"), made, buffers(made))


def test_a_name_that_hides_what_a_phase_calls_is_not_written() -> None:
    lines = (Line("x'", (("store", "x"), ("b0", "raw"))),)
    phase = Phase("main", (), (Evaluate("raw", "x", "n"), Combine(lines), Keep((), 0)))
    with pytest.raises(InternalError, match=r"the step itself uses: \['store'\]"):
        triton.context(Program("m", (phase,), ("store", "b0"), 0))


def test_the_file_is_gated_and_the_package_does_not_import_it() -> None:
    spec = read_spec(FOLDER / "ddim" / "spec.yaml").with_backends(("triton",))
    derived = pipeline.derive(spec)
    files = emit.render(derived)
    gate.check(files, derived)
    assert {NAME, torch_backend.FILE} <= set(files)
    assert b"step_triton" not in files["__init__.py"]
    body = files[NAME].decode("ascii").split("\n", 2)[2].replace("b0 * raw", "a * raw", 1)
    assert body.encode("ascii") not in files[NAME]
    with pytest.raises(InternalError, match="does not leave what the program says"):
        gate.check(files | {NAME: seal(NAME, body, spec.sha256)}, derived)
