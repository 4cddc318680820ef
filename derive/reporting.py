"""The verb ``report``: a spec or a solver -> derive, render, import, measure, draw -> one HTML file.

The page is a function of the spec and of this version: the solver that is measured is rendered from the spec into a
folder that is gone afterwards, whatever lies on disk under its name.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from derive import emit, gate, pipeline
from derive.errors import Fault, FileSystemError, SpecError, show
from derive.pipeline import Derived
from derive.places import spec_file
from derive.spec import read_spec
from derive.store import replace

CAP = 512
"""Largest number of steps of a measurement."""
EXACT, OWN, ONE_STEP = "from exact starting values", "as the solver starts and ends", "on an uneven grid"


def report(target: str, output: str | None, said: Callable[[str], None]) -> tuple[Path, Derived]:
    """Writes the page of a spec or a generated solver; ``said`` hears what is being done. Returns where it is."""
    if output is not None and Path(output).suffix.lower() not in (".html", ".htm"):
        raise SpecError(Fault(f"got {show(output)}; allowed: a file name that ends in .html", "report: -o"))
    if output is not None and not Path(output).parent.is_dir():
        raise FileSystemError(f"{Path(output).parent}: no such folder")
    said(f"deriving {target} ...")
    derived = pipeline.derive(read_spec(spec_file(target)))
    path = Path(output) if output is not None else Path(f"{derived.spec.name}.html")
    replace(path, page(derived, said).encode())
    return path, derived


def page(derived: Derived, said: Callable[[str], None] = lambda text: None) -> str:
    """The HTML text of a derivation's page."""
    try:
        from derive.report.page import page as rendered
    except ImportError as error:
        raise FileSystemError(f"a report needs the package {error.name}, which is not installed") from error

    files = emit.render(derived)
    gate.check(files, derived)
    with tempfile.TemporaryDirectory(prefix="phiforge-") as scratch:
        folder = Path(scratch) / derived.spec.name
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        said("measuring ...")
        material = _measured(derived, folder)
    said("drawing ...")
    return rendered(material)


def _measured(derived: Derived, folder: Path) -> Any:
    from derive.installed import load_solver
    from derive.measure.compare import Contender
    from derive.measure.gaussian_law import w2_curves
    from derive.report.material import Material

    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        package = load_solver(folder)
    finally:
        sys.dont_write_bytecode = bytecode
    curves, refused = w2_curves(Contender(derived.spec.name, package.solver, derived.claims))
    notes = [f"not run on Gaussian data: {line}" for line in refused[:1] if not any(curves.values())]
    orders, unmeasured = _orders(derived, package.solver.coefficients)
    checks = _checks(derived, package.solver.coefficients)
    return Material(derived, package.solver, orders, curves, checks, (*unmeasured, *notes))


def _orders(derived: Derived, module: ModuleType) -> tuple[dict[str, Any], list[str]]:
    from derive.measure.order import measured_global_order, measured_order

    if any(table.kind == "linear" for table in derived.schedule.tables.values()):
        return {}, ["no order: the table is joined by straight lines, and the order holds between its kinks"]
    claims = derived.claims
    if derived.proof.law:
        return {}, ["no order: the step of a consistency model does not become short"]
    found = {EXACT if claims["history"] else ONE_STEP: (measured_order(module, cap=CAP), claims["order"])}
    if claims["history"] and claims["start"] != "exact":
        found[OWN] = (measured_global_order(module, cap=CAP), claims["global_order"])
    return found, []


def _checks(derived: Derived, module: ModuleType) -> list[str]:
    from derive.check import ULPS, compare_rows

    ulps, where = compare_rows(module, derived)
    if ulps > ULPS:
        return [
            f"WRONG: {where} differs from an independent evaluation at 50 digits by {ulps:.3g} units in the last place"
        ]
    return [f"every coefficient within {ulps:.2f} units in the last place of an independent evaluation at 50 digits"]
