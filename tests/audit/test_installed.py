"""Whole packages: a line a target, each with the command that says it again; what is left out is named."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from derive import cli
from derive.audit import installed
from derive.audit.installed import PACKAGES, Package

ENTRIES = (("sample_heun", {}), ("sample_plms", {"order": 2}), ("sample_nothing", {}))
FOREIGN = Package("numpy", "tests.audit.foreign", "foreign", ENTRIES, "sample_")
PAGE = Path(__file__).parents[2] / "docs/audit/installed.md"


@pytest.fixture
def foreign(monkeypatch):
    monkeypatch.setitem(PACKAGES, "foreign", FOREIGN)


@pytest.fixture(scope="module")
def audited():
    return list(installed.rows(FOREIGN))


def test_a_package_is_a_line_a_target(foreign, audited, monkeypatch, capsys):
    monkeypatch.setattr(installed, "rows", lambda chosen, said: iter(audited))
    assert cli.main(["audit", "--all", "foreign"]) == 1
    screen = capsys.readouterr().out.splitlines()
    assert screen[1].split() == ["target", "verdict", "claimed", "found", "because"]
    assert re.match(r"tests.audit.foreign:sample_plms --config order=2 +not as claimed +2 +1 +moment 1 is", screen[3])
    assert cli.main(["audit", "--all", "foreign", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    heun, plms, nothing = said["audits"]
    assert said["holds"] is False and heun["holds"] and heun["order"] == 2
    assert plms["order"] == 1 and plms["command"].endswith("audit tests.audit.foreign:sample_plms --config order=2")
    assert "there is no 'sample_nothing'" in nothing["refused"]
    assert cli.main(plms["command"].split()[3:]) == 1


def test_the_table_has_the_command_and_names_what_is_left_out(foreign, audited):
    table = installed.markdown(installed.package("foreign"), audited)
    assert table[4].startswith("| `tests.audit.foreign:sample_heun` | 2 | 2 |")
    assert table[5].startswith("| `tests.audit.foreign:sample_plms --config order=2` | 2 | **1** |")
    assert "`sample_ab3`" in table[-2] and "`sample_heun`" not in table[-2]
    assert len({line.count("|") for line in table[2:7]}) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--all", "nothing"], "allowed: diffusers, k-diffusion"),
        (["--all", "diffusers", "--order", "3"], "allowed: alone"),
        ([], "allowed: a TARGET, or --all PACKAGE"),
    ],
)
def test_faults(capsys, arguments, message):
    assert cli.main(["audit", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", PACKAGES)
def test_the_published_page_has_every_entry(name):
    chosen = PACKAGES[name]
    text = PAGE.read_text()
    commands = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    for target, config in chosen.entries:
        row = installed.Row(f"{chosen.module}:{target}", config, None)
        assert row.arguments in commands


@pytest.mark.slow
@pytest.mark.skipif(find_spec("diffusers") is None, reason="diffusers is not installed")
@pytest.mark.parametrize("place", [3, 6, 7, 20])
def test_a_published_row_is_what_its_command_finds(place, capsys):
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `diffusers:")]
    command, claimed, found = (cell.strip("| `*") for cell in rows[place][:3])
    assert cli.main(["audit", *command.split(), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (str(said["claimed"]), str(said["order"])) == (claimed, found.replace("does not run", "None"))
