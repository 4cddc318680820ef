"""The formula: the problem, the step, and what happens at both ends, as the derivation has them."""

from __future__ import annotations

from derive.report.material import Material, Section
from derive.report.prose import html, sections

PLACE = 10


def build(material: Material) -> Section:
    found = sections(material.derived.derivation)
    parts = {"The step": "", "The problem": "<h3>Where it comes from</h3>", "Start and end": "<h3>Start and end</h3>"}
    body = "".join(head + html(found.get(name, [])) for name, head in parts.items())
    return Section("formula", "The formula", body, wide=True)
