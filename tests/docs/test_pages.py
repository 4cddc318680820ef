"""The pages about families are executed: every spec in them is derived, and the proof under it is what `explain` prints.

``python -m pytest tests/docs --update`` rewrites the proofs.
"""

import re
from pathlib import Path

import pytest

from derive import lookup, pipeline
from derive.spec import read_spec_text

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "families").glob("*.md"))
EXAMPLE = re.compile(r"```yaml\n(?P<spec>.*?)```\n\n<!-- proof -->\n(?P<proof>.*?)<!-- /proof -->", re.DOTALL)


def shown(spec: str) -> str:
    text = pipeline.explain(pipeline.derive(read_spec_text(spec, "spec.yaml")), "prove")
    return f"```console\n$ python -m derive explain spec.yaml --stop prove\n{text}\n```\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_example_is_what_the_command_prints(page, update):
    text = page.read_text()
    examples = list(EXAMPLE.finditer(text))
    assert examples and len(examples) == text.count("```yaml"), f"{page.name}: a spec without its proof"
    if update:
        page.write_text(
            EXAMPLE.sub(lambda m: f"```yaml\n{m['spec']}```\n\n<!-- proof -->\n{shown(m['spec'])}<!-- /proof -->", text)
        )
        return
    for example in examples:
        assert example["proof"] == shown(example["spec"]), f"{page.name}: run python -m pytest tests/docs --update"


def test_every_family_has_its_page():
    assert {page.stem for page in PAGES} == set(lookup.names("derive.families"))


@pytest.mark.parametrize(
    "page",
    [*PAGES, *(ROOT / "docs" / f"{name}.md" for name in ("adaptive", "backends", "gradients", "guidance"))],
    ids=lambda p: p.stem,
)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link
