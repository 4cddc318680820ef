"""The verb: exit codes, one JSON object, a page that needs nothing else, and faults in a line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from derive import cli

TABLES = Path(__file__).parent / "tables"
GOOD, BAD = TABLES / "good/krogstad.yaml", TABLES / "bad/krogstad_alt.yaml"


def test_exit_codes(capsys):
    assert cli.main(["audit", str(GOOD)]) == 0
    assert "as claimed" in capsys.readouterr().out
    assert cli.main(["audit", str(BAD)]) == 1
    out = capsys.readouterr().out
    assert "NOT AS CLAIMED" in out and "a[2][1]: got 4*phi2(z/2); right: phi2(z/2)" in out
    assert max(map(len, out.splitlines())) < 200


def test_json(capsys):
    assert cli.main(["audit", str(BAD), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is False and said["holds"] is False and said["order"] == 2 and said["claimed"] == 4
    assert {
        "where": "a[2][1]",
        "got": "4*phi2(z/2)",
        "right": "phi2(z/2)",
        "why": "with it alone the claim holds",
    } in said["wrong"]


def test_the_order_may_be_claimed_by_the_user(capsys):
    assert cli.main(["audit", str(GOOD), "--order", "5"]) == 1
    assert "order claimed 5, found 4" in capsys.readouterr().out


def test_page(tmp_path, capsys):
    path = tmp_path / "audit.html"
    assert cli.main(["audit", str(BAD), "--html", str(path)]) == 1
    text = path.read_text()
    assert "not as claimed" in text and "a[2][1]" in text and "4*phi2(z/2)" in text
    assert not re.search(r"<script|src=|href=\"http|@import", text)
    assert f"Again: <code>python -m derive audit {BAD}</code>" in text
    assert '<p class="missed">order claimed 4, found 2: order 3 fails at N[N[N]]: 5/12 instead of 1/6</p>' in text
    assert 'data-of="holds">no</td>' in text and 'data-of="holds">yes</td>' not in text
    assert f"written: {path}" in capsys.readouterr().out


def test_text_of_a_target_is_escaped(tmp_path):
    table, page = tmp_path / "x.yaml", tmp_path / "x.html"
    table.write_text('name: "<script>alert(1)</script>"\na: [[]]\nb: [1]\n')
    assert cli.main(["audit", str(table), "--html", str(page)]) == 0
    assert "<script>" not in page.read_text() and "&lt;script&gt;" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 2, "allowed: a file .yaml or .json, diffusers:CLASS, or MODULE:NAME"),
        ([str(GOOD), "--config", "x"], 2, "allowed: KEY=VALUE"),
        ([str(GOOD), "--config", "x=1"], 2, "a tableau has no configuration"),
        ([str(GOOD), "--order", "0"], 2, "allowed: 1 to 16"),
        ([str(GOOD), "--html", "page.txt"], 2, "ends in .html"),
        ([str(GOOD), "--html", "no/such/folder/page.html"], 3, "no such folder"),
        (["no_such_file.yaml"], 3, "no_such_file.yaml"),
        (["no_such_module:x"], 2, "cannot be imported"),
    ],
)
def test_faults(capsys, arguments, code, message):
    assert cli.main(["audit", *arguments]) == code
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err
