"""The papers that the solver is built on."""

from __future__ import annotations

from html import escape

from derive.references import PAPERS, identifiers
from derive.report.material import Material, Section, tag

PLACE = 100


def build(material: Material) -> Section | None:
    texts = material.derived.spec.references
    known = identifiers(texts)
    if not texts:
        return None
    items = [tag("li", _entry(identifier)) for identifier in known]
    items += [tag("li", escape(text)) for text in texts if not identifiers([text])]
    return Section("references", "References", tag("ol", *items))


def _entry(identifier: str) -> str:
    preprint = not identifier.startswith("10.")
    label = f"arXiv:{identifier}" if preprint else f"doi:{identifier}"
    address = f"https://arxiv.org/abs/{identifier}" if preprint else f"https://doi.org/{identifier}"
    link = tag("a", escape(label), href=address, rel="noreferrer")
    paper = PAPERS.get(identifier)
    if paper is None:
        return link
    authors = [name.split(",")[0] for name in paper.authors.split(" and ")]
    shown = " and ".join(authors) if len(authors) < 3 else f"{authors[0]} et al."
    return f"{escape(_plain(shown))} ({paper.year}). <cite>{escape(_plain(paper.title))}</cite>. {link}"


def _plain(text: str) -> str:
    """BibTeX's accents as letters."""
    for code, letter in {'{\\"o}': "ö", '{\\"u}': "ü", '{\\"a}': "ä", "{\\'e}": "é"}.items():
        text = text.replace(code, letter)
    return text.replace("{", "").replace("}", "")
