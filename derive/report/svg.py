"""A figure as an inline SVG element that takes its colours from the page and says in words what it shows.

Matplotlib numbers its groups and clip paths from one in every file; on a page with many pictures the names that are used
get the picture's own prefix and the others go. Coordinates keep two decimals (a hundredth of a pixel).
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from derive.report.figures import GRID, INK, MUTED, PAPER, SERIES, saved

SVG = "http://www.w3.org/2000/svg"
XLINK = "{http://www.w3.org/1999/xlink}href"
COLOURS = {INK: "ink", MUTED: "muted", GRID: "line", PAPER: "paper"} | {c: f"s{i}" for i, c in enumerate(SERIES, 1)}
_HEX = re.compile("|".join(COLOURS))
_USED = re.compile(r"url\(#([^)]+)\)")
_DECIMALS = re.compile(r"(\.\d{2})\d+")
_PLACES = ("d", "x", "y", "width", "height", "points")


def inline(figure: Figure, prefix: str, title: str, description: str) -> str:
    """``<svg role="img">`` with a title and a description; ``prefix``: a word that no other picture of the page has."""
    root = ElementTree.fromstring(saved(figure, "svg"))
    used = {name for node in root.iter() for name in _references(node)}
    for node in root.iter():
        node.tag = node.tag.removeprefix(f"{{{SVG}}}")
        _named(node, used, prefix)
        _coloured(node)
    for gone in ("width", "height", "version"):
        root.attrib.pop(gone, None)
    labels = []
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        label = ElementTree.Element(tag, {"id": f"{prefix}-{tag}"})
        label.text = text
        root.insert(place, label)
        labels.append(f"{prefix}-{tag}")
    root.attrib |= {"role": "img", "aria-labelledby": " ".join(labels)}
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _references(node: ElementTree.Element) -> list[str]:
    """Names of other elements that this one uses."""
    found = [name for value in node.attrib.values() for name in _USED.findall(value)]
    link = node.get(XLINK, "")
    return found + ([link[1:]] if link.startswith("#") else [])


def _named(node: ElementTree.Element, used: set[str], prefix: str) -> None:
    own = node.attrib.pop("id", None)
    if own in used:
        node.set("id", f"{prefix}-{own}")
    link = node.attrib.pop(XLINK, None)
    if link is not None:
        node.set("href", f"#{prefix}-{link[1:]}" if link.startswith("#") else link)
    for name, value in list(node.attrib.items()):
        if "url(#" in value:
            node.set(name, _USED.sub(rf"url(#{prefix}-\1)", value))


def _coloured(node: ElementTree.Element) -> None:
    for name, value in list(node.attrib.items()):
        if name == "style" and "#" in value:
            node.set(name, _HEX.sub(lambda hit: f"var(--{COLOURS[hit[0]]})", value))
        elif name in _PLACES:
            node.set(name, _DECIMALS.sub(r"\1", value))
