"""One kernel per network call at its floor, counted in the emitted text; and the text is the program or it is refused."""

from __future__ import annotations

import re

import pytest

from derive import emit, gate, pipeline
from derive.backends import cuda
from derive.backends import torch as torch_backend
from derive.backends._kernel import buffers
from derive.backends._kernel_steps import check_kernels
from derive.errors import InternalError
from derive.program.ir import Program
from derive.program.passes import streams
from derive.spec import read_spec
from derive.store import seal
from tests.backends.sources import FUSED, program_of, text_of
from tests.claims.shipped import FOLDER, STEPS
from tests.program.methods import TABLEAUS, program

NAME = cuda.FILE


def read(made: Program, text: str) -> None:
    check_kernels(NAME, text, made, buffers(made), gate.cuda_frame())


def traffic(text: str) -> dict[str, tuple[int, int]]:
    """(reads, writes) of every phase: the streams that an element loads and stores in the text; normals are none."""
    parts = re.split(r"^struct phase_(\w+) \{$", text.partition("#ifdef __CUDACC__\nstruct")[0], flags=re.MULTILINE)[1:]
    return {
        name: (len(set(re.findall(r"(?<! z) = v\[(\d+)\]", body))), len(set(re.findall(r"w\[(\d+)\] =", body))))
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.mark.parametrize("name", STEPS)
def test_every_stream_moves_once(name: str) -> None:
    """The network's own output is copied where it is kept: its buffer is not ours."""
    made = program_of(name)
    text = text_of(made)
    found = traffic(text)
    assert [*found] == [phase.name for phase in made.phases]
    for phase in made.phases:
        reads, writes = streams(phase)
        assert phase.kernels == phase.evaluations == 1
        assert found[phase.name] == (reads, writes + ("raw" in phase.keep.values)), phase.name
    read(made, text)


@pytest.mark.parametrize("name", STEPS)
def test_no_more_buffers_than_the_torch_step(name: str) -> None:
    made = program_of(name)
    assert buffers(made) <= torch_backend.buffers(made)


def test_the_state_and_the_history_of_2m_stay_where_they_are() -> None:
    text = text_of(program_of("dpmpp_2m"))
    main = text[text.index("struct phase_main") :]
    assert re.findall(r"at\[\] = \{(.*)\};", main)[:3] == ["X, RAW, M + 0", "X, M + 0", "X, M + 0"]
    assert buffers(program_of("dpmpp_2m")) == 1


def test_some_solvers_ship_it() -> None:
    assert {"ddim", "dpmpp_2m", "dpmpp_3m", "dpmpp_3s", "edm_heun", "unipc_2"} <= set(FUSED)


@pytest.mark.parametrize("converts", [True, False], ids=["converts", "integrand"])
@pytest.mark.parametrize("name", TABLEAUS)
def test_what_is_written_is_what_is_read(name: str, converts: bool) -> None:
    made = program(name, converts)
    read(made, text_of(made))


CHANGES = {
    r"\bcx\b": "cr", r"\bb0\b": "a", r"\bd1\b": "d2", r"\bcb1\b": "cb0", r"\by\b": "x", r"\bm1\b": "m0", r"\braw\b": "x",
    r"\bM \+ 0\b": "M + 1", r"\bM \+ 1\b": "X", r"\bRAW\b": "X", r" \+ (?=[a-z])": " * ", r"\bx_new\b": "x",
    r"\bv\[1\]": "v[0]", r"\bw\[1\]": "w[0]", r"\bc\[2\]": "c[1]", r"LOADS = [0-9]": "LOADS = 9",
    r"STORES = [0-9]": "STORES = 9", r"COLUMNS = [0-9]": "COLUMNS = 1", r"RING = [0-9]": "RING = 9", r"EXPORT\(m": "EXPORT(n",
    r"const R (?=m0)": "", r"\bk1\b": "m0", r"\bg_x_new\b": "c", r"\bg_m0\b": "g_x_new", r"\blater_m0\b": "g_x_new",
    r"\bg\[1\]": "g[0]", r"\bd\[1\]": "d[0]", r"\bd\[0\]": "d[1]", r"phase_main": "phase_more", r"\(int j\)": "(int i)",
}  # fmt: skip


@pytest.mark.parametrize("name", ["ab3", "etdrk3", "pec2", "begun", "general"])
def test_every_changed_token_is_seen(name: str) -> None:
    """Each occurrence in turn of each token that can be another one; comments aside."""
    made = program(name)
    text = text_of(made)
    seen = 0
    for pattern, other in CHANGES.items():
        for match in re.finditer(pattern, text):
            if "//" in text[: match.start()].rsplit("\n", 1)[-1]:
                continue
            seen += 1
            with pytest.raises(InternalError):
                read(made, text[: match.start()] + other + text[match.end() :])
    assert seen > 100


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        w[0] = x_new;\n", "        w[0] = x_new;\n        w[0] = x;\n"),
        ("        w[0] = x_new;\n", ""),
        ("        w[0] = x_new;\n", "        w[0] = x_new\n"),
        ("        w[0] = x_new;\n", "        w[0] = x_new - x;\n"),
        ("        w[0] = x_new;\n", "        w[0] = x_new + 0;\n"),
        ("        w[0] = x_new;\n", "        w[0] = fma(x_new, x, x);\n"),
        ("        w[0] = x_new;\n", "        w[0] = x_new; // more\n"),
        ("        const R x = v[0];\n", "        const R x = v[0] * 2;\n"),
        ("        const R x = v[0];\n", "        const R x = v[0];\n        const R x = v[0];\n"),
        ("        const R x = v[0];\n", "        const R v = v[0];\n"),
        ("        d[0] = a * g_x_new", "        d[0] = a * g_x_new * g_x_new"),
        ("        d[0] = a * g_x_new", "        d[0] = b0 * g_x_new"),
        ("        d[1] = cr * g_m0;\n", ""),
        ("        d[1] = cr * g_m0;\n", "        w[1] = cr * g_m0;\n"),
        ("        const R g_m0 = b0 * g_x_new;\n", "        const R g_m0 = g_x_new;\n"),
        ("        const R x = v[0];\n", "#define v w\n        const R x = v[0];\n"),
        ("// buffers of the memory", "// buffers of the memory \\"),
        ("// main: ", "// main \\\n"),
        ("// main: ", "// ??/ main: "),
        ("namespace {\n", "namespace {\n#define R int\n"),
        ("EXPORT(main)\n", "EXPORT(main)\nEXPORT(main)\n"),
        ("EXPORT(main)\n", "EXPORT(main)\nint more() { return 1; }\n"),
        ('#include "fused_step.h"\n', ""),
        ("return COLUMNS;", "return COLUMNS + 1;"),
    ],
)
def test_what_is_never_written_is_refused(old: str, new: str) -> None:
    made = program("ab1")
    text = text_of(made)
    assert old in text
    with pytest.raises(InternalError):
        read(made, text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("M + 0, Z}", "M + 0, M + 0}"),
        ("M + 0, Z}", "M + 0, RAW}"),
        ("RAW, M + 0, Z}", "Z, M + 0, RAW}"),
        ("{X, M + 0};", "{X, Z};"),
        ("+ s * z;", "+ s * x;"),
        ("+ s * z;", "+ a * z;"),
        ("+ s * z;", "+ s * z + s * z;"),
        ("= v[3];", "= v[2];"),
        ("d[3] = s *", "d[3] = a *"),
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
    """A load of them that is not used, in a phase without noise."""
    made = program_of("dpmpp_2m")
    text = text_of(made).replace("{X, RAW, M + 0};", "{X, RAW, M + 0, Z};", 1).replace("LOADS = 3", "LOADS = 4", 1)
    assert text != text_of(made)
    with pytest.raises(InternalError):
        read(made, text.replace("const R m1 = v[2];", "const R m1 = v[2];\n        const R z = v[3];", 1))


def test_the_torch_step_is_always_written_and_the_file_is_gated() -> None:
    spec = read_spec(FOLDER / "ddim" / "spec.yaml").with_backends(("cuda",))
    derived = pipeline.derive(spec)
    files = emit.render(derived)
    gate.check(files, derived)
    assert {NAME, torch_backend.FILE} <= set(files)
    body = files[NAME].decode("ascii").split("\n", 2)[2].replace("b0 * raw", "a * raw", 1)
    assert body.encode("ascii") not in files[NAME]
    with pytest.raises(InternalError, match="does not leave what the program says"):
        gate.check(files | {NAME: seal(NAME, body, spec.sha256)}, derived)
