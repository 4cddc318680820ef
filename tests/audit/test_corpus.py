"""The page's list of wrong targets: every one is there, has a test, and no table or sampler is left out."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from derive.audit.adapters import adapted
from derive.auditing import value_of
from tests.audit import foreign, foreign_defects, foreign_hybrids, foreign_integrals
from tests.audit.test_hybrids import BAD, MORE_BAD

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs/audit.md").read_text().partition("<!-- corpus -->")[2].partition("<!-- /corpus -->")[0]
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.strip().splitlines()[2:]]
TARGETS = {target: row[2] for row in ROWS for target in re.findall(r"`([^`]+)`", row[3])}
RIGHT = {
    "sample_3m_exact", "sample_2m_bh1", "sample_2m_swapped", "sample_ab3", "sample_ab3_floats", "sample_pec_3m",
    "sample_heun", "sample_rk4", "sample_3m_branch",
}  # fmt: skip
SAID_BESIDE = {"sample_2m_constant", "sample_unfinished_2m"}


def test_every_table_and_every_sampler_is_in_the_list():
    tables = {path.stem for path in (HERE / "tables/bad").glob("*.yaml")}
    named = {target.split()[0].rpartition(":")[2] for target in TARGETS}
    assert tables <= named
    for module in (foreign, foreign_defects, foreign_hybrids, foreign_integrals):
        samplers = {name for name in vars(module) if name.startswith("sample_")}
        assert samplers - RIGHT - SAID_BESIDE <= named


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_of_the_list_is_there(target):
    module, _, name = target.split()[0].rpartition(":")
    if module:
        assert callable(getattr(importlib.import_module(f"tests.audit.{module}"), name))
    else:
        assert (HERE / f"tables/bad/{name}.yaml").is_file()


def test_the_corpus_is_large_enough():
    shipped = (HERE.parents[1] / "derive/families/tableaux").rglob("*.yaml")
    assert len(list((HERE / "tables/good").glob("*.yaml"))) + len(list(shipped)) >= 30
    assert len(TARGETS) >= 60


ORDERS = {target: said for target, said in TARGETS.items() if ":" in target and re.match(r"[-\d], \S", said)}
HYBRID = "foreign_hybrids:sample_hybrid"


def told(target):
    """(configuration, claimed, found) of a row."""
    words = (word.partition("=") for word in target.split()[1:] if word != "--config")
    claimed, order = re.match(r"([-\d]), (\d|does not run)", ORDERS[target]).groups()
    orders = (None if text in ("-", "does not run") else int(text) for text in (claimed, order))
    return {key: value_of(value) for key, _, value in words}, *orders


@pytest.mark.slow
@pytest.mark.parametrize("target", [target for target in ORDERS if not target.startswith(HYBRID)])
def test_a_row_is_what_the_audit_finds(target):
    config, claimed, order = told(target)
    found = adapted(f"tests.audit.{target.split()[0]}", config, None)
    assert (found.data["claimed"], found.data["order"]) == (claimed, order)


def test_the_rows_of_hybrids_are_those_of_their_tests():
    tested = {
        (config["name"], config.get("kept", 4)): (config.get("order", 4), order)
        for name, config, order, _ in (*BAD, *MORE_BAD)
        if name == "hybrid"
    }
    tested["lawson45_4h4s", 4] = (4, None)
    rows = [told(target) for target in ORDERS if target.startswith(HYBRID)]
    assert {(config["name"], config.get("kept", 4)): orders for config, *orders in rows} == {
        key: list(orders) for key, orders in tested.items()
    }
