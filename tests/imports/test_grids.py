"""The grids of pipelines against numbers worked out by hand (T = 1000, and a flow with shift 3)."""

import pytest

from generated import sd3_dpmpp_2m, sd15_dpmpp_2m
from runtime.fed import fed
from runtime.grids import GRIDS
from runtime.real import real
from runtime.rebind import rebound

SD, FLOW = sd15_dpmpp_2m.solver.coefficients, sd3_dpmpp_2m.solver.coefficients


@pytest.mark.parametrize(
    ("options", "nodes"),
    [
        ({}, (999, 799, 599, 400, 200, -1)),
        ({"points": "all"}, (999, 749, 500, 250, 0, -1)),
        ({"spacing": "leading", "steps_offset": 1}, (831, 665, 499, 333, 167, -1)),
        ({"spacing": "leading", "points": "all", "final_zero": False, "steps_offset": 1}, (801, 601, 401, 201, 1, 0)),
        ({"spacing": "trailing"}, (999, 799, 599, 399, 199, -1)),
        ({"used": 501}, (500, 400, 300, 200, 100, -1)),
    ],
)
def test_spaced(options, nodes):
    assert GRIDS["spaced"](SD, 5, **options) == nodes


def test_clocked_warps_once():
    shifted = [3 * u / (1 + 2 * u) for u in (1.0, 0.75, 0.5, 0.25)]
    assert GRIDS["clocked"](FLOW, 4, points="inner") == pytest.approx((*shifted, 0.0), rel=1e-15)
    assert GRIDS["clocked"](FLOW, 2, u_end=0.5, t_start=0.999) == pytest.approx((0.999, 0.75, 0.0), rel=1e-15)


def test_places_between_grid_points_have_their_own_input():
    code = rebound(SD, lambda number: number, {"INPUT": "level_index_rounded"})
    code.INNER_INPUT = "level_index"
    place = fed(rebound(SD, lambda number: number, {"INPUT": "level_index"}), real(100.75))
    assert fed(code, real(100.75)) == 101.0 and 100.7 < place < 100.8
    assert fed(code, real(100.75), inner=True) == place


@pytest.mark.parametrize(("kind", "share"), [("level_index", 0.5), ("sigma_index", None)])
def test_places_between_rows(kind, share):
    """Halfway in log sigma/alpha is halfway in the index that is looked up there; whole ones are cut or rounded."""
    first, last = (float(SD.rho(real(t))) for t in (100, 101))
    middle = (first * last) ** 0.5 if share else (first + last) / 2
    t = GRIDS["exponential"](SD, 1, variable="rho", sigma_max=middle, t_end=0.0)[0]
    code = rebound(SD, lambda number: number, {"INPUT": kind})
    assert fed(code, real(t)) == pytest.approx(100.5, abs=1e-9)
    if share:
        assert fed(rebound(SD, lambda n: n, {"INPUT": "level_index_truncated"}), real(t)) == 100.0
        assert fed(rebound(SD, lambda n: n, {"INPUT": "level_index_rounded"}), real(100.75)) == 101.0


def test_the_scale_of_the_time():
    """A place is cut and then scaled, a time scaled and then cut."""
    names = {"time": lambda t: t / 10}
    for kind, wanted in (("level_index_truncated", 10.0), ("time_truncated", 10.0), ("level_index_rounded", 10.1)):
        assert fed(rebound(SD, lambda n: n, {**names, "INPUT": kind}), real(100.75)) == pytest.approx(wanted, rel=1e-15)
