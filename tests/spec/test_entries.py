"""A tableau typed into a spec: read exactly, printed canonically, every fault at its line, column and key path."""

from __future__ import annotations

import time

import pytest

from derive import lookup
from derive.errors import SpecError
from derive.spec import read_spec_text, schema
from derive.symbolic.forms import Form
from derive.tableau_text import parse_entry

GOOD = """\
name: my_krogstad
problem:
  kind: diffusion
  schedule: {kind: vp_linear}
  prediction: noise
method:
  family: given
  integrand: data
  c: [0, 1/2, "1/2", 1]
  a:
    - []
    - [phi1(z/2)/2]
    - [phi1(z/2)/2 - phi2(z/2), phi2(z/2)]
    - [phi1(z) - 2*phi2(z), 0, 2*phi2(z)]
  b:
    - phi1(z) - 3*phi2(z) + 4*phi3(z)
    - 2*phi2(z) - 4*phi3(z)
    - 2*phi2(z) - 4*phi3(z)
    - 4*phi3(z) - phi2(z)
"""
C, ROW, LAST = '[0, 1/2, "1/2", 1]', "[phi1(z/2)/2]", "    - 4*phi3(z) - phi2(z)\n"


def test_entries_arrive_as_forms():
    spec = read_spec_text(GOOD)
    method = spec.method.parameters
    assert method["c"] == tuple(map(parse_entry, ("0", "1/2", "1/2", "1")))
    assert [len(row) for row in method["a"]] == [0, 1, 2, 3]
    assert method["a"][3][1] == Form()
    assert method["b"][3] == parse_entry("4*phi3(z) - phi2(z)")
    assert "embedded" not in method
    assert spec.where["method.a[2][1]"] == (13, 33)


def test_the_canonical_text_reads_back():
    text = read_spec_text(GOOD).canonical()
    assert (
        '  a: [[], ["phi1(z/2)/2"], ["phi1(z/2)/2 - phi2(z/2)", "phi2(z/2)"], ["phi1(z) - 2*phi2(z)", 0, "2*phi2(z)"]]\n'
        in text
    )
    assert '  c: [0, "1/2", "1/2", 1]\n' in text
    again = read_spec_text(text)
    assert again == read_spec_text(GOOD)
    assert again.canonical() == text
    other = GOOD.replace(LAST, "    - (8*phi3(z) - 2*phi2(z))/2\n")
    assert read_spec_text(other).sha256 == read_spec_text(GOOD).sha256


def test_radicals_and_decimals_are_exact():
    spec = read_spec_text(GOOD.replace(C, '[0, 0.5, "(4 - sqrt(6))/10", 1]'))
    assert '"2/5 - sqrt(6)/10"' in spec.canonical()
    assert read_spec_text(spec.canonical()) == spec


