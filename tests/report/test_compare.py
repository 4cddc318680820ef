"""``compare``: errors that are right, calls that are counted, the table, the files, and what is refused."""

from __future__ import annotations

import csv
import json
import math
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from derive import comparing
from derive.cli import main
from derive.measure import compare
from derive.measure.compare import Comparison, Contender, Point, measure, plan_of
from derive.measure.posed import Network, calls, time_of
from derive.measure.problems import OUTPUTS, output, schedule_numbers

SHIPPED = ("ddim", "dpmpp_2m", "deis_tab3", "edm_ab2", "flow_ab2", "sd21v_dpmpp_2m", "sd3_dpmpp_2m", "vp_v_ab2")


def contender(name):
    package = import_module(f"generated.{name}")
    return Contender(name, package.solver, package.CLAIMS)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_network_returns_what_the_spec_says(name):
    """x0 = dx x + dr N of the solver agrees with the definition N = c0 x0 + c1 eps, at every time of a plan."""
    who = contender(name)
    plan = who.solver.plan(steps=6)
    problem = compare.GAUSSIAN
    numbers = schedule_numbers(who.solver.coefficients)
    kind = _prediction(name)
    network = Network(who.solver, plan, problem)
    x = torch.tensor([[0.3, -0.2, 0.9, 1.4]], dtype=torch.float64)
    for i in range(plan.steps):
        fed = plan.time(i)
        call = network.known[fed]
        alpha, sigma = call.level
        n = numbers(_unscaled(who.solver.coefficients, fed))
        assert n.alpha == pytest.approx(alpha, rel=1e-12, abs=1e-15) and n.sigma == pytest.approx(sigma, rel=1e-12)
        want = output(kind, x, problem.data(x, alpha, sigma), n._replace(alpha=alpha, sigma=sigma))
        got = network(x * call.scale, torch.tensor([fed], dtype=torch.float64))
        assert torch.allclose(got, want, rtol=1e-9, atol=1e-9)
    assert network.calls == plan.steps


def _prediction(name):
    from derive.places import solver_folder
    from derive.spec import read_spec

    kind = read_spec(solver_folder(name) / "spec.yaml").problem.prediction.kind
    assert kind in OUTPUTS
    return kind


def _unscaled(module, fed):
    """What ``schedule_numbers`` takes: t itself where the network is fed a multiple of it."""
    return float(time_of(module, fed)) if module.INPUT == "time" else fed


def test_times_off_the_nodes_are_found():
    who = contender("edm_ab2")
    plan = who.solver.plan(steps=4)
    module = who.solver.coefficients
    for fed, call in calls(module, plan).items():
        assert float(module.sigma(time_of(module, fed))) == pytest.approx(call.level[1], rel=1e-14)


def test_a_stochastic_solver_has_no_error_against_the_exact_flow():
    (point,) = measure([contender("sde_dpmpp_2m")], ["gaussian"], [5])
    assert point.error is None and point.calls == 0 and "stochastic" in point.why
    assert "no value: sde_dpmpp_2m: stochastic" in "\n".join(Comparison((point,)).lines())


def test_errors_of_ddim_on_a_gaussian_are_the_cosine_law():
    """DDIM on N(0, c^2): x_N/x_exact is the product of cos of the steps of atan2(c alpha, sigma) (THEORY, 3.3)."""
    (point,) = measure([contender("ddim")], ["gaussian"], [7])
    who = contender("ddim")
    plan = plan_of(who, 7)
    module = who.solver.coefficients
    x0, eps = compare._draw("gaussian")
    levels = [compare.level(module, t) for t in plan.nodes]
    total = torch.zeros(())
    for j, (mean, c) in enumerate(zip(map(float, compare.GAUSSIAN.mean), map(float, compare.GAUSSIAN.scale))):
        angles = [math.atan2(c * a, s) for a, s in levels]
        shrunk = math.prod(math.cos(b - a) for a, b in pairwise(angles))
        (a, s), (b, r) = levels[0], levels[-1]
        start = a * x0[:, j] + s * eps[:, j] - a * mean
        exact = start * math.hypot(c * b, r) / math.hypot(c * a, s)
        total = total + (((shrunk - 1) * exact) ** 2).sum()
    assert point.error == pytest.approx(math.sqrt(float(total) / x0.numel()), rel=1e-10)


