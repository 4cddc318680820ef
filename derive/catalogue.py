"""What is shipped, as a table: read from each solver's claims.json and spec.yaml, never typed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derive.spec import read_spec


@dataclass(frozen=True, slots=True)
class Entry:
    """One generated solver: its claims and the words of its spec."""

    name: str
    description: str
    schedule: str
    returns: str
    interpolates: str
    claims: dict[str, Any]

    @property
    def summary(self) -> str:
        """One line for ``list solvers``."""
        c = self.claims
        if "law" in c:
            return f"{c['law']}: {' '.join(self.description.split())}"
        if c.get("weak_order") is not None:
            claims = f"weak order {c['weak_order']}, strong order {c['strong_order']} (mean of order {c['order']})"
            return ": ".join(filter(None, (claims, " ".join(self.description.split()))))
        claims = f"order {c['order']} (global {c['global_order']}), leading error {c['error_constant']['leading']}"
        words = " ".join(self.description.split())
        return f"{claims}: {words}" if words else claims


def entry(folder: Path) -> Entry:
    """The entry of one generated folder. Raises SpecError, OSError or ValueError if its files cannot be read."""
    spec = read_spec(folder / "spec.yaml")
    claims = json.loads((folder / "claims.json").read_bytes())
    method = spec.method.parameters
    return Entry(
        spec.name,
        spec.description,
        spec.problem.schedule.kind,
        spec.problem.prediction.kind,
        f"{method['integrand'].kind} in {method['variable']}",
        claims,
    )


def markdown(entries: Iterable[Entry]) -> list[str]:
    """The table of the README: a row a solver, sorted by name."""
    lines = [
        "| solver | schedule | network returns | interpolates | order | global order | leading error | calls | streams |",
        "|---|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for e in sorted(entries, key=lambda e: e.name):
        c = e.claims
        cost = c["cost"]
        calls = f"{c['evaluations_per_step']}"
        if cost["kernels"] != c["evaluations_per_step"]:
            calls += f" ({cost['kernels']} kernels)"
        equal = c.get("uniform_order")
        order = f"{c['order']}" + (f" ({equal} on equal steps)" if equal not in (None, c["order"]) else "")
        if c.get("weak_order") is not None:
            order = f"weak {c['weak_order']}, strong {c['strong_order']} (mean {c['order']})"
        constant = c["error_constant"]["leading"]
        if "law" in c:
            order, constant = "none", "exact law"
        elif not c["error_constant"]["variable_grid"]:
            constant = f"norm {c['error_constant']['value']:.3g}"
        lines.append(
            f"| [{e.name}](generated/{e.name}/derivation.md) | {e.schedule} | {e.returns} | {e.interpolates} "
            f"| {order} | {'none' if 'law' in c else c['global_order']} | {constant} | {calls} | {cost['reads']} + {cost['writes']} |"
        )
    return lines
