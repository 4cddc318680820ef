"""Tableaux of other projects, right and wrong: every right one is as claimed, every wrong one is found, with its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from derive.audit.table_file import read_table
from derive.audit.tables import audit_table
from derive.errors import SpecError
from derive.symbolic.forms import ONE, constant

HERE = Path(__file__).parent / "tables"
GOOD = sorted((HERE / "good").glob("*.yaml"))
SHIPPED = sorted((Path(__file__).parents[2] / "derive/families/tableaux").rglob("*.yaml"))

BAD = {
    "cash_karp54_misprint": (1, "a[5][0]", "1631/55296"),
    "dormand_prince54_embedded_sign": (5, "embedded[4]", "-92097/339200"),
    "dormand_prince54_one_sign": (1, "a[4][3]", "-212/729"),
    "dormand_prince54_two_signs": (1, "a[5][0]", "9017/3168"),
    "dpm_solver3_r2": (2, "", ""),
    "dpmpp_3s_c3": (2, "", ""),
    "etdrk4_doubled": (2, "a[2][1]", "phi1(z/2)/2"),
    "etdrk4_no_first_weight": (0, "b[0]", "phi1(z) - 3*phi2(z) + 4*phi3(z)"),
    "exprk5s8_unscaled": (2, "", ""),
    "fehlberg45_called_5": (4, "", ""),
    "friedli4": (2, "a[2][1]", "phi2(z/2)/2"),
    "gauss3_cut_digits": (2, "", ""),
    "gauss3_row_sums": (1, "a[2][1]", "2/9 + sqrt(15)/15"),
    "gauss4_alternating": (1, "sum of a[0]", "1/2 - sqrt(15)/10"),
    "gauss4_ascending": (1, "sum of a[3]", "1/2 + sqrt(15)/10"),
    "gauss4_cut_digits": (1, "sum of a[1]", "33/100"),
    "gauss4_row_sums": (1, "sum of a[1]", "1/2 + sqrt(15)/10"),
    "gauss5": (2, "", ""),
    "gauss5_ascending": (2, "", ""),
    "hochbruck_ostermann5_scaled": (2, "a[2][1]", "phi2(z/2)"),
    "krogstad_alt": (2, "a[2][1]", "phi2(z/2)"),
    "krogstad_stiff_4": (4, "", ""),
    "lawson_plain_phi": (1, "", ""),
    "minchev4": (2, "", ""),
    "munthe_kaas4_sign": (2, "", ""),
    "radau_ia3_rows": (1, "sum of a[2]", "3/5 + sqrt(6)/10"),
    "radau_ia3_weights_exchanged": (1, "b[1], b[2] exchanged: b[1]", "4/9 + sqrt(6)/36"),
    "res_16s_parenthesis": (1, "", ""),
    "rk4_weights": (1, "b[2]", "1/3"),
    "scalar_trap": (2, "", ""),
    "strehmel_weiner_alt": (2, "a[2][1]", "phi2(z/2)/2"),
    "sunstar3": (2, "a[2][1]", "4*phi2(2*z/3)/3"),
    "three_stages_gamma": (2, "", ""),
}
"""Order found; where a coefficient is wrong, and the right one."""


def audited(path: Path):
    return audit_table(read_table(path), path.name)


@pytest.mark.parametrize("path", [*GOOD, *SHIPPED], ids=lambda p: p.stem)
def test_a_right_table_is_as_claimed(path):
    found = audited(path)
    assert found.holds and not found.wrong, found.lines()
    assert found.claims[0].claimed == found.data["order"]


def test_every_wrong_table_is_expected():
    assert {path.stem for path in (HERE / "bad").glob("*.yaml")} == set(BAD)


LONG = {"res_16s_parenthesis"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in BAD])
def test_a_wrong_table_is_found(name):
    order, where, right = BAD[name]
    found = audited(HERE / "bad" / f"{name}.yaml")
    assert not found.holds and found.data["order"] == order
    assert not where or right in [w.right for w in found.wrong if w.where == where], found.lines()


def test_a_pair_with_its_rows_exchanged_says_so():
    assert "the embedded row has order 5" in audited(HERE / "bad/fehlberg45_called_5.yaml").notes[0]


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_no_table_survives_a_changed_weight(path):
    """The first weight that is not 0, times 1001/1000."""
    given = read_table(path)
    place = next(j for j, form in enumerate(given.b) if form)
    changed = tuple(form * (ONE * 1001 / 1000) if j == place else form for j, form in enumerate(given.b))
    assert not audit_table(replace(given, b=changed), "changed").holds


def test_decimals_are_exact_unless_the_file_says_digits(tmp_path):
    text = "order: 3\na: [[], [0.3333333333], [0, 0.6666666667]]\nb: [0.25, 0, 0.75]\n"
    path = tmp_path / "heun3.yaml"
    path.write_text(text)
    assert audited(path).data["order"] == 1
    path.write_text(text + "digits: 10\n")
    assert audited(path).holds


@pytest.mark.parametrize(("name", "order", "allowed"), [("krogstad", 7, 6), ("gauss3", 11, 10)])
def test_a_claim_that_cannot_be_tried_is_refused(name, order, allowed):
    given = replace(read_table(HERE / f"good/{name}.yaml"), order=order)
    with pytest.raises(SpecError, match=f"got {order}; allowed up to {allowed}"):
        audit_table(given, name)


def test_json_is_read_as_well(tmp_path):
    path = tmp_path / "table.json"
    path.write_text('{"order": 2, "c": [0, "1/2"], "a": [[], ["1/2"]], "b": [0, 1]}')
    assert audited(path).holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [[], [1]]\n", "b: missing"),
        ("a: [[], [1]]\nb: [1]\n", "got 2 rows for 1 weights"),
        ("a: [[], [1]]\nb: [1/2, 1/2]\nc: [0]\n", "got 1 abscissae"),
        ("a: [[], [1]]\nb: [1/2, __import__('os')]\n", "b[1]"),
        ("a: [[], [1]]\nb: [1/2, 1/2]\nordr: 2\n", "did you mean 'order'"),
        ("- 1\n", "no mapping"),
    ],
)
def test_a_file_that_is_no_table_says_why(tmp_path, text, message):
    path = tmp_path / "table.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_table(path)
    assert message in str(caught.value)


def test_a_wrong_number_is_shown_as_it_was_written():
    given = read_table(HERE / "good/cash_karp54.yaml")
    found = audit_table(replace(given, b=(*given.b[:-1], constant(ONE / 3))), "changed")
    assert any(w.where == "b[5]" and (w.got, w.right) == ("1/3", "512/1771") for w in found.wrong)
