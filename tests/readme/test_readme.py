"""The README says what is true: its screen is what the command prints, its table is what the claims say, its code runs.

``python -m pytest tests/readme --update`` rewrites the sections between markers.
"""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from derive.catalogue import entry, markdown
from derive.cli import VERBS, main
from tests.docs.blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
EXAMPLE = ROOT / "examples" / "sd15_dpmpp_2m.yaml"
READER = ROOT / ".ci" / "readme_commands.py"
PUBLISHED = ROOT / "examples" / "published_3m.yaml"


def section(text, name):
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    assert found, f"README.md has no section {name}"
    return found.group(1)


def agree(name, body, update):
    text = README.read_text()
    if update:
        old = section(text, name)
        README.write_text(
            text.replace(f"<!-- {name} -->\n{old}<!-- /{name} -->", f"<!-- {name} -->\n{body}<!-- /{name} -->")
        )
    else:
        assert section(text, name) == body, f"README.md, section {name}: run python -m pytest tests/readme --update"


def fenced(text, language=""):
    return f"```{language}\n{text.rstrip()}\n```\n"


def steady(screen):
    """The screen without figures that differ in the last digits between machines."""
    return re.sub(r"within [\d.e-]+ of the interpreter", "within 1e-13 of the interpreter", screen)


def run_there(spec, folder, monkeypatch, code):
    """Run the command on a copy of the example in an empty folder; returns it as it is typed."""
    (folder / "examples").mkdir()
    shutil.copy(spec, folder / "examples")
    monkeypatch.chdir(folder)
    assert main(["new-solver", f"examples/{spec.name}"]) == code
    return f"$ python -m derive new-solver examples/{spec.name}\n"


def test_spec(update):
    agree("spec", fenced(EXAMPLE.read_text(), "yaml"), update)


def test_screen(update, tmp_path, monkeypatch, capsys):
    command = run_there(EXAMPLE, tmp_path, monkeypatch, 0)
    agree("screen", fenced(command + steady(capsys.readouterr().out), "console"), update)


def test_a_false_claim_is_refused(update, tmp_path, monkeypatch, capsys):
    command = run_there(PUBLISHED, tmp_path, monkeypatch, 2)
    captured = capsys.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err
    assert "-h/6 + h^2/24" in captured.err and not (tmp_path / "generated").exists()
    agree("refused", fenced(command + captured.err, "console"), update)


def test_solver_table(update):
    folders = [f for f in (ROOT / "generated").iterdir() if (f / "claims.json").exists()]
    assert len(folders) >= 18
    agree("solvers", "\n".join(markdown(map(entry, folders))) + "\n", update)


def test_code_of_the_readme_runs(tmp_path):
    """The sample, and the loop that is opened, are the same."""
    [code] = [block.body for block in blocks(README.read_text()) if block.kind == "python"]
    x_T = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    names = {"model": lambda x, t: 0.3 * x + torch.sin(x), "x_T": x_T}
    (tmp_path / "readme.py").write_text(code)
    names = runpy.run_path(str(tmp_path / "readme.py"), init_globals=names)
    torch.testing.assert_close(names["state"].x, names["x0"], rtol=1e-12, atol=1e-12)
    assert (names["x0"] - x_T).abs().max() > 0.1


def test_the_commands_are_the_first_block():
    """CI runs them in an empty environment (.ci/run); the spec that is named is the worked example's."""
    commands = [block.body.splitlines() for block in blocks(README.read_text()) if block.kind == "bash"]
    printed = [subprocess.check_output([sys.executable, READER, str(n)], text=True).strip() for n in (1, 2)]
    assert commands == [printed]
    assert printed[0].endswith(f"python -m derive new-solver examples/{EXAMPLE.name}")
    assert "python -m pytest" in printed[1]


def test_every_verb_is_in_the_table():
    assert set(re.findall(r"^\| `python -m derive ([\w-]+)", README.read_text(), re.MULTILINE)) == set(VERBS)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", README.read_text()))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
