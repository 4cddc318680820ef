"""docs/import_config.md is executed: its configuration gives its spec, and its name map is what the command prints."""

import re
from pathlib import Path

from derive.cli import main
from derive.imports.classes import DEFAULTS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "import_config.md").read_text(encoding="utf-8")


def block(language):
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert len(found) == 1
    return found[0]


def test_the_commands_run_and_give_the_spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("scheduler_config.json").write_text(block("json"), encoding="utf-8")
    for command in block("bash").splitlines():
        assert main(command.removeprefix("python -m derive ").split()) == 0
    assert Path("spec.yaml").read_text(encoding="utf-8") == block("yaml")
    assert Path("generated/dpm_multistep_2/claims.json").is_file()


def test_the_name_map_is_what_the_command_prints(capsys):
    assert main(["list", "--aliases"]) == 0
    assert capsys.readouterr().out == block("text")


def test_every_class_that_is_imported_is_named():
    assert all(f"`{kind}`" in PAGE for kind in DEFAULTS)
