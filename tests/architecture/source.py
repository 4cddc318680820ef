"""Reading the tree without importing it: modules, their imports, their calls."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("derive", "runtime", "generated")


@dataclass(frozen=True, slots=True)
class Import:
    """``module`` (absolute, dotted) is imported at ``line``; ``local``: inside a function."""

    module: str
    line: int
    local: bool


@lru_cache(maxsize=1)
def tracked() -> tuple[Path, ...]:
    """Files under version control; in a tree without git, every file that is not a cache."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        skipped = ("__pycache__", ".egg-info", ".git/", "_cache/", ".hypothesis/", "build/")
        paths = [p for p in ROOT.rglob("*") if not any(s in p.relative_to(ROOT).as_posix() + "/" for s in skipped)]
    return tuple(sorted(p for p in paths if p.is_file()))


def sources(*packages: str) -> list[Path]:
    """The Python files of the packages as they stand in the working tree."""
    return [p for package in packages for p in sorted((ROOT / package).rglob("*.py")) if "__pycache__" not in p.parts]


def module_name(path: Path) -> str:
    """``derive/program/ir.py`` -> ``derive.program.ir``; a package is named by its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path.relative_to(ROOT)))


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import statement; ``from a import b`` names ``a.b`` where that is a module of this tree, else ``a``."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    return tuple(_imports(parse(path), package, local=False))


def _imports(node: ast.AST, package: list[str], local: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, local) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else []
            origin = ".".join([*base, *(child.module or "").split(".")]).strip(".")
            yield from (Import(_submodule(origin, alias.name), child.lineno, local) for alias in child.names)
        inside = local or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from _imports(child, package, inside)


def _submodule(origin: str, name: str) -> str:
    path = ROOT.joinpath(*origin.split("."), name)
    return f"{origin}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else origin


@cache
def calls(path: Path) -> tuple[tuple[str, ast.Call], ...]:
    """Every call with its dotted name as written: ``eval``, ``sp.sympify``, ``yaml.load``."""
    found = ((dotted(node.func), node) for node in ast.walk(parse(path)) if isinstance(node, ast.Call))
    return tuple((name, node) for name, node in found if name)


def dotted(node: ast.expr) -> str:
    """``a.b.c`` for a chain of attributes on a name, the last attribute with a leading dot on anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


def solvers() -> list[str]:
    """Names of the shipped solvers: the packages in ``generated``."""
    return sorted(p.parent.name for p in (ROOT / "generated").glob("*/__init__.py"))
