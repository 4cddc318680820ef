"""Who may import whom. The arrows point from the mathematics to the code that runs, never back.

A row of ``ARROWS`` is a module or package, the parts of this project it may import, and the foreign packages it may
import; the longest matching row holds. A new package has to be given a row.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from tests.architecture.source import imports, module_name, place, sources

FIRST_PARTY = ("derive", "runtime", "generated", "tests", "templates")


@dataclass(frozen=True, slots=True)
class Row:
    """ours: prefixes of our modules; foreign: other packages, anywhere; lazily: other packages, in functions only."""

    ours: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    lazily: tuple[str, ...] = ()


COMMON = ("derive.errors", "derive.parameters")
POSED = ("derive.symbolic", "derive.schedules", "derive.predictions")
LOWERED = (*POSED, "derive.problems", "derive.tableau", "derive.families")
READER = (
    *COMMON, "derive.lookup", "derive.exact", "derive.reserved", "derive.yamlnodes", "derive.expression",
    "derive.schema", "derive.fields", "derive.tableau_text",
)  # fmt: skip
REAL = "runtime.real"  # wide arithmetic without torch: what an expression means in numbers

ARROWS: dict[str, Row] = {
    "derive": Row(),
    "derive.errors": Row(),
    "derive.parameters": Row(("derive.errors",), ("sympy",)),
    "derive.lookup": Row(COMMON),
    "derive.exact": Row(("derive.errors",)),
    "derive.reserved": Row(),
    "derive.references": Row(),
    "derive.places": Row(COMMON),
    "derive.yamlnodes": Row((*COMMON, "derive.exact"), ("yaml",)),
    "derive.expression": Row((*COMMON, "derive.exact", "derive.symbolic"), ("sympy",)),
    "derive.tableau_text": Row((*COMMON, "derive.exact", "derive.expression", "derive.symbolic"), ("sympy",)),
    "derive.schema": Row((*COMMON, "derive.exact", "derive.lookup")),
    # Folders of schedules, predictions and families are reached through the registry only; the grids are free of torch.
    "derive.fields": Row((*READER, "derive.predictions", "derive.symbolic"), ("sympy",)),
    "derive.canonical": Row((*READER, "derive.spec", "derive.symbolic"), ("sympy",)),
    "derive.spec": Row((*READER, "derive.fields", "derive.canonical", "derive.symbolic", "runtime.grids"), ("sympy",)),
    "derive.catalogue": Row((*COMMON, "derive.spec")),
    "derive.symbolic": Row((*COMMON, "derive.symbolic", REAL), ("sympy", "mpmath")),
    "derive.symbolic.evaluate": Row(
        (*COMMON, "derive.symbolic", "derive.schedules", REAL), ("sympy", "mpmath")
    ),  # its Table
    "derive.symbolic.jet_algebra": Row((*COMMON, "derive.symbolic", "derive.schedules"), ("sympy",)),
    "derive.schedules": Row((*COMMON, "derive.symbolic", "derive.schedules", REAL), ("sympy", "mpmath")),
    "derive.predictions": Row((*COMMON, "derive.symbolic", "derive.predictions"), ("sympy",)),
    "derive.blocks": Row(),
    "derive.tableau": Row((*COMMON, "derive.blocks", "derive.symbolic"), ("sympy",)),
    "derive.problems": Row((*COMMON, *POSED, "derive.problems", "derive.tableau"), ("sympy",)),
    "derive.families": Row(
        (*COMMON, "derive.symbolic", "derive.problems", "derive.tableau", "derive.tableau_text", "derive.families"),
        ("sympy",),
    ),
    # Published tables are data: read by the reader of specs.
    "derive.families.tableaux": Row((*READER, "derive.symbolic")),
    # Stability regions are arrays.
    "derive.analysis": Row(
        (*COMMON, "derive.symbolic", "derive.tableau", "derive.analysis"), ("sympy", "mpmath", "numpy")
    ),
    # Emitted code runs as the runtime runs it, on other numbers.
    "derive.analysis.jet_module": Row((*COMMON, "derive.symbolic", "derive.analysis", "derive.measure.march")),
    "derive.analysis.jet_runtime": Row((*COMMON, "derive.symbolic", "derive.analysis", "runtime.rebind")),
    # The method's numbers on the posed problem: a step's error constant depends on the schedule.
    "derive.analysis.numbers": Row((*COMMON, *LOWERED, "derive.analysis"), ("sympy", "mpmath")),
    "derive.derivation": Row((*COMMON, *LOWERED, "derive.analysis"), ("sympy",)),
    "derive.program": Row((*COMMON, "derive.program")),
    "derive.program.coefficients": Row((*COMMON, "derive.program", "derive.schedules"), ("sympy",)),
    "derive.program.lower": Row((*COMMON, *LOWERED, "derive.program"), ("sympy",)),
    "derive.program.phases": Row((*COMMON, *LOWERED, "derive.program")),
    "derive.program.rows": Row((*COMMON, *LOWERED, "derive.program"), ("sympy",)),
    "derive.program.newton": Row((*COMMON, "derive.program"), ("sympy",)),
    "derive.program.spanned": Row((*COMMON, *LOWERED, "derive.program"), ("sympy",)),
    "derive.program.renoise": Row((*COMMON, *LOWERED, "derive.program"), ("sympy",)),
    "derive.program.ends": Row((*COMMON, *LOWERED, "derive.program"), ("sympy",)),
    # The reference executor reads the tableau itself, in wide arithmetic: it must not share the backends' path.
    "derive.program.interpret": Row((*COMMON, *LOWERED, "derive.program", REAL), ("sympy", "mpmath", "numpy")),
    "derive.backends": Row((*COMMON, "derive.program", "derive.backends")),
    # The one coefficient printer: expressions, and the module they stand in.
    "derive.backends.printer": Row((*COMMON, "derive.symbolic", "derive.schedules", "derive.backends"), ("sympy",)),
    "derive.backends._coefficients": Row((*COMMON, "derive.program", "derive.backends"), ("sympy",)),
    # The gate reads back what was written and compares it with what was meant.
    "derive.gate": Row(
        (
            *COMMON,
            "derive.backends",
            "derive.program.coefficients",
            "derive.schedules",
            "derive.store",
            "templates",
        )
    ),
    "derive.store": Row(COMMON),
    "derive.emit": Row(
        (*COMMON, "derive.backends", "derive.program", "derive.gate", "derive.store", "templates"), ("jinja2",)
    ),
    "derive.measure": Row(
        (*COMMON, "derive.blocks", "derive.measure", "derive.program", "derive.symbolic", "runtime"),
        ("torch", "numpy", "scipy", "mpmath", "sympy"),
        ("sklearn",),
    ),
    # Foreign code is imported by its name, when it is audited; a foreign table is read as ours are, and proved.
    "derive.html": Row(("templates",), ("jinja2",)),
    "derive.audit": Row(
        (
            *READER,
            "derive.analysis",
            "derive.audit",
            "derive.families.tableaux",
            "derive.html",
            "derive.measure",
            "derive.program",
            "derive.symbolic",
            "runtime",
        ),
        ("torch", "numpy", "scipy", "mpmath", "sympy", "markupsafe"),
    ),
    # A page shows what was derived, proved and measured; what it measures is handed to it.
    "derive.report": Row(
        (
            *COMMON,
            "derive.lookup",
            "derive.references",
            "derive.symbolic",
            "derive.tableau",
            "derive.analysis",
            "derive.report",
            "derive.html",
        ),
        ("sympy", "numpy", "matplotlib", "markupsafe"),
    ),
    "derive.reporting": Row(("derive",)),
    "derive.progress": Row((), (), ("tqdm",)),
    "derive.installed": Row(COMMON),
    "derive.comparing": Row(("derive", "runtime.grids")),
    "derive.auditing": Row(("derive",)),
    "derive.importing": Row((*COMMON, "derive.imports", "derive.reserved", "derive.spec", "derive.store")),
    # A spec's text from another library's: names and numbers, no symbolic work.
    "derive.imports": Row(
        (
            *COMMON,
            "derive.canonical",
            "derive.exact",
            "derive.imports",
            "derive.symbolic.chebyshev",
            "derive.yamlnodes",
            "runtime.grids",
        ),
        ("yaml",),
        ("numpy", "torch"),  # single precision as the other library has it
    ),
    "derive.listing": Row(("derive", "runtime.grids"), ("yaml",)),
    "derive.pipeline": Row(("derive", "runtime"), ("sympy",)),
    "derive.check": Row(
        ("derive", "runtime"), ("numpy", "torch"), ("sympy",)
    ),  # a program of its own: stop 8, in a fresh process
    "derive.cli": Row(("derive", "runtime.grids")),
    "derive.__main__": Row(("derive.cli", "derive.errors")),
    "generated": Row(("runtime", "generated"), ("torch", "triton")),
    "runtime": Row(("runtime",), ("torch", "mpmath"), ("triton", "diffusers", "k_diffusion", "tqdm")),
    # The face of another library: its base classes are imported with the module.
    "runtime.adapters.diffusers": Row(("runtime",), ("torch", "diffusers")),
    # Kernels in triton's language; imported by steps in triton alone, when they are asked for.
    "runtime.fused_step_triton": Row(("runtime.philox_triton",), ("triton",)),
    "runtime.philox_triton": Row((), ("triton",)),
    "runtime.brownian_triton": Row(("runtime.philox_triton",), ("triton",)),
    # What the spec reader and the planner of coefficients use starts in milliseconds.
    "runtime.real": Row((), ("mpmath",)),
    "runtime.rebind": Row(),
    "runtime.near": Row(("runtime.rebind",)),
    "runtime.pair": Row(("runtime.errors", "runtime.fed", "runtime.itinerary", "runtime.near", "runtime.real")),
    "runtime.quadrature": Row(("runtime.real",), ("mpmath",)),
    "runtime.propagator": Row(("runtime.real", "runtime.quadrature")),
    "runtime.grids": Row(("runtime.real", "runtime.spaced")),
    "runtime.spaced": Row(("runtime.real", "runtime.grids")),
    "runtime.fed": Row(("runtime.real",)),
    "runtime.revolve": Row(),
}
TOP = (
    "derive.pipeline",
    "derive.check",
    "derive.comparing",
    "derive.reporting",
    "derive.auditing",
    "derive.importing",
    "derive.listing",
    "derive.cli",
    "derive.__main__",
)
MODULES = sources("derive", "runtime", "generated")


def covers(prefix: str, module: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def row_of(module: str) -> tuple[str, Row]:
    name = max((p for p in ARROWS if covers(p, module)), key=len)
    if name == "derive" and module != "derive":
        pytest.fail(f"{module}: give the module a row in ARROWS")
    return name, ARROWS[name]


def test_the_tree_is_where_the_table_says():
    assert {module_name(p).split(".")[0] for p in MODULES} >= {"derive", "runtime"}
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_follow_the_arrows(path):
    module = module_name(path)
    name, row = row_of(module)
    wrong = []
    for found in imports(path):
        top = found.module.split(".")[0]
        if top == "__future__" or (top in sys.stdlib_module_names and top not in FIRST_PARTY):
            continue
        if top in FIRST_PARTY:
            allowed = covers(module, found.module) or any(covers(p, found.module) for p in row.ours)
        else:
            allowed = top in row.foreign or (found.local and top in row.lazily)
        if not allowed:
            wrong.append(f"{place(path, found.line)}: {module} imports {found.module}; the row {name} allows {row}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("top", TOP)
def test_nothing_imports_the_top_back(top):
    users = [
        place(path, found.line)
        for path in MODULES
        for found in imports(path)
        if covers(top, found.module) and module_name(path) not in TOP
    ]
    assert not users


def test_the_runtime_rows_name_nothing_symbolic():
    for name, row in ARROWS.items():
        if name.split(".")[0] in ("runtime", "generated"):
            assert not {"sympy", "jinja2", "yaml", "numpy"} & {*row.foreign, *row.lazily}
            assert not any(covers("derive", p) for p in row.ours)
