"""Configurations whose specs are tables for one number of steps: what they refuse, and what they say."""

import json

import pytest

from derive.cli import main
from derive.families.decisions import PARAMETERS
from derive.imports.methods import LONGEST


@pytest.mark.parametrize(
    ("options", "steps", "said"),
    [
        ({}, "3", "skip_prk_steps: got False; allowed: true; false for at least 4 steps"),
        ({}, "40", "skip_prk_steps: got False; allowed: true; false for --steps with an even stride, not 25"),
        ({"skip_prk_steps": True}, "1", "set_alpha_to_one: got False; allowed: true, or steps_offset from 1"),
        ({"skip_prk_steps": True}, "66", "--steps: got 66; allowed: at most 64 for PNDMScheduler"),
    ],
)
def test_numbers_of_steps_that_pndm_has_not(options, steps, said, tmp_path, capsys):
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": "PNDMScheduler", **options}), encoding="utf-8")
    code = main(["import-config", str(path), "--steps", steps])
    assert code == 2 and said in capsys.readouterr().err


def test_the_longest_table_is_that_of_its_family():
    assert PARAMETERS["table"].longest == LONGEST
