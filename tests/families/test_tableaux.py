"""Published tables as files: read strictly, found by their folder, typed into a spec with the same result."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derive import pipeline
from derive.errors import InternalError, SpecError
from derive.families import tableaux
from derive.spec import read_spec_text
from derive.tableau_text import entry_text

SPEC = """\
name: typed
problem:
  kind: diffusion
  schedule: {{kind: vp_linear}}
  prediction: noise
method:
  family: {family}
  integrand: {integrand}
  variable: {variable}
  {body}
  final: keep
"""
WRONG = """\
name: wrong
order: 2
reference: none
c: [0, 1]
a: [[], [x]]
b: [1/2, 1/2]
colour: blue
"""


def typed(table):
    """A published table as a line of a spec."""

    def row(entries):
        return "[" + ", ".join(f'"{entry_text(e)}"' for e in entries) + "]"

    parts = {"c": row(table.c), "a": "[" + ", ".join(map(row, table.a)) + "]", "b": row(table.b)}
    if table.embedded:
        parts["embedded"] = row(table.embedded)
    return "\n  ".join(f"{key}: {text}" for key, text in parts.items())


def tableau(family, integrand, variable, body):
    spec = read_spec_text(SPEC.format(family=family, integrand=integrand, variable=variable, body=body))
    schedule, prediction, integrands = pipeline.resolve(spec)
    return pipeline.tabulate(spec, pipeline.pose(spec, schedule, prediction, integrands), integrands)


@pytest.mark.parametrize("name", tableaux.names("exponential"))
def test_exponential_tables_can_be_typed(name):
    table = tableaux.load("exponential", name)
    given = tableau("given", "data", "lambda", typed(table))
    assert given.schemes == tableau("exponential_rk", "data", "lambda", f"tableau: {name}").schemes


@pytest.mark.parametrize("name", tableaux.names("classical"))
@pytest.mark.parametrize(("integrand", "variable"), [("noise", "rho"), ("data", "lambda"), ("noise", "t")])
def test_classical_tables_can_be_typed(name, integrand, variable):
    table = tableaux.load("classical", name)
    named = tableau("runge_kutta", integrand, variable, f"tableau: {name}")
    plain = tuple(replace(scheme, digits=None) for scheme in named.schemes)  # what is typed is taken as exact
    assert tableau("runge_kutta", integrand, variable, typed(table)).schemes == plain
    if variable == "rho":
        assert tableau("given", integrand, variable, typed(table)).schemes == plain
    assert named.schemes[-1].digits == table.digits
    assert (named.schemes[-1].embedded is not None) == bool(table.embedded)


def test_a_wrong_file_is_our_own_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(tableaux, "FOLDER", tmp_path)
    (tmp_path / "classical").mkdir()
    assert tableaux.names("classical") == ()
    for name, text, words in (
        ("wrong", WRONG, ("wrong.yaml:5:10: a[1][0]", "unknown name 'x'", "colour: unknown key")),
        ("empty", "", ("empty.yaml",)),
        ("list", "[1]", ("not a mapping",)),
    ):
        (tmp_path / "classical" / f"{name}.yaml").write_text(text, "utf-8")
        with pytest.raises(InternalError) as refused:
            tableaux.load("classical", name)
        assert all(word in str(refused.value) for word in words)
    assert tableaux.names("classical") == ("empty", "list", "wrong")


@pytest.mark.parametrize(
    ("family", "body", "place", "words"),
    [
        ("given", "c: [0, 1]\n  a: [[], [phi1(z)]]\n  b: [phi1(z), phi2(z)]", (12, 6, "method.b"), "residual phi2(z)"),
        ("given", "c: [0, 3/2]\n  a: [[], [phi1(z)]]\n  b: [phi1(z), 0]", (10, 10, "method.c[1]"), "got 3/2"),
        ("given", "c: [0, 1]\n  a: [[], [phi1(z), 1]]\n  b: [phi1(z), 0]", (11, 21, "method.a[1][1]"), "explicit"),
        ("runge_kutta", "tableau: rk4\n  b: [1]", (11, 6, "method.b"), "beside tableau: rk4"),
        ("exponential_rk", "nodes: [0]", (10, 10, "method.nodes[0]"), "above 0"),
        ("exponential_rk", "tableau: krogstad\n  weights: bh1", (11, 12, "method.weights"), "rows are given"),
        ("exponential_rk", "tableau: krogsted", (10, 12, "method.tableau"), "did you mean 'krogstad'?"),
        (
            "runge_kutta",
            "tableau: krogstad",
            (10, 12, "method.tableau"),
            "allowed bogacki_shampine32, dormand_prince54",
        ),
    ],
)
def test_faults_of_a_spec_have_their_place(family, body, place, words):
    with pytest.raises(SpecError) as refused:
        tableau(family, "data", "lambda", body)
    [fault] = refused.value.faults
    assert (fault.line, fault.column, fault.key) == place
    assert words in fault.message


@pytest.mark.parametrize("kind", ["classical", "exponential"])
def test_orders_belong_to_rows_that_are_there(kind):
    for name in tableaux.names(kind):
        table = tableaux.load(kind, name)
        for row, order in ((table.embedded, table.embedded_order), (table.dense, table.dense_order)):
            assert 1 <= order <= table.order if row else order == 0


def test_a_file_is_bounded(tmp_path, monkeypatch):
    """What is just allowed, and each part with one more."""
    monkeypatch.setattr(tableaux, "FOLDER", tmp_path)
    (tmp_path / "classical").mkdir()
    most = {"name": "n" * 80, "reference": "r" * 300, "note": "t" * 1000, "order": 16, "digits": 150}
    more = {"name": "n" * 81, "reference": "r" * 301, "note": "t" * 1001, "order": 17, "digits": 151}

    def load(name, parts):
        text = "".join(f"{key}: {value}\n" for key, value in parts.items())
        (tmp_path / "classical" / f"{name}.yaml").write_text(f"{text}c: [0]\na: [[]]\nb: [1]\n", "utf-8")
        return tableaux.load("classical", name)

    for digits in (40, 150):
        table = load(f"allowed_{digits}", most | {"digits": digits})
        assert (table.name, table.order, table.digits) == ("n" * 80, 16, digits)
        assert (table.embedded, table.embedded_order, table.dense, table.dense_order) == ((), 0, (), 0)
    for key, value in (*more.items(), ("order", 0), ("digits", 39)):
        with pytest.raises(InternalError, match=key):
            load(f"{key}_{value}"[:20], most | {key: value})
