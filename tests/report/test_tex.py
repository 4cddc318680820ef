"""LaTeX of derivations as MathML: what each piece becomes, what is refused, and that every shipped formula is known."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from derive.report.prose import formula, html, inline, sections
from derive.report.tex import TexError, mathml

ROOT = Path(__file__).resolve().parents[2]
DERIVATIONS = sorted((ROOT / "generated").glob("*/derivation.md"))


def inside(tex, display=False):
    """The children of the outer row."""
    found = mathml(tex, display)
    assert ElementTree.fromstring(found).tag == "math"
    return re.fullmatch(r"<math[^>]*><mrow>(.*)</mrow></math>", found)[1]


@pytest.mark.parametrize(
    "tex, want",
    [
        ("x", "<mi>x</mi>"),
        ("12.5", "<mn>12.5</mn>"),
        (r"\varphi_{1}", "<msub><mi>φ</mi><mn>1</mn></msub>"),
        ("x_{n+1}", "<msub><mi>x</mi><mrow><mi>n</mi><mo>+</mo><mn>1</mn></mrow></msub>"),
        ("r_0^2", "<msubsup><mi>r</mi><mn>0</mn><mn>2</mn></msubsup>"),
        ("x^12", "<msup><mi>x</mi><mn>1</mn></msup><mn>2</mn>"),
        (r"\frac BG", "<mfrac><mi>B</mi><mi>G</mi></mfrac>"),
        (r"\frac{1}{2}", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"),
        (r"\sqrt{2}", "<msqrt><mn>2</mn></msqrt>"),
        (r"\sqrt[3]{2}", "<mroot><mn>2</mn><mn>3</mn></mroot>"),
        ("-1", "<mo>−</mo><mn>1</mn>"),
        (r"\dot x", '<mover accent="true"><mi>x</mi><mo stretchy="false">˙</mo></mover>'),
        (r"\text{a < b}", "<mtext>a &lt; b</mtext>"),
        (r"a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        (r"\left(x\right) y", "<mi>x</mi><mi>y</mi>"),
        (r"\left(1\right) h", "<mi>h</mi>"),
        (r"\left(x\right)^{2}", '<msup><mrow><mo stretchy="false">(</mo><mi>x</mi><mo stretchy="false">)</mo></mrow><mn>2</mn></msup>'),
        (r"F''", "<msup><mi>F</mi><mo>′′</mo></msup>"),
        (r"\Bigl[x\Bigr]", '<mo minsize="1.2em" maxsize="1.2em">[</mo><mi>x</mi><mo minsize="1.2em" maxsize="1.2em">]</mo>'),
    ],
)  # fmt: skip
def test_pieces(tex, want):
    assert inside(tex) == want


def test_brackets_of_a_function_stay():
    assert "(" in inside(r"\log{\left(\rho \right)}") and "&#x2061;" in inside(r"\log{\left(\rho \right)}")
    assert inside(r"\operatorname{atan}{\left(\rho \right)}").startswith("<mrow><mi>atan</mi>")


def test_brackets_grow_with_what_they_hold():
    assert 'stretchy="false"' in inside(r"\left(a + b\right)") and 'stretchy="false"' not in inside(
        r"\left(\frac{a}{2} + b\right)"
    )


def test_limits_stand_under_sums_on_a_line_of_their_own():
    assert inside(r"\sum_{k} x", True).startswith("<munder>") and inside(r"\sum_{k} x").startswith("<msub>")
    assert inside(r"\int_s^t x", True).startswith("<msubsup>")


@pytest.mark.parametrize(
    "tex", [r"\unknown x", "{x", "x}", r"\left( x", r"\frac{1}", "x & y", r"\left\foo x \right)", "x^"]
)
def test_what_is_not_in_the_dialect_is_refused(tex):
    with pytest.raises(TexError):
        mathml(tex)
    assert formula(tex).startswith("<code>")


@pytest.mark.parametrize("path", DERIVATIONS, ids=lambda p: p.parent.name)
def test_every_shipped_formula_is_rendered(path):
    text = path.read_text()
    shown = html(text.splitlines())
    assert shown.count("<math") == len(re.findall(r"\$\$.+?\$\$|\$[^$]+\$", text, re.DOTALL))
    assert not re.search(r"<code>[^<]*\\", shown)
    for found in re.findall(r"<math.*?</math>", shown):
        ElementTree.fromstring(found)


def test_prose_is_escaped_and_split():
    lines = ["## One", "", "a <b> & **c** `d<e`, $x$.", "", "- p", "- q", "  r", "## Two", "", "$$ y $$\n\n$$ z $$"]
    found = sections(lines)
    assert list(found) == ["One", "Two"]
    shown = html(found["One"])
    assert "a &lt;b&gt; &amp; <strong>c</strong> <code>d&lt;e</code>" in shown and "<li>q r</li>" in shown
    assert html(found["Two"]).count("<math") == 2
    assert inline("$x$, y").startswith('<span class="kept">') and 'class="long"' in inline(f"${'x+' * 40}x$")
