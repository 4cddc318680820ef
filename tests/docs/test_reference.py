"""Pages of the reference are written from the program: the verbs with their options, and the keys of a spec.

``python -m pytest tests/docs --update`` writes them.
"""

from __future__ import annotations

import argparse
import inspect
import re
from pathlib import Path

import pytest

from derive import cli, lookup
from derive.exact import number_text
from derive.parameters import REQUIRED, Number, Parameters
from derive.predictions import COMMON
from derive.schema import describe
from derive.spec import CLAIMS, KEYS
from runtime.grids import GRIDS

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference"
COMMANDS = """# The command line

`python -m derive VERB ..`, or `phiforge VERB ..` where the package is installed. Every verb takes `--json` (one object on
stdout and nothing else), `--quiet` and `--debug`. Exit codes: 0 done; 1 differs or would overwrite; 2 spec or usage; 3 file
system; 4 our bug.
"""
SPEC = """# The spec

One YAML file. It is read strictly: an unknown key, a wrong type or a number out of range is a fault with its line and column, and
all faults are said at once. Numbers are exact: `0.1` is 1/10, and `"1/3"` is allowed. `python -m derive list --schema` prints
the same as JSON Schema, for editors.

| key | |
|---|---|
| `name` | of the package `generated/<name>` |
| `description` | a line of text |
| `problem` | `kind: diffusion`, a `schedule`, and a `prediction`: what the network returns |
| `method` | a `family` and its parameters |
| `claims` | what has to be provable, below |
| `grid` | `kind`, `steps` and options of the default grid |
| `backends` | languages of the step: `torch` (always there), `triton`, `cuda` |
| `references` | identifiers of papers, for `cite` |

A schedule, a prediction and a grid are a word (`schedule: vp_linear`) or a mapping with parameters (`{kind: flow, shift: 3}`).
"""


def cell(text: object) -> str:
    """Text of a table's cell: outside of code every sign is what it is, and ``|`` ends no cell."""
    parts = re.split(r"(`[^`]+`)", re.sub(r":\w+:`", "`", str(text)).replace("``", "`"))
    return "".join(_code(p) if p.startswith("`") else re.sub(r"([|*_{])", r"\\\1", _html(p)) for p in parts)


def _code(part: str) -> str:
    return f"<code>{_html(part[1:-1]).replace('|', '&#124;')}</code>" if "|" in part else part


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def rows(fields: Parameters) -> list[str]:
    lines = ["| key | | allowed | default |", "|---|---|---|---|"]
    for name, field in fields.items():
        plain = {REQUIRED: "required", None: ""} if field.default is None or field.default is REQUIRED else {}
        default = plain.get(field.default, "") if plain else field.default
        default = number_text(default) if isinstance(field, Number) and not plain else default
        lines.append(f"| `{name}` | {cell(field.doc)} | {cell(describe(field))} | {cell(default)} |")
    return lines


def kinds(title: str, package: str, shared: Parameters) -> list[str]:
    lines = [f"## {title}", ""]
    if shared:
        lines += ["All of them have:", "", *rows(shared), ""]
    for name in lookup.names(package):
        module = lookup.load(package, name)
        first = (module.__doc__ or "").partition("\n")[0]
        own = {key: field for key, field in module.PARAMETERS.items() if key not in shared}
        lines += [f"### {name}", "", cell(first), "", *(rows(own) if own else []), "", cell(module.REFERENCE), ""]
    return lines


def grids() -> list[str]:
    lines = ["## Grids", "", "| kind | | options |", "|---|---|---|"]
    for name, made in sorted(GRIDS.items()):
        options = [p for p in inspect.signature(made).parameters.values() if p.kind is p.KEYWORD_ONLY]
        first = cell((made.__doc__ or "").partition("\n")[0])
        lines.append(f"| `{name}` | {first} | {', '.join(f'`{p.name}={p.default!r}`' for p in options)} |")
    return lines


def spec_page() -> str:
    lines = [SPEC, "## Claims", "", *rows(CLAIMS), ""]
    lines += kinds("Schedules", "derive.schedules", {}) + kinds("Predictions", "derive.predictions", COMMON)
    lines += kinds("Methods", "derive.families", {}) + grids()
    return "\n".join(lines) + "\n"


def called(action: argparse.Action) -> str:
    if not action.option_strings:
        return cell(f"`{action.metavar or action.dest}`")
    value = f" {action.metavar or action.dest.upper()}" if action.nargs != 0 else ""
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


def command_page() -> str:
    lines = [COMMANDS]
    for name, verb in cli.VERBS.items():
        parser = argparse.ArgumentParser(add_help=False)
        verb.options(parser)
        lines += [f"## {name}", "", verb.help[0].upper() + verb.help[1:] + ".", ""]
        arguments = [f"| {called(a)} | {cell(a.help or '')} |" for a in parser._actions]
        lines += ["| argument | |", "|---|---|", *arguments, ""] if arguments else []
        lines += ["Examples:", "", *(f"* `python -m derive {example}`" for example in verb.examples), ""]
    return "\n".join(lines)


@pytest.mark.parametrize(("name", "page"), [("spec", spec_page), ("command_line", command_page)])
def test_the_page_is_what_the_program_says(name, page, update):
    file = PAGES / f"{name}.md"
    if update:
        file.write_text(page(), "utf-8")
        return
    assert file.read_text("utf-8") == page(), "run python -m pytest tests/docs --update"


def test_every_key_of_a_spec_is_on_the_page():
    text = (PAGES / "spec.md").read_text("utf-8")
    assert all(f"| `{key}` |" in text for key in KEYS)


def test_every_input_of_a_network_is_told():
    text = (PAGES.parent / "howto" / "network.md").read_text("utf-8")
    assert all(f"`{name}`" in text for name in COMMON["input"].options if name != "default")
