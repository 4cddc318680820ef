"""The output gate refuses what our templates never write, and every number that is not the intended one."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import sympy as sp

from derive import emit, gate
from derive.errors import InternalError
from derive.program.coefficients import Assign, Function
from derive.schedules import Table
from derive.store import seal
from derive.symbolic import alphabet
from tests.emit.sample import FakeDerived, functions, module

GOOD = "from runtime.real import exp\n\nX = 1\n\n\ndef f(t):\n    return exp(t)\n"


def test_what_emission_writes_passes(files: dict[str, bytes], derived: FakeDerived) -> None:
    gate.check(files, derived)


def test_the_plain_file_passes() -> None:
    gate.check_python("x.py", GOOD.encode())


@pytest.mark.parametrize(
    "text",
    [
        "import os\n",
        "import os.path\n",
        "from os import system\n",
        "from runtime.real import os\n",
        "from runtime import Solver\n",
        "from .. import coefficients\n",
        "from .other import x\n",
        "from torch import load\n",
        "import torch as exp\n",
        "X = open('x')\n",
        "X = [print(1)]\n",
        "X = load('x')\n",
        "X = 1 if True else 2\n",
        "print(1)\n",
        "1\n",
        "if True:\n    X = 1\n",
        "for X in (1,):\n    pass\n",
        "def f(t):\n    import os\n",
        "def f(t):\n    return eval(t)\n",
        "def f(t):\n    return t.__class__\n",
        "def f(t):\n    return t._x\n",
        "def f(t=print(1)):\n    return t\n",
        "@print\ndef f(t):\n    return t\n",
        "def f(t):\n    return (lambda: t)()\n",
        "def f(t):\n    return [x for x in t]\n",
        "def f(t):\n    global X\n",
        "def f(t):\n    return __builtins__\n",
        "def f(t):\n    return u\n",
        "def f(t):\n    return 1 / 2\n",
        "def f(t):\n    return t * (1 + 2) / 3 + (4 * 5) / 6\n",
        "def alpha(t):\n    alpha = alpha(t)\n    return alpha\n",
        "def exp(t):\n    return t\n\n\nopen = 1\n",
        "async def f(t):\n    return t\n",
        "X: int = print(1)\n",
        "X = f'{1}'\n",
        "class A:\n    x = 1 / 2\n",
        "X = '\u00e9'\n",
        "X = 1\r\n",
        "X = (\n",
        "# -*- coding: utf-7 -*-\n# +AAo-import os\n",
    ],
    ids=ascii,
)
def test_what_our_templates_never_write_is_refused(text: str) -> None:
    with pytest.raises(InternalError):
        gate.check_python("x.py", text.encode())


def _changed(files: dict[str, bytes], old: str, new: str) -> dict[str, bytes]:
    """The files with one text in coefficients.py replaced, sealed again: only its meaning has changed."""
    body = files["coefficients.py"].decode().split("\n", 2)[2]
    assert old in body
    return files | {"coefficients.py": seal("coefficients.py", body.replace(old, new, 1), "5c" * 32)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("199 * t / 10", "199 * t / 11"),
        ("199 * t / 10", "1990000001 * t / 100000000"),
        ("real(1) / 5", "real(1) / 6"),
        ("c * (p1 + p2 / r0)", "c * (p1 - p2 / r0)"),
        ("-c * p2 / r0", "c * p2 / r0"),
        ("t.sigma / s.sigma", "s.sigma / t.sigma"),
        ("phis(2, -h[0])", "phis(2, h[0])"),
        ("phis(2, -h[0])", "phis(3, -h[0])"),
        ("p1, p2 = phis", "p2, p1 = phis"),
        ("STEPS = 2", "STEPS = 3"),
        ("STEPS = 2", "STEPS = True"),
        ("DOMAIN = (1.0, 0.0)", "DOMAIN = (1.0, -0.0)"),
        ("DOMAIN = (1.0, 0.0)", "DOMAIN = (1, 0)"),
        ("ROWS = (start_1, main)", "ROWS = (main, start_1)"),
        ("TO_SIGMA_ZERO = (last,)", "TO_SIGMA_ZERO = ()"),
        ("WARP = None", "WARP = None\nEXTRA = 1"),
        ("return dlambda(t.t, s.t)", "return dlambda(s.t, t.t)"),
        ("def span(s, t)", "def span(t, s)"),
        ("return t\n", "return t, t\n"),
    ],
)
def test_every_wrong_number_is_seen(files: dict[str, bytes], derived: FakeDerived, old: str, new: str) -> None:
    with pytest.raises(InternalError):
        gate.check(_changed(files, old, new), derived)


def test_every_literal_is_covered(files: dict[str, bytes], derived: FakeDerived) -> None:
    """Each number of the file in turn, changed by one, is refused: none is out of the gate's sight."""
    text = files["coefficients.py"].decode()
    start = text.index("SCHEMA")
    for match in re.finditer(r"(?<![\w.])\d+(\.\d+)?(?![\w.])", text[start:]):
        line = text[: start + match.start()].rsplit("\n", 1)[-1]
        if '"' in line or "#" in line:
            continue
        value = match[0]
        new = repr(float(value) + 1) if "." in value else str(int(value) + 1)
        body = text[: start + match.start()] + new + text[start + match.end() :]
        changed = seal("coefficients.py", body.split("\n", 2)[2], "5c" * 32)
        with pytest.raises(InternalError):
            gate.check(files | {"coefficients.py": changed}, derived)


def test_a_wrong_table_is_seen() -> None:
    values = (0.1, 0.2, 0.30000000000000004)
    curve = Function("log_alpha", ("t",), "", (), (alphabet.tabulated(sp.Symbol("bar"), alphabet.t),))
    rest = tuple(f for f in functions() if f.name != "log_alpha")
    derived = replace(
        FakeDerived(), module=module(tables={"bar": Table("chebyshev", -1.0, 999.0, values)}, functions=(curve, *rest))
    )
    files = emit.render(derived)
    gate.check(files, derived)
    for old, new in [
        ("0.30000000000000004", "0.3"),
        ("BAR, -1.0, 999.0", "BAR, -1.0, 998.0"),
        ("chebyshev(BAR", "linear(BAR"),
    ]:
        with pytest.raises(InternalError):
            gate.check(_changed(files, old, new), derived)


def test_a_broken_seal_is_seen(files: dict[str, bytes], derived: FakeDerived) -> None:
    for name in files:
        with pytest.raises(InternalError, match="seal"):
            gate.check(files | {name: files[name].replace(b"sample_dpmpp_2m", b"sample_dpmpp_3m")}, derived)


def test_a_local_name_that_hides_a_function_is_refused() -> None:
    bad = Function("chart", ("t",), "", (Assign(("alpha",), sp.Function("alpha")(alphabet.t)),), (sp.Symbol("alpha"),))
    derived = replace(
        FakeDerived(), module=module(functions=tuple(bad if f.name == "chart" else f for f in functions()))
    )
    with pytest.raises(InternalError, match="calls what it also assigns"):
        gate.check(emit.render(derived), derived)
