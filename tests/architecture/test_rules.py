"""Rules of the house that a parser can check: no text that becomes code, small files, dumb templates."""

from __future__ import annotations

import ast
import re
import warnings

import pytest

from tests.architecture.source import ROOT, calls, dotted, imports, module_name, parse, place, sources, tracked

OURS = sources("derive", "runtime")
EVERYTHING = [*OURS, *sources("generated")]
TEMPLATES = sorted((ROOT / "templates").rglob("*.jinja"))

BARE = {"eval", "exec", "compile", "__import__", "S"}
"""Banned as plain names; ``model.eval()`` and ``re.compile()`` are other functions."""
ANYWHERE = {
    "sympify",
    "parse_expr",
    "lambdify",
    "_sympify",
    "unsafe_load",
    "full_load",
    "parse_mathematica",
    "parse_latex",
}
QUALIFIED = {"sp.S", "sympy.S", "yaml.load", "yaml.load_all", "builtins.eval", "builtins.exec", "os.system", "os.popen"}
MODULES = {
    "pickle",
    "cloudpickle",
    "marshal",
    "shelve",
    "dill",
    "sympy.parsing",
    "sympy.core.sympify",
    "code",
    "codeop",
}
PRINTERS = {"derive.cli", "derive.__main__", "derive.check"}


@pytest.mark.parametrize("path", EVERYTHING, ids=module_name)
def test_no_text_becomes_code(path):
    """eval, exec, sympify, parse_expr, lambdify, pickle, yaml.load: measured to run a payload."""
    found = []
    for name, node in calls(path):
        last = name.rsplit(".", 1)[-1]
        weights_only = any(k.arg == "weights_only" and getattr(k.value, "value", None) is True for k in node.keywords)
        if name in BARE or last in ANYWHERE or name in QUALIFIED or (name == "torch.load" and not weights_only):
            found.append(f"{place(path, node.lineno)}: {name}(...)")
    for item in imports(path):
        if any(item.module == m or item.module.startswith(m + ".") for m in MODULES):
            found.append(f"{place(path, item.line)}: import {item.module}")
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names} & ANYWHERE
            found += [f"{place(path, node.lineno)}: from {node.module} import {name}" for name in sorted(names)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", OURS, ids=module_name)
def test_library_code_neither_prints_nor_exits(path):
    if module_name(path) in PRINTERS:
        return
    found = [
        place(path, n.lineno) for name, n in calls(path) if name in {"print", "exit", "quit", "sys.exit", "os._exit"}
    ]
    assert not found


@pytest.mark.parametrize("path", OURS, ids=module_name)
def test_no_ladder_over_names(path):
    """Three or more ``elif x == "word"`` on one variable are a registry that has not been written."""
    ladders = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.If):
            compared = [_compared(test) for test in _chain(node)]
            if any(c and compared.count(c) >= 3 for c in compared):
                ladders.append(place(path, node.lineno))
        if isinstance(node, ast.Match):
            words = [c for c in node.cases if isinstance(c.pattern, ast.MatchValue) and _is_text(c.pattern.value)]
            if len(words) >= 3:
                ladders.append(place(path, node.lineno))
    assert not ladders


def _chain(node: ast.If) -> list[ast.expr]:
    tests = [node.test]
    while len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        node = node.orelse[0]
        tests.append(node.test)
    return tests


def _compared(test: ast.expr) -> str:
    """The variable that ``test`` compares with a word, or the empty string."""
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq) and _is_text(test.comparators[0]):
        return dotted(test.left)
    return ""


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_files_are_small():
    """400 lines is the aim (a warning names what is above), 500 the limit."""
    lengths = {p.relative_to(ROOT).as_posix(): len(p.read_bytes().splitlines()) for p in OURS}
    above = {name: n for name, n in lengths.items() if n > 400}
    if above:
        warnings.warn(f"files above 400 lines: {above}", stacklevel=1)
    assert not {name: n for name, n in above.items() if n > 500}


@pytest.mark.parametrize("path", OURS, ids=module_name)
def test_every_module_opens_with_its_mathematics(path):
    tree = parse(path)
    assert not tree.body or len(ast.get_docstring(tree) or "") > 20, "a module says first what it computes and why"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.relative_to(ROOT / "templates").as_posix())
def test_templates_hold_layout_only(path):
    """Under 80 lines, no arithmetic, no comparison with a word, no name of a schedule, family or method."""
    from jinja2 import Environment, nodes

    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    tree = Environment().parse(text)
    arithmetic = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)
    assert not list(tree.find_all(arithmetic)), "arithmetic in a template"
    words = [
        c for compare in tree.find_all(nodes.Compare) for c in compare.find_all(nodes.Const) if isinstance(c.value, str)
    ]
    assert not words, "a template compares with a word: that is logic"
    assert not _names() & set(re.findall(r"[a-z][a-z0-9_]*", text.lower()))


def _names() -> set[str]:
    """File names in the registries that are not also plain English, and methods by the names of their papers."""
    english = {"table", "expression", "flow", "linear", "given", "data", "noise", "velocity", "score"}
    folders = [*(ROOT / "derive/schedules").glob("*.py"), *(ROOT / "derive/families").glob("*.py")]
    methods = {
        "ddim",
        "dpm",
        "dpmpp",
        "dpmsolver",
        "deis",
        "unipc",
        "unip",
        "heun",
        "euler",
        "adams",
        "karras",
        "etd",
        "rk4",
    }
    return {p.stem for p in folders if not p.stem.startswith("_")} - english | methods


def test_templates_were_found():
    assert TEMPLATES


def test_no_traces_of_a_machine_or_a_tracker():
    """Absolute paths of a machine, and ticket numbers, mean nothing to a reader of the project."""
    folders = "|".join(("work", "tmp", "root", "home", "farm", "Users"))
    path = re.compile(rf"(?<![\w.\-/~}})])/({folders})(/|\b(?!\w))")
    ticket = re.compile(r"\bissue" + r" #", re.IGNORECASE)
    found = []
    for file in tracked():
        if file.name == "source.py" or file.suffix in {".png", ".pt", ".npz"}:
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if path.search(line) or ticket.search(line):
                found.append(f"{place(file, number)}: {line.strip()[:100]}")
    assert not found, "\n".join(found)