BAD = {
    "a word for a list": (C, "rk4", 9, 6, "method.c", "got 'rk4'; allowed a list of 1 to 16 numbers"),
    "a mapping": (C, "{c: 1}", 9, 6, "method.c", "got a mapping with 'c'"),
    "an empty list": (C, "[]", 9, 6, "method.c", "got an empty list"),
    "null": (C, "null", 9, 6, "method.c", "got null"),
    "too long": (C, f"[{', '.join(['1'] * 17)}]", 9, 6, "method.c", "got a list of 17; allowed a list of 1 to 16"),
    "a nested abscissa": (C, "[0, [1/2], 1/2, 1]", 9, 10, "method.c[1]", "got a list of 1; allowed a number such as"),
    "a function for a number": (
        C,
        "[0, phi1(z), 1/2, 1]",
        9,
        10,
        "method.c[1]",
        "unknown name 'phi1'; allowed: numbers",
    ),
    "a flag": (C, "[0, true, 1/2, 1]", 9, 10, "method.c[1]", "got true"),
    "nothing between commas": (C, "[0, null, 1/2, 1]", 9, 10, "method.c[1]", "got null"),
    "not a number": (C, "[0, 1/2, 1/0, 1]", 9, 17, "method.c[2]", "division by zero"),
    "an entry for a row": (ROW, "phi1(z/2)/2", 12, 7, "method.a[1]", "allowed a list of 1 to 16 coefficients"),
    "a row too deep": (
        ROW,
        "[[phi1(z/2)/2]]",
        12,
        8,
        "method.a[1][0]",
        "got a list of 1; allowed a coefficient such as",
    ),
    "a mapping in a row": (ROW, "[{phi1: 1}]", 12, 8, "method.a[1][0]", "got a mapping"),
    "a row too long": (ROW, f"[{', '.join(['0'] * 17)}]", 12, 7, "method.a[1]", "got a list of 17"),
    "nested too deep": (ROW, "[" * 40 + "]" * 40, 12, 25, "method.a[1]" + "[0]" * 18, "deeper"),
    "a typing error": (ROW, "[phi1(z/2)/2 +]", 12, 21, "method.a[1][0]", "got the end"),
    "in quotes": (ROW, '["phi1(z/2)/2 +"]', 12, 22, "method.a[1][0]", "got the end"),
    "an unknown name": (ROW, "[psi1(z/2)/2]", 12, 8, "method.a[1][0]", "unknown name 'psi1'"),
    "the wrong letter": (ROW, "[phi1(h/2)/2]", 12, 13, "method.a[1][0]", "unknown name 'h'"),
    "a product": (ROW, "[phi1(z/2)*exp(z/2)]", 12, 18, "method.a[1][0]", "a product of functions"),
    "an index too high": (ROW, "[phi99(z)]", 12, 8, "method.a[1][0]", "allowed phi0 to phi9"),
    "a huge number": (ROW, "[1e301]", 12, 8, "method.a[1][0]", "exponents -300 to 300"),
    "a large number": (ROW, "[1e300]", 12, 8, "method.a[1][0]", "a coefficient above 1000000"),
    "a huge exponent": (ROW, "[phi1(z/2)/2*10**999]", 12, 24, "method.a[1][0]", "exponents 0 to 16"),
    "a huge argument": (ROW, "[phi1(1000000*z)]", 12, 8, "method.a[1][0]", "an argument above 16*z"),
    "many digits": (ROW, f"[{'7' * 200}]", 12, 8, "method.a[1][0]", "at most 154 digits"),
    "code": (ROW, "[\"__import__('os').system('x')\"]", 12, 20, "method.a[1][0]", "got"),
    "an attribute": (ROW, "[phi1.__class__]", 12, 12, "method.a[1][0]", "got '.'"),
    "a template": (ROW, '["{{ 7*7 }}"]', 12, 9, "method.a[1][0]", "got '{'"),
    "an alias": (ROW, "[*anchor]", 12, 8, "method.a[1][0]", "alias"),
    "a letter that looks like one": (ROW, '["\u03c61(z)"]', 12, 9, "method.a[1][0]", "U+03C6"),
    "a control character": (ROW, '["1\\0"]', 12, 10, "method.a[1][0]", "got"),
    "an output row that is nested": (LAST, "    - [4*phi3(z) - phi2(z)]\n", 19, 7, "method.b[3]", "got a list of 1"),
    "a missing row": ("  c: " + C + "\n", "", 7, 3, "method.c", "missing"),
    "an unknown key": ("  c: " + C, "  c: " + C + "\n  bhat: [1]", 10, 3, "method.bhat", "unknown key"),
}


@pytest.mark.parametrize("name", BAD)
def test_faults_have_their_place(name):
    old, new, line, column, key, words = BAD[name]
    assert GOOD.count(old) == 1
    started = time.perf_counter()
    with pytest.raises(SpecError) as refused:
        read_spec_text(GOOD.replace(old, new))
    fault = refused.value.faults[0]
    assert words in fault.message
    assert (fault.line, fault.column, fault.key) == (line, column, key)
    assert str(fault).isascii()
    assert "\n" not in str(fault)
    assert len(str(fault)) < 500
    assert time.perf_counter() - started < 1


def test_every_fault_is_reported():
    text = GOOD.replace(C, "[0, x, 1/2, y]").replace(ROW, "[z]")
    with pytest.raises(SpecError) as refused:
        read_spec_text(text)
    assert [fault.key for fault in refused.value.faults] == ["method.c[1]", "method.c[3]", "method.a[1][0]"]


def test_the_json_schema_knows_rows():
    families = {m["properties"]["family"]["const"]: m["properties"] for m in schema()["properties"]["method"]["anyOf"]}
    assert set(families) == set(lookup.names("derive.families"))
    rows = families["given"]["a"]
    assert rows["type"] == rows["items"]["type"] == "array"
    assert rows["items"]["maxItems"] == rows["maxItems"] == 16
    assert "minItems" not in rows["items"]
    assert families["given"]["c"]["minItems"] == 1
    assert "krogstad" in families["exponential_rk"]["tableau"]["enum"]
