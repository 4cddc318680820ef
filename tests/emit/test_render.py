"""Rendered files: their text, what they compute, and that they depend on the derivation alone."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import mpmath
import pytest
import sympy as sp

from derive import emit
from derive.backends._coefficients import constant, docstring, literal
from derive.errors import InternalError
from derive.program.coefficients import Assign, Function
from derive.schedules import Table
from derive.symbolic import alphabet
from runtime.real import real
from tests.emit.sample import GOLDEN, ROOT, FakeDerived, FakeSpec, functions, module


def test_golden_text(files: dict[str, bytes], update: bool) -> None:
    """The generated text, byte for byte; ``--update`` rewrites it."""
    for name, data in files.items():
        path = GOLDEN / f"{name}.txt"
        if update:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        assert path.read_bytes() == data, f"{path} differs; --update rewrites it"


def test_the_set_of_files(files: dict[str, bytes]) -> None:
    assert set(files) == {
        "spec.yaml", "__init__.py", "coefficients.py", "step_torch.py", "claims.json", "derivation.md",
    }  # fmt: skip


def test_every_line_is_short_and_plain(files: dict[str, bytes]) -> None:
    for name in ("coefficients.py", "step_torch.py", "__init__.py"):
        text = files[name].decode("ascii")
        assert max(map(len, text.splitlines())) <= 120
        assert text.endswith("\n") and not text.endswith("\n\n")
        assert all(line == line.rstrip() for line in text.splitlines())


def _import(out: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    emit.write(files, out / "sample_dpmpp_2m")
    monkeypatch.syspath_prepend(str(out))
    for key in [k for k in sys.modules if k.startswith("sample_dpmpp_2m")]:
        monkeypatch.delitem(sys.modules, key)
    return importlib.import_module(f"sample_dpmpp_2m.{name}" if name else "sample_dpmpp_2m")


@pytest.fixture
def coefficients(files: dict[str, bytes], out: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _import(out, files, monkeypatch, "coefficients")


def test_the_rows_are_the_papers(coefficients: ModuleType) -> None:
    """DPM-Solver++(2M) at two uneven steps, by an independent evaluation at 60 digits, to 1e-70 relative."""
    with mpmath.workdps(80):
        mp = mpmath.mpf
        log_alpha = lambda t: -t * (t * mp("19.9") + mp("0.2")) / 4  # noqa: E731
        alpha = lambda t: mpmath.exp(log_alpha(t))  # noqa: E731
        sigma = lambda t: mpmath.sqrt(1 - alpha(t) ** 2)  # noqa: E731
        lam = lambda t: mpmath.log(alpha(t) / sigma(t))  # noqa: E731
        t = [mp("0.75"), mp("0.5"), mp("0.375")]
        h, h_last = lam(t[2]) - lam(t[1]), lam(t[1]) - lam(t[0])
        phi1, phi2 = -mpmath.expm1(-h) / h, (1 + mpmath.expm1(-h) / h) / h
        r = h_last / h
        weight = alpha(t[2]) * h
        want = [
            sigma(t[2]) / sigma(t[1]), weight * (phi1 + phi2 / r), -weight * phi2 / r,
            1 / alpha(t[1]), -sigma(t[1]) / alpha(t[1]),
        ]  # fmt: skip
        nodes = [coefficients.node(real(x)) for x in ("3/4", "1/2", "3/8")]
        steps = (coefficients.span(nodes[1], nodes[2]), coefficients.span(nodes[0], nodes[1]))
        got = coefficients.main(nodes[1], nodes[2], steps)
        assert coefficients.ROWS[1] is coefficients.main
        for a, b in zip(got, want, strict=True):
            assert abs(mp(str(a)) - b) <= abs(b) * mp(10) ** -70


def test_the_limit_row_is_exact(coefficients: ModuleType) -> None:
    a, b0, b1, cx, cr = coefficients.TO_SIGMA_ZERO[0](coefficients.node(real("1/2")), coefficients.node(real(0)), ())
    assert (a, b0, b1) == (0, 1, 0)
    assert cx == 1 / coefficients.alpha(real("1/2"))
    assert cr == -coefficients.rho(real("1/2"))


def test_the_package_imports_as_a_solver(files: dict[str, bytes], out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = _import(out, files, monkeypatch, "")
    assert package.CLAIMS["order"] == 2
    assert files["spec.yaml"].decode() == package.SPEC
    assert package.solver.plan(steps=4).steps == 4


_PROGRAM = """
from derive import emit
from tests.emit.sample import FakeDerived
import hashlib
print(hashlib.sha256(b"".join(emit.render(FakeDerived()).values())).hexdigest())
"""


@pytest.mark.slow  # the usual tests do the same with every shipped solver
def test_the_bytes_do_not_depend_on_the_hash_seed(files: dict[str, bytes]) -> None:
    seen = {hashlib.sha256(b"".join(files.values())).hexdigest()}
    for seed in range(3):
        run = subprocess.run(
            [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, cwd=ROOT,
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        seen.add(run.stdout.strip())
    assert len(seen) == 1


_IMPORT = """
import sys
import runtime.real, runtime.api, torch, typing
events = []
watch = True
sys.addaudithook(lambda event, args: watch and events.append((event, str(args[:2]))))
import sample_dpmpp_2m.coefficients as coefficients
import sample_dpmpp_2m.step_torch
watch = False
print(sorted({e for e, _ in events}))
print([a for e, a in events if e == "open" and "'r" not in a])
"""


def test_an_import_does_nothing_but_read(files: dict[str, bytes], out: Path) -> None:
    """Importing the generated modules raises no audit event besides those of reading and loading Python files."""
    emit.write({n: d for n, d in files.items() if n != "__init__.py"}, out / "sample_dpmpp_2m")
    run = subprocess.run(
        [sys.executable, "-B", "-c", _IMPORT], capture_output=True, text=True, check=True, cwd=out,
        env={"PYTHONPATH": f"{ROOT}:{out}"},
    )  # fmt: skip
    events, opened = run.stdout.splitlines()
    allowed = {"compile", "exec", "import", "marshal.loads", "object.__setattr__", "open", "os.listdir", "os.scandir"}
    assert set(ast.literal_eval(events)) <= allowed
    assert opened == "[]"


def test_claims_are_json_with_exact_numbers_as_text(files: dict[str, bytes]) -> None:
    claims = json.loads(files["claims.json"])
    assert claims["error_constant"]["exact"] == "-5/12"
    assert claims["spec_sha256"] == "5c" * 32


def test_a_claim_that_is_not_data_is_our_bug() -> None:
    for value in (sp.Symbol("x"), object(), float("nan")):
        with pytest.raises((InternalError, ValueError)):
            emit.render(replace(FakeDerived(), claims={"order": value}))


@pytest.mark.parametrize("text", ['""" + 1', "a\\", "a\nb", "\u2028", "\uff45val", 'ends in "'])
def test_free_text_cannot_leave_a_docstring(text: str) -> None:
    """References are the only text of a user that reaches a Python file: it stays inside the docstring, in ASCII."""
    hostile = replace(FakeDerived(), spec=FakeSpec(references=(text,)))
    data = emit.render(hostile)["coefficients.py"]
    compiled = compile(data, "coefficients.py", "exec")
    assert data.isascii()
    assert compiled.co_names == compile(emit.render(FakeDerived())["coefficients.py"], "c", "exec").co_names
    with pytest.raises(InternalError):
        docstring(text if text != "a\nb" else "a\rb")


