"""BibTeX: what names a paper is found in free text, once, and unknown papers are cited by number."""

from __future__ import annotations

import importlib

import pytest

from derive import lookup
from derive.references import PAPERS, bibtex, identifiers


def test_numbers_are_found_in_text() -> None:
    texts = [
        "arXiv:2211.01095 (Eq. 12); doi:10.1017/S0962492910000048 (Sec. 2.5)",
        "see 2211.01095v3, and arXiv:2010.02502.",
    ]
    assert identifiers(texts) == ("2211.01095", "10.1017/S0962492910000048", "2010.02502")
    assert identifiers(["a book", ""]) == ()


def test_an_unknown_paper_is_cited_by_its_number() -> None:
    assert bibtex(["arXiv:9901.00001"]).splitlines()[:2] == ["@misc{9901_00001,", "  eprint = {9901.00001},"]
    assert "doi = {10.1000/x_y.z}" in bibtex(["doi:10.1000/x_y.z"])


def test_entries_are_whole() -> None:
    for identifier, paper in PAPERS.items():
        text = bibtex([identifier])
        assert text.count("{") == text.count("}")
        assert text.isascii() and paper.title in text and f"{{{paper.key}," in text
    assert len({paper.key for paper in PAPERS.values()}) == len(PAPERS)


@pytest.mark.parametrize("package", ["derive.schedules", "derive.predictions", "derive.families", "derive.problems"])
def test_every_source_of_ours_has_an_identifier(package: str) -> None:
    for kind in lookup.names(package):
        reference = importlib.import_module(f"{package}.{kind}").REFERENCE
        assert identifiers([reference]), f"{package}.{kind}: {reference!r} names no arXiv number or DOI"
