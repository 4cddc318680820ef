"""What an audit says: claims beside what was found, the first wrong coefficient beside the right one, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 6
"""Wrong coefficients that the screen shows."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A coefficient, a moment or a condition: where it is, its value, and the value that it should have."""

    where: str
    got: str
    right: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.where}: got {self.got}; right: {self.right}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class Claim:
    """``claimed`` is what the target says of ``name`` (None: nothing), ``found`` what was proved or measured."""

    name: str
    claimed: int | None
    found: int | None
    because: str = ""
    source: str = ""

    @property
    def holds(self) -> bool:
        return self.claimed is None or (self.found is not None and self.found >= self.claimed)

    def __str__(self) -> str:
        found = "not found" if self.found is None else str(self.found)
        if self.claimed is None:
            return f"{self.name} {found}" + (f": {self.because}" if self.because else "")
        head = f"{self.name} claimed {self.claimed}, found {found}"
        return head + (f": {self.because}" if self.because else "")


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: title, head, rows of text."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def lines(self) -> list[str]:
        """The table in columns."""
        cells = [self.head, *self.rows]
        widths = [max(len(row[j]) for row in cells) for j in range(len(self.head))]
        return [self.title, *("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in cells)]


@dataclass(frozen=True, slots=True)
class Audit:
    """The outcome of one audit. failures: what is wrong beside the claims (values that are not finite, ..)."""

    target: str
    what: str
    how: str
    claims: tuple[Claim, ...]
    wrong: tuple[Wrong, ...] = ()
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tables: tuple[Grid, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether everything that the target claims was found."""
        return not self.failures and all(claim.holds for claim in self.claims)

    @property
    def verdict(self) -> str:
        if self.holds:
            said = any(claim.claimed is not None for claim in self.claims)
            return "as claimed" if said else "nothing claimed"
        return "not as claimed"

    def lines(self) -> list[str]:
        """One screen."""
        out = [f"{self.target}: {self.verdict.upper() if not self.holds else self.verdict}", f"  {self.what}"]
        out += [f"  {claim}" for claim in self.claims]
        out += [f"  wrong: {wrong}" for wrong in self.wrong[:SHOWN]]
        out += [f"  fails: {text}" for text in self.failures]
        out += [f"  note: {text}" for text in self.notes]
        for table in self.tables:
            out += ["", *(f"  {line}" for line in table.lines())]
        return [*out, "", f"  how: {self.how}"]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        claims = [{**asdict(claim), "holds": claim.holds} for claim in self.claims]
        return {
            "target": self.target,
            "what": self.what,
            "verdict": self.verdict,
            "holds": self.holds,
            "claims": claims,
            "wrong": [asdict(wrong) for wrong in self.wrong],
            "failures": list(self.failures),
            "notes": list(self.notes),
            "tables": [asdict(table) for table in self.tables],
            "how": self.how,
            **self.data,
        }


def not_run(
    target: str,
    what: str,
    how: str,
    claimed: int | None,
    failure: str,
    because: str = "it does not run",
    source: str = "",
) -> Audit:
    """The audit of what has no order, since it does not run to the end."""
    claim = Claim("order", claimed, None, because, source)
    return Audit(target, what, how, (claim,), failures=(failure,), data={"order": None, "claimed": claimed})


def joined(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + (words[-1] if words else "")


__all__ = ["Audit", "Claim", "Grid", "Wrong", "joined", "not_run"]
