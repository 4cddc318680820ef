"""The page about counting: its example is executed, and prints what stands behind its lines."""

import re
import runpy
from pathlib import Path

import pytest

from tests.backends.test_traffic import ABOVE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "traffic.md"


def test_the_example_prints_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "example.py").write_text(example, "utf-8")
    runpy.run_path(str(tmp_path / "example.py"))
    said = re.findall(r"^print\(.*\)  # (.*)$", example, re.MULTILINE)
    assert said and capsys.readouterr().out.splitlines() == said


def test_the_figures_in_the_text_are_the_measured_ones() -> None:
    text = PAGE.read_text("utf-8")
    corrected = [ratio for name, ratio in ABOVE.items() if name.startswith("unipc")]
    assert f"{float(min(corrected)):.1f} to {float(max(corrected)):.1f} times for UniPC of order 3" in text


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)\)", PAGE.read_text("utf-8"))
    assert links and all((PAGE.parent / link).exists() for link in links)
