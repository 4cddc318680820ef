"""The page about audits shows what the command prints. ``python -m pytest tests/docs --update`` rewrites it."""

from __future__ import annotations

import re
from pathlib import Path

from derive import cli

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "audit.md"
SCREEN = re.compile(r"(?<=<!-- audit -->\n).*?(?=<!-- /audit -->)", re.DOTALL)


def test_the_screen_is_what_the_command_prints(monkeypatch, capsys, update):
    monkeypatch.chdir(ROOT)
    target = "tests/audit/tables/bad/krogstad_alt.yaml"
    assert cli.main(["audit", target]) == 1
    said = f"```console\n$ python -m derive audit {target}\n{capsys.readouterr().out.rstrip()}\n```\n"
    text = PAGE.read_text()
    if update:
        PAGE.write_text(SCREEN.sub(lambda _: said, text))
    else:
        assert SCREEN.search(text)[0] == said, "run python -m pytest tests/docs --update"


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link
