"""Good specs: typed exactly, complete, and equal to what their canonical text reads back as."""

from __future__ import annotations

import json
import string
import time
from fractions import Fraction
from pathlib import Path

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from derive import lookup
from derive.errors import SpecError
from derive.fields import Chosen
from derive.spec import CLAIMS, KEYS, Spec, read_spec, read_spec_text, schema
from derive.symbolic import alphabet
from derive.yamlnodes import Mapping, Node, Scalar, Sequence, compose
from tests.spec.bad_specs import GOOD, edited


def changed(line: int, *new: str) -> Spec:
    return read_spec_text(edited(line, *new))


def test_values_are_typed_and_exact() -> None:
    spec = read_spec_text(GOOD)
    assert spec.name == "my_dpmpp_2m"
    assert spec.description == "Second-order multistep"
    assert spec.problem.kind == "diffusion"
    assert spec.problem.schedule == Chosen(
        "vp_linear", {"beta_start": Fraction(1, 10), "beta_end": Fraction(20), "steps": 0}
    )
    assert spec.problem.prediction.kind == "noise"
    assert spec.method.family == "exponential_multistep"
    assert list(spec.method.parameters) == ["steps", "integrand", "variable", "weights", "start", "final"]
    assert spec.method.parameters["integrand"] == Chosen("data", {})
    assert spec.claims == {"order": 2}
    assert spec.grid is not None
    assert spec.grid.parameters["steps"] == 20
    assert spec.grid.parameters["exponent"] == 7
    assert spec.grid.parameters["final_zero"] is True
    assert "t_end" not in spec.grid.parameters
    assert spec.backends == ("torch",)
    assert spec.references == ("arXiv:2211.01095",)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", Fraction(1, 10_000)), (".5", Fraction(1, 2)), ("1.", Fraction(1)), ("1E2", Fraction(100)), ("+3", Fraction(3)),
        ("1/3", Fraction(1, 3)), ('"1/3"', Fraction(1, 3)), ('"0.1"', Fraction(1, 10)), ("1.e-3", Fraction(1, 1000)),
        ("0.1000000000000000055511151231257827021181583404541015625", Fraction(0.1)), ("'10/4'", Fraction(5, 2)),
    ],
)  # fmt: skip
def test_numbers_are_exact(text: str, value: Fraction) -> None:
    parameters = changed(
        5, f"  schedule: {{kind: vp_linear, beta_start: {text}, beta_end: 200}}"
    ).problem.schedule.parameters
    assert parameters["beta_start"] == value
    assert type(parameters["beta_start"]) is Fraction


def test_a_schedule_and_a_prediction_written_out() -> None:
    spec = changed(5, '  schedule: {alpha: "cos(pi*t/2)", sigma: sin(pi*t/2), t: [1, 1/1000]}')
    t = alphabet.t
    assert spec.problem.schedule.kind == "expression"
    assert spec.problem.schedule.parameters["alpha"] == sp.cos(sp.pi * t / 2)
    assert spec.problem.schedule.parameters["sigma"] == sp.sin(sp.pi * t / 2)
    assert spec.problem.schedule.parameters["t"] == (Fraction(1), Fraction(1, 1000))
    velocity = changed(10, '  integrand: {x0: "-sigma", eps: alpha}').method.parameters["integrand"]
    assert velocity == Chosen("linear", {"x0": -alphabet.sigma, "eps": alphabet.alpha})


def test_the_variable_is_a_word_or_an_expression() -> None:
    assert changed(11, "  variable: angle").method.parameters["variable"] == "angle"
    assert changed(11, '  variable: "lambda**2 + rho"').method.parameters["variable"] == alphabet.lam**2 + alphabet.rho


def test_moments() -> None:
    spec = changed(12, '  weights: {moments: {1: "phi1/2", 0: mu0}}')
    assert spec.method.parameters["weights"] == {0: sp.Symbol("mu0"), 1: sp.Symbol("phi1") / 2}
    assert 'weights: {moments: {0: "mu0", 1: "phi1/2"}}' in spec.canonical()
    assert spec.fault("method.weights.moments.1", "x").line == 12