@pytest.mark.parametrize("name, order", [("dpmpp_2m", 2), ("vp_v_ab2", 2), ("edm_ab2", 2)])
def test_errors_fall_with_the_order(name, order):
    """On nodes uniform in time well inside the interval, started at the global order."""
    who = contender(name)
    noise, data = who.solver.domain
    problem, errors = compare.GMM1D, []
    x = torch.linspace(-2, 2, 16, dtype=torch.float64)[:, None]
    module = who.solver.coefficients
    for n in (48, 96):
        nodes = [data + (noise - data) * (0.12 - 0.1 * i / n) for i in range(n + 1)]
        plan = who.solver.plan(nodes=nodes)
        start, end = compare.level(module, nodes[0]), compare.level(module, nodes[-1])
        start_x = x * math.hypot(*start)
        found = who.solver.sample(Network(who.solver, plan, problem), start_x, plan=plan)
        errors.append(float((found - compare.exact_flow(problem, start_x, start, end)).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_calls_are_counted_and_refusals_are_cells():
    names = ("ddim", "flow_ab2")
    found = Comparison(tuple(measure([contender(n) for n in names], ["gaussian"], [3, 6])))
    assert [(p.solver, p.nfe, p.calls) for p in found.points] == [(s, n, n) for s in names for n in (3, 6)]
    bad = Point("gaussian", "ddim", 9, 0, None, None, None, "no such grid")
    text = "\n".join(Comparison((*found.points, bad, Point("gaussian", "flow_ab2", 9, 8, 1e-3, 2e-3, 0.0))).lines())
    assert "no value: ddim: no such grid" in text and "1.00e-03(8)*" in text and "  - " in text


def test_an_exact_start_is_refused_with_the_remedy():
    class Coefficients:
        START, FINAL, STEPS = "exact", "keep", 2

    class Solver:
        coefficients = Coefficients

    points = list(measure([Contender("x", Solver(), {})], ["gaussian"], [5]))
    assert points[0].error is None and "start: ramp" in points[0].why


def test_the_command_prints_a_table_and_writes_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["compare", "ddim", "flow_ab2", "ddim", "--problem", "gaussian,mixture", "--nfe", "10,5,10"]
    assert main([*command, "-o", "curves.svg", "--csv", "runs.csv"]) == 0
    text = capsys.readouterr().out
    head = next(line for line in text.splitlines() if "NFE" in line)
    assert head.index("NFE 5") < head.index("NFE 10")
    assert text.count("*") >= 4 and "written: runs.csv, curves.svg" in text
    rows = list(csv.DictReader((tmp_path / "runs.csv").open()))
    assert len(rows) == 8 and {r["problem"] for r in rows} == {"gaussian", "mixture"}
    picture = (tmp_path / "curves.svg").read_bytes()
    assert ElementTree.fromstring(picture).tag.endswith("svg") and b"http:" not in _unnamed(picture)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.svg", "runs.csv"]
    assert main([*command, "--json", "-o", "again.svg"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] and data["written"] == ["again.svg"]
    assert [str(p["error"]) for p in data["points"]] == [r["error"] for r in rows]
    assert (tmp_path / "again.svg").read_bytes() == picture


def _unnamed(svg):
    """Without the names of XML namespaces, which are not loaded."""
    for name in (
        b"http://www.w3.org/2000/svg",
        b"http://www.w3.org/1999/xlink",
        b"http://www.w3.org/Graphics/SVG/1.1/",
    ):
        svg = svg.replace(name, b"")
    return svg


@pytest.mark.parametrize("kind, magic", [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_other_formats_are_steady_too(kind, magic):
    from derive.report.error_curves import draw
    from derive.report.figures import saved

    points = tuple(Point("gaussian", "a", n, n, 1 / n, 2 / n, 0.0) for n in (5, 10))
    first, second = (saved(draw(Comparison(points)), kind) for _ in range(2))
    assert first.startswith(magic) and first == second


WRONG = [
    (["compare"], ["compare: the following arguments are required: NAME"]),
    (["compare", "edm_cifar10_dpmp_3m"], ["no generated solver: got 'edm_cifar10_dpmp_3m'", "did you mean 'edm_cifar10_dpmpp_3m'?"]),
    (["compare", "ddim", "--problem", "gausian"], ["compare: --problem: got 'gausian'", "did you mean 'gaussian'?"]),
    (["compare", "ddim", "--nfe", "5,ten"], ["compare: --nfe: got 'ten'; allowed: whole numbers from 1 to 10000"]),
    (["compare", "ddim", "--nfe", "0"], ["compare: --nfe: got '0'"]),
    (["compare", "ddim", "--nfe", ""], ["compare: --nfe: got ''"]),
    (["compare", "ddim", "--nfe", "\u0665"], ["compare: --nfe: got '\\u0665'"]),
    (["compare", "ddim", "-o", "x.gif"], ["compare: -o: got 'x.gif'; allowed: a file name that ends in .svg, .png, .pdf"]),
    (["compare", "ddim", "--csv", "x.txt"], ["compare: --csv: got 'x.txt'"]),
    (["compare", "ddim", "--grid", "karas"], ["compare: --grid: got 'karas'", "did you mean 'karras'?"]),
]  # fmt: skip


@pytest.mark.parametrize("arguments, parts", WRONG)
def test_wrong_usage_is_exit_2(arguments, parts, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.isascii() and captured.err.count("\n") == 1
    assert all(part in captured.err for part in parts)
    assert not list(tmp_path.iterdir())


def test_every_fault_is_named_at_once(capsys):
    assert main(["compare", "no_such", "--problem", "x", "--nfe", "-1", "-o", "y"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "(and 1 more)"


def test_a_missing_folder_is_exit_3_before_any_run(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(comparing, "compare", lambda *_: pytest.fail("a run was started"))
    assert main(["compare", "ddim", "-o", str(tmp_path / "no" / "c.svg")]) == 3
    assert "no such folder" in capsys.readouterr().err


def test_budgets_that_no_solver_can_take_are_exit_2(capsys):
    assert main(["compare", "ddim", "--problem", "gaussian", "--grid", "leading", "--nfe", "3"]) == 2
    assert "ddim" in capsys.readouterr().err


def test_a_folder_that_cannot_be_imported_is_exit_2(capsys, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "spec.yaml").write_text("name: broken\n")
    (folder / "__init__.py").write_text("from nowhere_at_all import nothing\n")
    assert main(["compare", str(folder)]) == 2
    assert "broken cannot be imported: No module named 'nowhere_at_all'" in capsys.readouterr().err


def test_the_same_name_in_two_folders(tmp_path):
    import shutil

    from derive.installed import load_solver
    from derive.places import solver_folder

    shutil.copytree(solver_folder("ddim"), tmp_path / "ddim")
    ours, theirs = load_solver(solver_folder("ddim")), load_solver(Path(tmp_path / "ddim"))
    assert ours is not theirs and ours is load_solver(solver_folder("ddim"))
    assert theirs.solver.plan(steps=3).nodes == ours.solver.plan(steps=3).nodes


@pytest.mark.parametrize("tqdm", [True, False])
def test_a_bar_on_a_terminal_only(tqdm, monkeypatch, capsys):
    import sys

    from derive.progress import progress

    if not tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(progress(iter([3, 1]), 2, "comparing")) == [3, 1]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress(iter([3, 1]), 2, "comparing")) == [3, 1]
    assert "comparing" in capsys.readouterr().err
    assert list(progress(iter([3]), 1, "comparing", wanted=False)) == [3]
    assert capsys.readouterr().err == ""
