"""The script for a machine with a GPU, without one: it says so; and with a stand-in all of its parts run on the CPU.

The stand-in times with a clock and replays a body where a GPU would replay a graph, so what it finds says nothing; that
every part runs, and that the report has what a GPU's will have, is what is tested.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.methods import METHODS, derived, shipped
from benchmarks.peers import steady
from derive.backends import cuda
from runtime import api, checks, graph


class Host(gpu.Gpu):
    device = "cpu"

    def name(self) -> str:
        return "a stand-in"

    def seconds(self, run: Callable[[], object], before: Callable[[], object], repeat: int = 10) -> float:
        before()
        return self.kernels(run)

    def kernels(self, run: Callable[[], object]) -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    def captured(self, body: Callable[[], object], warm: Callable[[], object]) -> Callable[[], object]:
        warm()
        return body

    def nothing(self) -> None:
        return None


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Host]:
    """A GPU that is a CPU, with one method, and nothing kept."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PHIFORGE_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(gpu, "BACKENDS", ("cpu",))
    monkeypatch.setattr(gpu, "all_backends", lambda: ("torch", "cuda"))
    monkeypatch.setattr(gpu, "KERNELS", ("dpmpp_2m",))
    monkeypatch.setattr(gpu, "AGAINST", {"dpmpp_2m": 6.0})
    monkeypatch.setattr(gpu, "unet", lambda _: lambda x, t: torch.tanh(x) * torch.cos(t)[:, None, None, None])
    monkeypatch.setattr(gpu.bandwidth, "__defaults__", (1 << 12,))
    monkeypatch.setattr(gpu, "CALLS", 20)
    monkeypatch.setattr(graph, "captured", Host().captured)
    monkeypatch.setattr(checks, "capturable", lambda *arguments: None)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    api._fused.cache_clear()
    yield Host()
    api._fused.cache_clear()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    said = capsys.readouterr()
    assert said.err == "gpu: no GPU that torch can use; nothing is measured\n"
    assert not said.out


def test_every_part_runs(host: Host) -> None:
    report = json.loads(json.dumps(gpu.measure(host, 600, powers=(6, 7), shape=(2, 3, 4, 4))))
    assert report.keys() == {"kernels", "node", "against", "replay", "failed", "copy_bytes_per_second", "targets"}
    assert report["failed"] == {}
    sizes = [(row["elements"], row["dtype"], row["backend"], row["method"]) for row in report["kernels"]]
    assert sizes == [(n, dtype, "cpu", "dpmpp_2m") for n in (64, 128) for dtype in ("fp32", "bf16")]
    assert all(row["over_copy"] > 0 and row["us"] > 0 for row in report["kernels"])
    assert report["node"]["cpu"]["over_empty"] > 0
    assert report["against"]["dpmpp_2m"]["us"]["loop cpu"] > 0
    assert report["against"]["dpmpp_2m"]["failed"].keys() == {
        "diffusers",
        "diffusers compiled",
        "diffusers reduce-overhead",
    }
    assert max(report["replay"]["apart"]) < 1e-6
    assert report["replay"]["calls"] == [1 + 12, 19]  # one to warm up; a graph would not call Python again
    shown = [gpu.shown(found) for found in report["targets"]]
    assert sum("not measured" in line for line in shown) == 6  # four sizes that are not there, two of diffusers


def test_one_failure_does_not_cost_the_rest(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(gpu, "node", broken)
    report = gpu.measure(host, 600, powers=(6,), shape=(2, 3, 4, 4))
    assert report["failed"] == {"cpu node": "RuntimeError: out of memory"}
    assert len(report["kernels"]) == 2
    assert not next(t for t in report["targets"] if "empty node" in t["name"])["met"]


def test_when_the_time_is_over_nothing_more_begins(host: Host) -> None:
    report = gpu.measure(host, -1)
    assert report["failed"] == {"time": "-1 s were over"}
    assert all(found["value"] is None and not found["met"] for found in report["targets"])


def test_targets_are_met_or_not() -> None:
    assert gpu.target("x", 0.9, 0.9)["met"]
    assert not gpu.target("x", 0.89, 0.9)["met"]
    assert gpu.target("x", 1.3, 1.3, most=True)["met"]
    assert not gpu.target("x", 1.31, 1.3, most=True)["met"]
    assert not gpu.target("x", None, 1.3, most=True)["met"]


def row(elements: int, dtype: str, value: float) -> dict:
    return {"backend": "cuda", "dtype": dtype, "elements": elements, "over_copy": value}


def test_the_worst_kernel_of_a_size_counts() -> None:
    rows = [
        row(1 << 24, "fp32", 0.95),
        row(1 << 22, "fp32", 0.91),
        row(1 << 21, "fp32", 0.82),
        row(1 << 16, "fp32", 0.1),
    ]
    found = {t["name"]: t for t in gpu.bandwidth_targets(rows)}
    assert len(found) == 8
    large = found["cuda fp32, bandwidth over a copy, tensors from 16 MiB"]
    assert (large["value"], large["limit"], large["met"]) == (0.91, 0.90, True)
    small = found["cuda fp32, bandwidth over a copy, tensors from 4 MiB"]
    assert (small["value"], small["limit"], small["met"]) == (0.82, 0.80, True)
    assert found["cuda bf16, bandwidth over a copy, tensors from 16 MiB"]["value"] is None
    failed = {**row(1 << 25, "fp32", 1.0), "over_copy": None}
    assert gpu.bandwidth_targets([*rows, failed])[1]["value"] is None


def test_ours_is_compared_with_the_best_of_theirs() -> None:
    us = {"loop cuda": 10.0, "loop triton": 8.0, "diffusers": 80.0, "diffusers compiled": 16.0}
    eager, compiled = (t for t in gpu.peer_targets({"dpmpp_2m": {"us": us}}) if t["name"].startswith("DPM++ 2M"))
    assert (eager["value"], eager["met"]) == (10.0, True)
    assert (compiled["value"], compiled["met"]) == (0.5, True)
    us["diffusers reduce-overhead"] = 7.0
    compiled = [t for t in gpu.peer_targets({"dpmpp_2m": {"us": us}}) if t["name"].startswith("DPM++ 2M")][1]
    assert not compiled["met"]


@pytest.mark.parametrize(("name", "whole", "half"), [("ddim", 3, 5), ("dpmpp_2m", 5, 7), ("unipc_2", 8, 12)])
def test_streams_are_those_of_the_source(name: str, whole: int, half: int) -> None:
    """A state is two numbers in half precision: x, and the state that a corrector keeps."""
    source = shipped(name).with_name(cuda.FILE).read_text()
    assert (gpu.streams(source, "main", False), gpu.streams(source, "main", True)) == (whole, half)
    with pytest.raises(ValueError, match="no phase nothing"):
        gpu.streams(source, "nothing", True)


def test_every_method_has_the_steps_of_its_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of CALLS steps, and a table that holds them; peers are timed in the middle of a solve."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for key in dict.fromkeys((*gpu.KERNELS, *gpu.AGAINST)):
        made = derived(METHODS[key], tmp_path)
        assert made.plan(gpu.CALLS).steps == gpu.CALLS
        assert len(steady(made.plan())) > 5