def test_bom_crlf_unicode_and_long_text_are_fine(tmp_path: Path) -> None:
    text = edited(2, f'description: "Ünïcode 数学 \U0001f600 {"long " * 300}"').replace("\n", "\r\n")
    (tmp_path / "s.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    spec = read_spec(tmp_path / "s.yaml")
    assert spec.description.startswith("Ünïcode 数学 \U0001f600 long")
    assert spec.canonical().isascii()
    assert read_spec_text(spec.canonical()) == spec
    assert spec.fault("method.steps", "x").line == 9


def test_block_text_and_comments_are_fine() -> None:
    spec = changed(
        2, "description: |", "  two 'lines'", '  with "quotes" and {{braces}} */ # no comment', "# a comment"
    )
    assert spec.description == "two 'lines'\nwith \"quotes\" and {{braces}} */ # no comment\n"
    assert read_spec_text(spec.canonical()) == spec
    assert spec.fault("problem.kind", "x").line == 7


def test_a_table_from_a_file_beside_the_spec(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.json").write_text("[0.1e1, 0.5, 1e-3]")
    (tmp_path / "s.yaml").write_text(edited(5, "  schedule: {kind: table, alphas_cumprod: sub/a.json}"))
    spec = read_spec(tmp_path / "s.yaml")
    rows = (Fraction(1), Fraction(1, 2), Fraction(1, 1000))
    assert spec.problem.schedule.parameters == {"alphas_cumprod": rows}
    assert "alphas_cumprod: [1, 0.5, 0.001]" in spec.canonical()
    assert read_spec_text(spec.canonical()) == spec
    with pytest.raises(SpecError, match="the spec itself is not a file"):
        read_spec_text(edited(5, "  schedule: {kind: table, alphas_cumprod: sub/a.json}"))


def test_defaults_are_written_out_in_one_order() -> None:
    minimal = """\
method: {variable: rho, steps: 1, family: exponential_multistep, integrand: noise}
problem: {prediction: noise, schedule: flow, kind: diffusion}
name: x
"""
    assert (
        read_spec_text(minimal).canonical()
        == """\
name: x
problem:
  kind: diffusion
  schedule: {kind: flow, shift: 1}
  prediction: {kind: noise, input: default, input_scale: none, time_scale: 1, sigma_data: 0.5}
method:
  family: exponential_multistep
  steps: 1
  integrand: noise
  variable: rho
  weights: exact
  start: ramp
  final: lower_order
backends: [torch]
"""
    )


def test_formula_text_is_kept_in_one_form() -> None:
    spaced = changed(5, '  schedule: {alpha: " 1   -t ", sigma: "t* 1.0", t: [1,0]}')
    tight = changed(5, "  schedule: {alpha: 1-t, sigma: t*1.0, t: [1.0, 0]}")
    assert spaced == tight
    assert spaced.canonical() == tight.canonical()
    assert spaced.sha256 == tight.sha256
    assert '{kind: expression, alpha: "1 - t", sigma: "t*1.0", t: [1, 0]}' in spaced.canonical()


def test_places_of_keys_fall_back_to_the_nearest_one_above() -> None:
    spec = read_spec_text(GOOD, "my.yaml")
    places = {key: (spec.fault(key, "m").line, spec.fault(key, "m").column) for key in
              ("method.steps", "method.weights.moments.1", "problem.schedule.steps", "claims.order", "references[0]",
               "references[7]", "nowhere")}  # fmt: skip
    assert places == {
        "method.steps": (9, 10), "method.weights.moments.1": (12, 12), "problem.schedule.steps": (5, 13),
        "claims.order": (15, 17), "references[0]": (18, 14), "references[7]": (18, 13), "nowhere": (1, 1),
    }  # fmt: skip
    assert str(spec.fault("method.steps", "m")) == "my.yaml:9:10: method.steps: m"


def test_backends_are_checked_and_kept_in_order() -> None:
    spec = read_spec_text(GOOD)
    assert spec.with_backends(("torch", "torch")).backends == ("torch",)
    with pytest.raises(SpecError, match="did you mean 'torch'"):
        spec.with_backends(("tourch",))


def test_reading_takes_milliseconds() -> None:
    read_spec_text(GOOD)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        read_spec_text(GOOD)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.03


# ------------------------------------------------------------------------------------------------- canonical round trip

_positive = st.one_of(
    st.integers(1, 999).map(str),
    st.tuples(st.integers(1, 10**12), st.integers(0, 14)).map(lambda v: f"{v[0]}e-{v[1] + 10}"),
    st.tuples(st.integers(1, 10**9), st.integers(10**8, 10**20)).map(lambda v: f'"{v[0]}/{v[1]}"'),
)
_name = st.from_regex(r"[a-z][a-z0-9_]{0,30}_x", fullmatch=True)
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
_line = _text.filter(str.isprintable)
_schedule = st.one_of(
    st.sampled_from(["flow", "vp_linear", "{kind: ve}", "{kind: vp_scaled_linear, steps: 50}"]),
    _positive.map(lambda n: f"{{kind: flow, shift: {n}}}"),
    st.lists(st.integers(1, 99), min_size=2, max_size=9).map(
        lambda rows: "{kind: table, alphas_cumprod: [" + ", ".join(f"0.{row:02d}" for row in rows) + "]}"
    ),
    st.sampled_from(["1-t", "cos(pi * t/2)", "exp(-t**2/4)", "sqrt(1 - t)", "1/3", "2.50e-1*t", ".5"]).map(
        lambda text: f'{{alpha: "{text}", sigma: {text}, t: [1, 1e-3]}}'
    ),
)
_quantity = st.sampled_from(["noise", "data", "v", '{x0: "-sigma", eps: alpha}', "{kind: velocity}"])
_grid = st.one_of(
    st.sampled_from(["karras", "{kind: uniform, variable: lambda, final_zero: false}", "{kind: linspace, steps: 5}"]),
    _positive.map(lambda n: f"{{kind: karras, exponent: {n}, t_end: {n}}}"),
)
_weights = st.sampled_from(
    ["exact", "midpoint", '{moments: {1: "phi1/2"}}', '{moments: {0: mu0, 2: "phi3 - 1/6*mu1"}}']
)


def _quoted(text: str) -> str:
    """Double-quoted YAML with every character escaped."""
    return '"' + "".join(f"\\U{ord(c):08x}" for c in text) + '"'


@st.composite
def specs(draw: st.DrawFn) -> str:
    """Texts of good specs."""
    claims = draw(st.dictionaries(st.sampled_from(sorted(CLAIMS)), st.integers(1, 16)))
    references = draw(st.lists(_line, max_size=3, unique=True))
    return "\n".join([
        f"name: {draw(_name)}",
        f"description: {_quoted(draw(_text))}",
        f"problem: {{kind: diffusion, schedule: {draw(_schedule)}, prediction: {draw(_quantity)}}}",
        "method:",
        "  family: exponential_multistep",
        f"  steps: {draw(st.integers(1, 6))}",
        f"  integrand: {draw(_quantity)}",
        f"  variable: {draw(st.sampled_from(['lambda', 'rho', 't', 'angle', 'rho**2 + t', '1/(1+sigma)']))}",
        f"  weights: {draw(_weights)}",
        f"  start: {draw(st.sampled_from(['ramp', 'exact']))}",
        "claims: {" + ", ".join(f"{k}: {v}" for k, v in claims.items()) + "}",
        f"grid: {draw(_grid)}",
        f"references: [{', '.join(map(_quoted, references))}]",
    ])  # fmt: skip


@given(specs())
def test_canonical_text_reads_back_as_the_same_spec(text: str) -> None:
    spec = read_spec_text(text)
    canonical = spec.canonical()
    again = read_spec_text(canonical)
    assert again == spec
    assert again.canonical() == canonical
    assert again.sha256 == spec.sha256
    assert canonical.isascii()
    assert set(canonical) <= set(string.printable) - set("\r\x0b\x0c\t")


@given(specs(), st.integers(1, 6))
def test_different_specs_have_different_text(text: str, steps: int) -> None:
    spec = read_spec_text(text)
    other = read_spec_text(text.replace("  steps: ", f"  steps: {steps} #", 1))
    assert (spec == other) == (spec.canonical() == other.canonical()) == (spec.sha256 == other.sha256)


# ---------------------------------------------------------------------------------------------------------- JSON Schema


def test_schema_covers_every_key_and_kind() -> None:
    document = schema()
    assert json.loads(json.dumps(document)) == document
    assert tuple(sorted(document["properties"])) == tuple(sorted(KEYS))
    assert document["required"] == ["name", "problem", "method"]
    problems = document["properties"]["problem"]["anyOf"]
    assert {form["properties"]["kind"]["const"] for form in problems} == set(lookup.names("derive.problems"))
    for problem in problems:
        schedules = problem["properties"]["schedule"]["anyOf"]
        kinds = {form["properties"]["kind"]["const"] for form in schedules[1:] if "kind" in form["properties"]}
        assert kinds == set(lookup.names("derive.schedules"))
    assert document["properties"]["claims"]["additionalProperties"] is False


def _accepts(rule: dict, node: Node, root: dict) -> bool:
    """A validator for the part of JSON Schema that :func:`schema` uses."""
    if "$ref" in rule:
        return _accepts(root["$defs"]["quantity"], node, root)
    if "anyOf" in rule:
        return any(_accepts(option, node, root) for option in rule["anyOf"])
    if isinstance(node, Mapping):
        known, keys = rule.get("properties", {}), [key.text for key, _ in node.entries]
        return rule.get("type") == "object" and set(rule.get("required", ())) <= set(keys) and all(
            key.text in known and _accepts(known[key.text], inner, root) for key, inner in node.entries
        )  # fmt: skip
    if isinstance(node, Sequence):
        return rule.get("type") == "array" and all(_accepts(rule["items"], item, root) for item in node.items)
    return _accepts_scalar(rule, node)


def _accepts_scalar(rule: dict, node: Scalar) -> bool:
    value = node.value
    if "const" in rule or "enum" in rule:
        return value in [rule.get("const"), *rule.get("enum", [])]
    kinds = {"string": str, "integer": int, "number": (int, Fraction), "boolean": bool}
    if not isinstance(value, kinds.get(rule["type"], ())) or (isinstance(value, bool) and rule["type"] != "boolean"):
        return False
    return isinstance(value, str) or rule.get("minimum", value) <= value <= rule.get("maximum", value)


@given(specs())
def test_schema_accepts_what_the_reader_accepts(text: str) -> None:
    document = schema()
    for version in (text, read_spec_text(text).canonical()):
        root, faults = compose(version, "x")
        assert root is not None
        assert not faults
        assert _accepts(document, root, document)


@pytest.mark.parametrize(
    "line", ["  steps: 7", "  steps: two", "  stepss: 2", "  start: rump\n  steps: 2", "  steps: true"]
)
def test_schema_refuses_wrong_values(line: str) -> None:
    document = schema()
    root, _ = compose(edited(9, line), "x")
    assert root is not None
    assert not _accepts(document, root, document)
