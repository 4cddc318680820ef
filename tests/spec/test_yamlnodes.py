"""The YAML reader: nodes with places, and no text that makes it fail in any way but a SpecError."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from derive.errors import FileSystemError, SpecError
from derive.spec import read_spec_text, schema
from derive.yamlnodes import MAX_BYTES, Mapping, Node, Scalar, Sequence, compose, decode, read_bounded
from tests.spec.audit import watched
from tests.spec.bad_specs import GOOD


@pytest.fixture(scope="module", autouse=True)
def _everything_loaded() -> None:
    schema()
    read_spec_text(GOOD)


def nodes(text: str) -> Node:
    root, faults = compose(text, "f")
    assert root is not None
    assert faults == []
    return root


def plain(node: Node) -> object:
    """A node as Python lists and dicts."""
    if isinstance(node, Mapping):
        return {key.text: plain(value) for key, value in node.entries}
    return [plain(item) for item in node.items] if isinstance(node, Sequence) else node.value


def test_places_are_those_an_editor_shows() -> None:
    root = nodes("a: 1\nb:\n  - x\n  - {c: 'y'}\n")
    assert isinstance(root, Mapping)
    (a, one), (b, items) = root.entries
    assert (a.line, a.column, one.line, one.column) == (1, 1, 1, 4)
    assert isinstance(items, Sequence)
    assert (b.line, items.line, items.column) == (2, 3, 3)
    inner = items.items[1]
    assert isinstance(inner, Mapping)
    assert [(n.line, n.column) for entry in inner.entries for n in entry] == [(4, 6), (4, 9)]


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("-3", -3), ("1e-4", Fraction(1, 10000)), (".5", Fraction(1, 2)), ("2.0", Fraction(2)), ("true", True),
     ("false", False), ("null", None), ("", None), ("'3'", "3"), ('"yes"', "yes"), ("word", "word"), ("1/3", "1/3"), ("nan", "nan"),
     ("2*t", "2*t"), ("|\n  3\n", "3\n"), ("'2024-01-01'", "2024-01-01"), ("0", 0), ("-0.0", Fraction(0))],
)  # fmt: skip
def test_scalars(text: str, value: object) -> None:
    root = nodes(f"a: {text}\n")
    assert isinstance(root, Mapping)
    scalar = root.entries[0][1]
    assert isinstance(scalar, Scalar)
    assert scalar.value == value
    assert type(scalar.value) is type(value)


@given(st.recursive(
    st.one_of(st.integers(-10**20, 10**20), st.booleans(), st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=12,
))  # fmt: skip
def test_agrees_with_the_usual_reader_on_what_both_allow(value: object) -> None:
    text = yaml.safe_dump(value, default_style='"') if isinstance(value, str) else yaml.safe_dump(value)
    try:
        root, faults = compose(text, "f")
    except SpecError as error:
        assert "hidden character" in str(error)  # noqa: PT017
        return
    assert root is not None
    if not faults:
        assert plain(root) == value


def test_limits() -> None:
    with pytest.raises(SpecError, match="256 kB"):
        compose("#" * (MAX_BYTES + 1), "f")
    assert compose("#" * MAX_BYTES, "f") == (None, [])
    assert nodes("[" * 20 + "1" + "]" * 20) is not None
    with pytest.raises(SpecError, match="deeper than 20"):
        compose("[" * 21 + "1" + "]" * 21, "f")


def test_decode() -> None:
    assert decode(b"\xef\xbb\xbfa: 1", "f") == "a: 1"
    with pytest.raises(SpecError, match=r"^f:2:3: got byte 0xff, which is not UTF-8"):
        decode(b"a\r\nbc\xff", "f")


def test_read_bounded(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert read_bounded(tmp_path / "a", 10) == b"x" * 10
    with pytest.raises(SpecError, match="larger than"):
        read_bounded(tmp_path / "a", 9)
    for wrong in (tmp_path, tmp_path / "b", tmp_path / "a" / "b", "a\0b", "x" * 5000):
        with pytest.raises(FileSystemError):
            read_bounded(wrong)


_pieces = st.sampled_from([
    "a: ", "- ", "[", "]", "{", "}", ",", "\n", "  ", "\t", "'", '"', "#", " # ", "&x ", "*x", "!!str ", "!t ", "<<: ", "---\n", "...\n",
    "? ", ": ", "|\n", ">-\n", "%YAML 1.1\n", "1e400", "yes", "0x1", ".nan", "\\", '"\\ud800"', '"\\UFFFFFFFF"', "\ufeff", "\x00",
    "\u2028", "é", "\r", "name: x\n", "method:\n", "problem: ", "steps: 2\n", "alphas_cumprod: ", "@", "`", "=", "~",
])  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """:data:`GOOD` with a few pieces cut, doubled or inserted."""
    text = GOOD
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 12)))
        middle = draw(st.one_of(st.just(""), _pieces, st.just(text[start:stop] * 2), st.text(max_size=5)))
        text = text[:start] + middle + text[stop:]
    return text


@given(st.one_of(mutations(), st.lists(_pieces, max_size=25).map("".join), st.text(max_size=100)))
@example("%YAML 99999999999999999999999.1\n---\n")
@example('a: "\\UFFFFFFFF"')
@example("? [")
@example("a: !<")
@example("&")
@example("%TAG\n")
@example("\udc80")
def test_no_text_does_anything_but_read_or_be_refused(text: str) -> None:
    start = time.perf_counter()
    with watched() as seen:
        try:
            spec = read_spec_text(text)
        except SpecError as error:
            spec = None
            assert error.faults  # noqa: PT017
            assert all(fault.line >= 1 and fault.column >= 1 and fault.message.isascii() for fault in error.faults)  # noqa: PT017
    assert time.perf_counter() - start < 2
    assert seen == []
    if spec is not None:
        assert read_spec_text(spec.canonical()) == spec


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_decode_or_be_refused(data: bytes) -> None:
    try:
        text = decode(data, "f")
    except SpecError as error:
        assert error.faults[0].line >= 1  # noqa: PT017
        return
    assert isinstance(text, str)
