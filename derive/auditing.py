"""The verb ``audit``: a target as it was typed -> what it is -> its audit -> the screen, JSON, a page.

FILE.yaml or FILE.json is a tableau; ``diffusers:NAME`` a scheduler; ``MODULE:NAME`` whatever that attribute is: a
scheduler, a k-diffusion sampler, a tableau, or a step. A module is imported because its user named it. ``--all PACKAGE``
audits a whole installed package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

from derive.errors import Fault, FileSystemError, SpecError, show
from derive.store import replace

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for, checked. order: claimed, where the user says it instead of the target."""

    target: str
    config: dict[str, Any]
    order: int | None
    page: Path | None

    @property
    def command(self) -> str:
        """What says it again."""
        words = [self.target, *(f"--config {key}={value}" for key, value in self.config.items())]
        words += [f"--order {self.order}"] if self.order is not None else []
        return f"python -m derive audit {' '.join(words)}"


def request(target: str | None, config: Sequence[str], order: int | None, page: str | None) -> Request:
    """The request, or SpecError with every fault in it."""
    if target is None:
        raise SpecError(Fault("got none; allowed: a TARGET, or --all PACKAGE", "audit"))
    faults = [
        Fault(f"got {show(text)}; allowed: KEY=VALUE", "audit: --config")
        for text in config
        if not text.partition("=")[1]
    ]
    if order is not None and not 1 <= order <= 16:
        faults.append(Fault(f"got {order}; allowed: 1 to 16", "audit: --order"))
    if page is not None and Path(page).suffix.lower() not in (".html", ".htm"):
        faults.append(Fault(f"got {show(page)}; allowed: a file name that ends in .html", "audit: --html"))
    if Path(target).suffix.lower() not in SUFFIXES and ":" not in target:
        allowed = "a file .yaml or .json, diffusers:CLASS, or MODULE:NAME"
        faults.append(Fault(f"got {show(target)}; allowed: {allowed}", "audit"))
    if faults:
        raise SpecError(*faults)
    if page is not None and not Path(page).parent.is_dir():
        raise FileSystemError(f"{Path(page).parent}: no such folder")
    pairs = (text.partition("=") for text in config)
    return Request(target, {key: value_of(text) for key, _, text in pairs}, order, Path(page) if page else None)


def value_of(text: str) -> Any:
    """``3``, ``0.5``, ``true``, ``none`` or the word itself: what a configuration says."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def audit(asked: Request, said: Callable[[str], None] = lambda text: None) -> Any:
    """The :class:`derive.audit.finding.Audit` of the target; writes the page if one is asked for."""
    said(f"auditing {asked.target} ...")
    found = _table(asked) if Path(asked.target).suffix.lower() in SUFFIXES else _named(asked)
    found = changed(found, data={**found.data, "command": asked.command})
    if asked.page is not None:
        from derive.audit.page import page

        replace(asked.page, page(found.as_dict()).encode())
    return found


def audit_all(
    name: str, alone: bool, said: Callable[[str], None] = lambda text: None
) -> tuple[list[str], dict[str, Any], bool]:
    """(the screen, JSON, whether all claims hold) of an installed package. alone: nothing but it was asked for."""
    from derive.audit.installed import package, rows, screen

    if not alone:
        raise SpecError(Fault("with a target, --config, --order or --html; allowed: alone", "audit: --all"))
    chosen = package(name)
    found = list(rows(chosen, said))
    audits = [
        {
            "command": f"python -m derive audit {row.arguments}",
            **(row.found.as_dict() if row.found else {"refused": row.refused}),
        }
        for row in found
    ]
    holds = all(row.found is None or row.found.holds for row in found)
    return screen(chosen, found), {"package": chosen.name, "holds": holds, "audits": audits}, holds


def _table(asked: Request) -> Any:
    from derive.audit.table_file import read_table
    from derive.audit.tables import audit_table

    if asked.config:
        raise SpecError(Fault("a tableau has no configuration", "audit: --config"))
    given = read_table(Path(asked.target))
    return audit_table(changed(given, order=asked.order or given.order), asked.target)


def _named(asked: Request) -> Any:
    from derive.audit.adapters import adapted

    return adapted(asked.target, asked.config, asked.order)


__all__ = ["Request", "audit", "audit_all", "request", "value_of"]
