"""The comparison with other libraries: what is timed is the same work, and the report says so.

diffusers and k-diffusion are optional: without them the machinery runs on our own solvers.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import peers
from benchmarks.methods import METHODS, Derived, derived, shipped
from benchmarks.rivals import Copy, Diffusers, Looped, Ours, Sampler, installed, trajectory
from runtime import api

SHAPE = (2, 3, 4, 4)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")
needs_diffusers = pytest.mark.skipif(installed("diffusers") is None, reason="diffusers is not installed")
needs_k = pytest.mark.skipif(installed("k-diffusion") is None, reason="k-diffusion is not installed")


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where methods are derived, and fused steps built: nobody's cache is touched."""
    place = tmp_path_factory.mktemp("benchmarked")
    place.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setenv("PHIFORGE_CACHE", str(place))
        patch.setattr(sys, "path", [*sys.path])
        api._fused.cache_clear()
        yield place
    api._fused.cache_clear()


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, Derived]:
    return {key: derived(METHODS[key], folder) for key in ("ddim", "dpmpp_2m", "heun")}


@pytest.fixture(scope="module")
def report() -> dict:
    """Of one method, without the other libraries."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("diffusers", "k_diffusion"):
            patch.setitem(sys.modules, name, None)
        return peers.run(["dpmpp_2m"], [SHAPE], "fp32", "cpu", 1, compiling=False)


# The report


def test_it_runs_without_the_others_and_says_that_they_are_missing(report: dict) -> None:
    assert {"diffusers", "k-diffusion", "compiled"} <= report["missing"].keys()
    assert "diffusers" in report["missing"]["diffusers"]
    (figure,) = report["figures"]
    assert figure["us"].keys() == {"floor", "torch", "fused", "loop"}
    assert [found["who"] for found in report["agreement"]] == ["fused", "loop"]
    assert all(found["same"] for found in report["agreement"])


def test_the_schema_of_the_report(report: dict) -> None:
    again = json.loads(json.dumps(report))
    assert again.keys() == {"what", "machine", "versions", "dtype", "missing", "agreement", "figures", "targets"}
    assert again["machine"].keys() == {"device", "processor", "cores", "threads", "load", "system"}
    assert again["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    figure = again["figures"][0]
    assert figure["shape"] == list(SHAPE)
    assert figure["streams"] == 5
    for name, ratio in figure["over_floor"].items():
        assert ratio == pytest.approx(figure["us"][name] / figure["us"]["floor"], rel=0.02)
    assert figure["over_fused"]["fused"] == 1
    assert min(figure["us"].values()) > 0


def test_it_is_written_with_its_picture(report: dict, tmp_path: Path) -> None:
    peers.write(report, tmp_path / "results" / "peers")
    assert json.loads((tmp_path / "results" / "peers.json").read_text()) == json.loads(json.dumps(report))
    assert (tmp_path / "results" / "peers.svg").read_bytes().startswith(b"<?xml")


def test_who_has_its_colour_and_its_name() -> None:
    from benchmarks.peers_plot import NAMES, WHO

    assert WHO.keys() == NAMES.keys()
    assert len(set(WHO.values())) == len(WHO) - 1  # the fused step of a CPU and of a GPU are never in one picture


def test_what_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as found:
        peers.main(["--methods", "ddim,nobody"])
    assert found.value.code == 2
    assert "nobody; allowed: ddim, dpmpp_2m" in capsys.readouterr().err


# What is timed


def test_the_steps_that_are_timed_are_those_a_long_solve_repeats(made: dict[str, Derived]) -> None:
    plan = made["dpmpp_2m"].plan()
    assert {plan.phases[i] for i in peers.steady(plan)} == {"main"}
    plan = made["heun"].plan()
    calls = peers.steady(plan)
    assert len(calls) % 2 == 0, "both evaluations of a step equally often"
    assert {plan.phases[i] for i in calls} == {"stage_1", "main"}


@pytest.mark.parametrize(("streams", "buffers"), [(3.0, 2), (5.5, 5), (8.0, 5)])
def test_the_floor_moves_the_bytes_of_the_method_on_as_much_memory(streams: float, buffers: int) -> None:
    x = torch.randn(8, 16)
    copy = Copy(streams, buffers, x)
    assert sum(2 * count for count in copy.counts) == streams * x.numel()
    assert len({m.data_ptr() for m in copy.memory}) == buffers
    copy.step(x)
    whole = int(streams / 2)
    assert all((m == 0).all() for m in copy.memory[1 : whole + 1]), "each to the next, from the first"
    assert whole + 2 > buffers or (copy.memory[whole + 2 :][0] == whole + 2).all(), "and no more"
    for _ in range(buffers):
        copy.step(x)
    assert all(m[0] == 0 for m in copy.memory), "from where the last call has ended"


def test_a_method_has_as_many_buffers_as_its_kernels_touch(made: dict[str, Derived]) -> None:
    assert made["dpmpp_2m"].buffers == 3, "x, the network's output, the integrand before"
    assert made["heun"].buffers == 5, "x, the stage, the network's output, an integrand, the scaled input"


def test_targets_are_what_the_times_say() -> None:
    us = {"floor": 100.0, "fused": 109.0, "loop": 108.0, "diffusers": 500.0, "diffusers compiled": 100.0}
    large = {"method": "unipc_2", "label": "UniPC-2", "shape": list(peers.LARGE), "us": us}
    assert [f.holds for f in peers.targets([large])] == [False, False, True]
    assert [f.holds for f in peers.targets([{**large, "us": {**us, "fused": 100.0}}])] == [True, True, True]
    assert [f.holds for f in peers.targets([{**large, "us": {**us, "fused": 120.0, "loop": 111.0}}])] == [False] * 3
    tiny = {**large, "shape": list(peers.TINY)}
    assert [f.holds for f in peers.targets([tiny])] == [False]
    assert [f.holds for f in peers.targets([{**tiny, "us": {**us, "loop": 25.0}}])] == [True]
    assert not peers.targets([{**large, "shape": [1, 2, 3]}])


# Who is compared


def noise(one: Derived) -> torch.Tensor:
    return one.sigma(one.plan()) * torch.randn(SHAPE, generator=torch.Generator().manual_seed(5))


def by_hand(one: Derived, x: torch.Tensor) -> list[torch.Tensor]:
    """DDIM in numbers: x' = alpha' D + (sigma'/sigma)(x - alpha D)."""
    plan = one.plan()
    sigmas, alphas = one.sigmas(plan), one.alphas(plan)
    seen = [x]
    for i in range(plan.steps):
        data = peers.network(i, x)
        x = alphas[i + 1] * data + alphas[i + 1] * sigmas[i + 1] / (alphas[i] * sigmas[i]) * (x - alphas[i] * data)
        seen.append(x)
    return seen


@pytest.mark.parametrize("runner", [Ours, Looped])
def test_our_side_takes_the_steps_of_ddim(runner: type, made: dict[str, Derived]) -> None:
    one, x = made["ddim"], noise(made["ddim"])
    ours = trajectory(runner(one.solver, one.plan(), x), peers.network)
    assert peers.apart(ours, by_hand(one, x)) < 2e-6


def test_a_coefficient_that_is_off_by_a_part_in_two_hundred_is_seen(made: dict[str, Derived]) -> None:
    one, x = made["dpmpp_2m"], noise(made["dpmpp_2m"])
    plan = one.plan()
    right = trajectory(Ours(one.solver, plan, x), peers.network)
    (grid,) = plan.grids
    for column in range(len(plan.columns)):
        rows = [list(row) for row in grid.rows]
        rows[6][column] *= 1.005
        wrong = dataclasses.replace(plan, grids=(dataclasses.replace(grid, rows=tuple(map(tuple, rows))),), _cache={})
        assert peers.apart(trajectory(Ours(one.solver, wrong, x), peers.network), right) > peers.TOLERANCE


@needs_diffusers
@pytest.mark.parametrize("key", METHODS)
def test_diffusers_takes_the_same_steps(key: str, folder: Path) -> None:
    one = derived(METHODS[key], folder)
    x = noise(one)
    ours = trajectory(Ours(one.solver, one.plan(), x), peers.network)
    assert peers.apart(trajectory(Diffusers(one, one.plan(), x), peers.network), ours) < peers.TOLERANCE


@needs_k
@pytest.mark.parametrize("key", [key for key, method in METHODS.items() if method.k])
def test_k_diffusion_takes_the_same_steps(key: str, folder: Path) -> None:
    one = derived(METHODS[key], folder)
    x = noise(one)
    ours = trajectory(Ours(one.solver, one.plan(), x), peers.network)
    assert peers.apart(Sampler(one, one.plan(), x).trajectory(peers.network), ours) < peers.TOLERANCE


@needs_diffusers
@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2"])
def test_another_formula_is_seen_as_another(name: str, folder: Path) -> None:
    """The exact second moment against the published midpoint; a corrected step against a predicted one."""
    one = derived(dataclasses.replace(METHODS["dpmpp_2m"], spec=shipped(name)), folder)
    found = peers.agreement("2m", one, {"fused": "", "loop": "", "k-diffusion": ""})
    assert [(f["who"], f["same"]) for f in found] == [("diffusers", False)]