def test_a_template_prints_nothing_unfiltered() -> None:
    template = emit.environment().from_string("{{ x }}")
    with pytest.raises(InternalError, match="passed no filter"):
        template.render(x="import os")
    with pytest.raises(InternalError, match="not an identifier"):
        emit.environment().from_string("{{ x|ident }}").render(x="a b")
    with pytest.raises(InternalError, match="not a line"):
        emit.environment().from_string("{{ x|line }}").render(x="a\nb")


def test_templates_hold_layout_only() -> None:
    """Under 80 lines, no arithmetic in an expression, nothing that names a method."""
    for path in (ROOT / "templates").rglob("*.jinja"):
        text = path.read_text()
        assert len(text.splitlines()) < 80
        assert not any(
            word in text.lower().replace("phiforge", "")
            for word in ("dpm", "ddim", "karras", "expone", "lambda", "vp_", "phi")
        )
        assert not any(f" {sign} " in part.split("}}")[0] for part in text.split("{{")[1:] for sign in "+-*/")


@pytest.mark.parametrize(
    "value", [None, True, 7, 0.1, 1e-300, -0.0, "a\"b\\c", ("x",), (1, 2.5), {"kind": "u", "steps": 3}, ()], ids=repr
)  # fmt: skip
def test_literals_read_back(value: object) -> None:
    back = ast.literal_eval(literal(value))
    assert back == value and type(back) is type(value)
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), "a\nb", "\u00e9", [1], sp.Rational(1, 2), object()],
    ids=["nan", "inf", "line", "accent", "list", "rational", "object"],
)
def test_what_is_no_literal_raises(value: object) -> None:
    with pytest.raises(InternalError):
        literal(value)


def test_long_constants_are_broken() -> None:
    lines = constant("GRID", {f"key_{i}": "a" * 20 for i in range(8)}, "the default grid")
    assert lines[0] == "# the default grid" and len(lines) == 11
    assert max(map(len, lines)) <= 120


def test_tables_are_printed_digit_for_digit() -> None:
    values = tuple(float(x) / 7 for x in range(50))
    curve = Function("log_alpha", ("t",), "", (), (alphabet.tabulated(sp.Symbol("bar"), alphabet.t),))
    rest = tuple(f for f in functions() if f.name != "log_alpha")
    made = module(tables={"bar": Table("chebyshev", -1.0, 999.0, values)}, functions=(curve, *rest))
    text = emit.render(replace(FakeDerived(), module=made))["coefficients.py"].decode()
    assert all(repr(v) in text for v in values)
    assert "return chebyshev(BAR, -1.0, 999.0, t)" in text


def test_a_moment_call_names_its_functions() -> None:
    row = Function(
        "main",
        ("s", "t", "h"),
        "",
        (Assign(("mu0",), None, "moments", ("alpha", "chart", "s.t", "t.t", 1, sp.Integer(0))),),
        (sp.Symbol("mu0"), *[sp.Integer(0)] * 4),
    )
    made = module(functions=tuple(row if f.name == "main" else f for f in functions()))
    text = emit.render(replace(FakeDerived(), module=made))["coefficients.py"].decode()
    assert "from runtime.quadrature import moments" in text
    assert "    (mu0,) = moments(alpha, chart, s.t, t.t, 1, 0)\n" in text
