"""The README says what is true: its screen is what the command prints, its table is what the claims say, its code runs.

``python -m pytest tests/readme --update`` rewrites the sections between markers.
"""

import re
import shutil
from pathlib import Path

import pytest

from derive.catalogue import entry, markdown
from derive.cli import main

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
EXAMPLE = ROOT / "examples" / "sd15_dpmpp_2m.yaml"
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
    agree("screen", fenced(command + steady(capsys.readouterr().out)), update)


def test_a_false_claim_is_refused(update, tmp_path, monkeypatch, capsys):
    command = run_there(PUBLISHED, tmp_path, monkeypatch, 2)
    captured = capsys.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err
    assert "-h/6 + h^2/24" in captured.err and not (tmp_path / "generated").exists()
    agree("refused", fenced(command + captured.err), update)


def test_solver_table(update):
    folders = [f for f in (ROOT / "generated").iterdir() if (f / "claims.json").exists()]
    assert len(folders) >= 18
    agree("solvers", "\n".join(markdown(map(entry, folders))) + "\n", update)


def test_code_of_the_readme_runs():
    import torch

    code = re.search(r"```python\n(from generated.*?)```", README.read_text(), re.DOTALL).group(1)
    lines = [line.split("#")[0].rstrip() for line in code.splitlines()]
    assert "from generated import sd15_dpmpp_2m" in lines[0]
    from generated import sd15_dpmpp_2m

    solver = sd15_dpmpp_2m.solver
    x_T = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def model(x, t):
        return 0.3 * x + torch.sin(x)

    whole = solver.sample(model, x_T, steps=20)
    plan = solver.plan(steps=20, grid="karras")
    state = solver.init(plan, x_T)
    for i in range(plan.steps):
        state = solver.step(plan, i, state, model(state.x, plan.time(i)))
    torch.testing.assert_close(state.x, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", README.read_text()))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
