"""The reports of the gallery are those of the shipped solvers, as the program writes them now.

``python -m pytest -m slow tests/docs --update`` writes them again; their pictures are made by hand, with a browser.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from derive.cli import main

ROOT = Path(__file__).resolve().parents[2]
GALLERY = ROOT / "docs" / "gallery"
PAGES = sorted(GALLERY.glob("*.html"))
FIGURE = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_page_is_of_the_spec_that_is_shipped(page):
    claims = json.loads((ROOT / "generated" / page.stem / "claims.json").read_text("utf-8"))
    text = page.read_text("utf-8")
    words = " ".join(re.sub(r"<[^>]+>", " ", text).split())
    assert claims["spec_sha256"] in text
    assert f"Order {claims['order']} proved" in words and f"Order {claims['global_order']} of a whole run" in words
    assert page.with_suffix(".png").is_file()


def test_every_page_is_shown_with_its_picture():
    shown = re.findall(
        r"!\[.{30,}\]\(gallery/(\w+)\.png\)\]\(gallery/\1\.html\)", (ROOT / "docs/gallery.md").read_text()
    )
    assert PAGES and shown and sorted(shown) == [page.stem for page in PAGES]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_page_says_what_the_program_writes_now(page, update, tmp_path):
    target = page if update else tmp_path / page.name
    assert main(["report", page.stem, "-o", str(target)]) == 0

    def said(path: Path) -> str:
        """The words of a page: markup and drawings left out, and measured figures."""
        text = re.sub(r"<(svg|style)\b.*?</\1>", " ", path.read_text("utf-8"), flags=re.DOTALL)
        return " ".join(FIGURE.sub("#", re.sub(r"<[^>]+>", " ", text)).split())

    assert said(target) == said(page)
