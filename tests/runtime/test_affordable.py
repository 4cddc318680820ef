"""The most grid steps that a number of evaluations pays for, with a price list in place of coefficients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runtime import planning


def row() -> None:
    raise AssertionError("no coefficient is asked for")


ONE_CALL = SimpleNamespace(ROWS=(row,), STEPS=1)
THREE_STEPS = SimpleNamespace(ROWS=(row, row, row), STEPS=3)
TWO_CALLS = SimpleNamespace(ROWS=((row, row),), STEPS=1)
EULER_FIRST = SimpleNamespace(ROWS=(row, (row, row, row)), STEPS=1)


def bought(
    code: Any, nfe: int, monkeypatch: pytest.MonkeyPatch, price: Any, most: int = 10**6
) -> tuple[int, list[int]]:
    """(steps of the grid, grids that were tried)."""
    tried: list[int] = []

    def grid(n: int) -> tuple[float, ...]:
        tried.append(n)
        if n > most:
            raise ValueError(f"steps: got {n}; allowed: up to {most}")
        return tuple(float(i) for i in range(n + 1))

    def cost(module: Any, nodes: tuple[float, ...], history: int, inversion: bool) -> int:
        assert module is code and (history, inversion) == (2, True)
        return price(len(nodes) - 1)

    monkeypatch.setattr(planning, "cost", cost)
    return len(planning._affordable(code, grid, nfe, 2, True)) - 1, tried


def test_one_evaluation_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (ONE_CALL, THREE_STEPS):
        assert bought(code, 7, monkeypatch, lambda n: n) == (7, [7])
        assert bought(code, 1, monkeypatch, lambda n: n) == (1, [1])
        assert bought(code, 7, monkeypatch, lambda n: n + 2) == (5, [7, 6, 5])


def test_several_evaluations_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bought(TWO_CALLS, 7, monkeypatch, lambda n: 2 * n) == (3, [6, 5, 4, 3])
    assert bought(TWO_CALLS, 8, monkeypatch, lambda n: 2 * n - 1)[0] == 4
    assert bought(EULER_FIRST, 10, monkeypatch, lambda n: 3 * n - 2)[0] == 4
    assert bought(TWO_CALLS, 100, monkeypatch, lambda n: 2 * n) == (50, [53, 52, 51, 50])


def test_grids_with_a_largest_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the evaluations would pay for is an error where the grid has fewer steps; what was tried beyond is not."""
    assert bought(TWO_CALLS, 7, monkeypatch, lambda n: 2 * n, most=3) == (3, [6, 5, 4, 3])
    with pytest.raises(ValueError, match="got 3; allowed: up to 2"):
        bought(TWO_CALLS, 7, monkeypatch, lambda n: 2 * n, most=2)
    with pytest.raises(ValueError, match="got 7; allowed: up to 6"):
        bought(ONE_CALL, 7, monkeypatch, lambda n: n, most=6)


def test_too_few_evaluations_for_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="nfe: got 2; allowed: at least 3, the evaluations of a single step"):
        bought(EULER_FIRST, 2, monkeypatch, lambda n: 3 * n)


def test_a_table_has_one_price(monkeypatch: pytest.MonkeyPatch) -> None:
    code = SimpleNamespace(ROWS=(row, (row, row)), STEPS=1, TABLE=(0, 1, 1))
    assert bought(code, 5, monkeypatch, lambda n: 2 * n - 1) == (3, [3])
    assert bought(code, 9, monkeypatch, lambda n: 2 * n - 1) == (3, [3])
    with pytest.raises(ValueError, match="nfe: got 4; this solver's table has 3 entries that take 5"):
        bought(code, 4, monkeypatch, lambda n: 2 * n - 1)


TABLE = SimpleNamespace(
    ROWS=(row,), STEPS=1, TABLE=(0, 0, 0), GRID={"kind": "uniform"}, DOMAIN=(1.0, 0.0), WARP=None, DATA_END="regular", NOISE_END="regular",
    START="ramp",
)  # fmt: skip


def wanted(**changes: Any) -> dict[str, Any]:
    return {"steps": None, "nfe": None, "grid": None} | changes


def test_a_table_has_as_many_steps_as_entries() -> None:
    assert planning._nodes(TABLE, wanted(), 0, False, {}) == (1.0, 2 / 3, 1 / 3, 0.0)
    assert planning._nodes(TABLE, wanted(steps=3), 0, False, {}) == planning._nodes(TABLE, wanted(), 0, False, {})
    assert len(planning._nodes(TABLE, wanted(), 2, False, {})) == 6
    for steps in (2, 4):
        with pytest.raises(ValueError, match=f"^steps: got {steps}; this solver's table has 3 entries"):
            planning._nodes(TABLE, wanted(steps=steps), 0, False, {})
    nodes = [1.0, 0.75, 0.5, 0.25, 0.0]
    with pytest.raises(ValueError, match=r"^nodes: got 5, which are 4 steps; this solver's table has 3 entries"):
        planning._tabulated("tried", TABLE, None, nodes, 0, "sampling")
    with pytest.raises(ValueError, match=r"^nodes: got 5, which are 2 steps; this solver's table has 3 entries"):
        planning._tabulated("tried", TABLE, None, nodes, 2, "sampling")


@pytest.mark.parametrize("rows", [[[1.0, 0.5], 0.25], [[1.0, 0.5], [1.0]], [[1.0, 0.5], [1.0, 0.5, 0.25]]])
def test_grids_of_samples_are_of_one_shape(rows: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"per-sample grids have to be \[B, N\+1\]"):
        planning._tabulated("tried", ONE_CALL_HERE, None, rows, 0, "sampling")


ONE_CALL_HERE = SimpleNamespace(ROWS=(row,), STEPS=1, DOMAIN=(1.0, 0.0))
