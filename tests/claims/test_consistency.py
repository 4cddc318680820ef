"""Samplers of consistency models: the law of their steps, exact flow maps, and the schedulers of diffusers."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from derive.errors import SpecError
from derive.measure.law import law_error
from derive.measure.march import Emitted
from derive.pipeline import derive
from derive.spec import read_spec_text
from runtime.grids import GRIDS
from tests.claims.shipped import imported, spec_text, written

METHOD = "steps: 1, integrand: data, variable: lambda"
TABLE = "kind: vp_scaled_linear"
NOISE = "kind: noise"


def text(problem="", prediction=NOISE, schedule=TABLE, method=METHOD, more="", name="sampler"):
    plain = spec_text(name, schedule, prediction, method, more)
    said = "".join(f"\n  {line}" for line in problem.splitlines())
    return plain.replace("kind: diffusion", f"kind: consistency{said}", 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Solvers by the text of their spec, each derived once."""
    folder, known = tmp_path_factory.mktemp("solvers"), {}

    def make(spec):
        if spec not in known:
            known[spec] = written(spec, folder / str(len(known)))
        return known[spec]

    return make


LCM = text(prediction="kind: consistency, output: {output}")
TCD = "gamma: {gamma}\nsegment: index"
FORMS = {
    "lcm": text(),
    "gamma": text("gamma: 3/10"),
    "tcd": text(TCD.format(gamma="3/10")),
    "tcd_whole": text(TCD.format(gamma=1)),
    "flow": text("gamma: 1/4", "kind: velocity", "kind: flow"),
    "edm": text("gamma: 1/2", "kind: edm", "kind: edm, sigma_min: 0"),
    "reflow": text("", "kind: velocity", "kind: flow"),
}


# -- the law ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_steps_keep_mean_variance_and_path(made, form):
    """Of a nonlinear problem with its exact flow map as network, in 320 bits; and every number to half a unit."""
    solver = made(FORMS[form])
    assert law_error(solver.emitted) < 1e-30
    assert max(entry.ulp for entry in solver.trial().entries()) < 0.501


def test_a_wrong_weight_breaks_the_law(made):
    solver = made(FORMS["tcd"])
    code = vars(solver.coefficients)

    def tampered(place):
        def main(s, t, h):
            row = list(code["ROWS"][0](s, t, h))
            row[place] *= 1 + 2.0**-40
            return tuple(row)

        return Emitted(SimpleNamespace(**{**code, "ROWS": (main,)}), solver.step.STEPS)

    for name in ("a", "b0", "s"):
        assert law_error(tampered(code["COLUMNS"].index(name))) > 1e-20, name


class Gaussian:
    """Data N(m, c^2), one component: x_t is N(alpha m, v(t)), and flow maps are affine."""

    def __init__(self, solver, mean=0.7, width=0.4):
        self.code, self.mean, self.width = solver.coefficients, mean, width

    def point(self, time):
        from runtime.real import real

        node = self.code.node(real(time))
        return float(node.alpha), float(node.sigma)

    def law(self, time):
        a, s = self.point(time)
        return a * self.mean, (a * self.width) ** 2 + s**2

    def moved(self, x, start, end):
        """The ODE from one time to another: the standard score stays."""
        (m, v), (n, w) = self.law(start), self.law(end)
        return n + math.sqrt(w / v) * (x - m)

    def student(self, solver, target):
        """A network whose (x0, eps) lead exactly to target(i)."""

        def model(x, t, i):
            u = target(i)
            (a, s), (b, r) = self.point(t), self.point(u)
            arrived = self.moved(x, t, u)
            x0 = arrived / b if r == 0 else (arrived - r / s * x) / (b - r / s * a)
            return (x - a * x0) / s

        return model


def segment(nodes, gamma, index):
    """u of every step, from its end."""
    if index:
        return [math.floor((1 - gamma) * t) for t in nodes[1:]]
    return [-1 + (1 - gamma) * (t + 1) for t in nodes[1:]]


GAMMAS = [("0", False), ("0.3", True), ("1", True), ("0.3", False), ("1", False)]


@pytest.mark.parametrize("steps", [1, 4, 9])
@pytest.mark.parametrize("gamma, index", GAMMAS)
def test_exact_flow_maps_keep_every_marginal(made, gamma, index, steps):
    """The mean and the variance after every step are those of the time, by exact recursion: no sample is drawn.

    x is affine in the start and in the normals, so the coefficients come from runs on unit vectors.
    """
    problem = f"gamma: {gamma}" + ("\nsegment: index" if index else "")
    solver = made(text(problem))
    final = not index
    plan = solver.solver.plan(grid="origin", steps=steps, final_zero=final)
    data, nodes = Gaussian(solver), list(plan.nodes)
    ends = nodes[1:] if gamma == "0" else segment(nodes, float(gamma), index)
    student = data.student(solver, ends.__getitem__)
    seen = []

    def run(x, z):
        seen.clear()
        calls = iter(range(steps))

        def model(state, t):
            return student(state, float(t[0]), next(calls))

        def keep(state, call, time):
            seen.append(state.clone())
            return state

        draws = {} if gamma == "0" else {"noise": list(z)}
        solver.solver.sample(model, x, nodes=nodes, hooks={"after_step": keep}, **draws)
        return torch.stack(seen)

    zero, none = torch.zeros(1, 1, dtype=torch.float64), torch.zeros(steps, 1, 1, dtype=torch.float64)
    shift = run(zero, none)
    slopes = [run(zero + 1, none) - shift]
    slopes += [run(zero, torch.eye(steps, dtype=torch.float64)[:, [i]][..., None]) - shift for i in range(steps)]
    mean, variance = data.law(nodes[0])
    for n, time in enumerate(nodes[1:]):
        got = slopes[0][n] * mean + shift[n]
        spread = slopes[0][n] ** 2 * variance + sum(s[n] ** 2 for s in slopes[1:])
        m, v = data.law(time)
        assert float(got) == pytest.approx(m, abs=1e-12) and float(spread) == pytest.approx(v, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_without_gamma_the_exact_flow_map_reaches_the_end_of_the_ode(made, steps):
    solver = made(text("gamma: 0"))
    assert not any(solver.solver.plan(grid="origin", steps=steps).draws)
    plan = solver.solver.plan(grid="origin", steps=steps, final_zero=False)
    data, nodes = Gaussian(solver), list(plan.nodes)
    student, calls = data.student(solver, nodes[1:].__getitem__), iter(range(steps))
    x = torch.tensor([[1.3], [-0.4]], dtype=torch.float64)
    found = solver.solver.sample(lambda s, t: student(s, float(t[0]), next(calls)), x, nodes=nodes)
    assert torch.allclose(found, data.moved(x, nodes[0], nodes[-1]), rtol=0, atol=1e-10)


def test_without_gamma_it_is_ddim_to_the_last_bit(made, tmp_path):
    plain = written(spec_text("sampler", TABLE, NOISE, METHOD), tmp_path)
    other = made(text("gamma: 0"))
    for name in ("coefficients.py", "step_torch.py"):
        bodies = [(s.folder / name).read_text().split('"""', 2)[2] for s in (plain, other)]
        assert bodies[0] == bodies[1], name


def test_a_denoiser_does_not_converge_and_the_claims_say_so(made):
    """With the posterior mean the variance at the end stays wrong however many steps there are: no order."""
    solver = made(FORMS["lcm"])
    claims = solver.claims
    assert claims["order"] == claims["global_order"] == 0 and claims["stiff_order"] is None
    assert claims["law"].startswith("exact marginals") and claims["error_constant"]["leading"] is None
    data = Gaussian(solver)
    gaps = []
    for steps in (5, 20, 50):
        nodes = list(solver.solver.plan(grid="origin", steps=steps).nodes)
        variance = data.law(nodes[0])[1]
        for s, t in pairwise(nodes):
            (a, sd), (b, r) = data.point(s), data.point(t)
            gain = a * data.width**2 / ((a * data.width) ** 2 + sd**2)
            variance = (b * gain) ** 2 * variance + r**2
        gaps.append(1 - variance / data.width**2)
    assert min(gaps) > 0.02 and gaps[2] > 0.5 * gaps[1]


# -- diffusers -------------------------------------------------------------------------------------------------

PREDICTIONS = {"noise": "epsilon", "data": "sample", "v": "v_prediction"}


def peers(monkeypatch, kind, output, steps, normals, widened, **called):
    """(scheduler that takes our normals, what its steps take); widened: its table and its scalings in float64."""
    module = pytest.importorskip(f"diffusers.schedulers.scheduling_{kind}")
    scheduler = getattr(module, f"{kind.upper()}Scheduler")(prediction_type=PREDICTIONS[output])
    if widened:
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        scheduler.alphas_cumprod = torch.cumprod(1 - betas, 0)
        if kind == "lcm":
            scalings = scheduler.get_scalings_for_boundary_condition_discrete
            scheduler.get_scalings_for_boundary_condition_discrete = lambda t: scalings(int(t))
    drawn = iter(normals)
    monkeypatch.setattr(module, "randn_tensor", lambda *args, **kwargs: next(drawn))
    eta = {k: called.pop(k) for k in ("eta",) if k in called}
    scheduler.set_timesteps(steps, **called)
    return scheduler, eta


def tensors(steps):
    torch.manual_seed(steps)
    return torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(steps, 2, 3, 4, 4, dtype=torch.float64)


def network(x, t):
    return torch.tanh(x + x.roll(1, -1) * (t / 700).reshape(-1, 1, 1, 1)) - 0.3 * x


@pytest.mark.parametrize("widened", [False, True])
@pytest.mark.parametrize("output", PREDICTIONS)
@pytest.mark.parametrize("kind, steps, called", [
    ("lcm", 1, {}), ("lcm", 4, {}), ("lcm", 8, {"original_inference_steps": 100}), ("lcm", 3, {"strength": 0.7}),
    ("tcd", 1, {"eta": 0.3}), ("tcd", 4, {"eta": 0.3}), ("tcd", 8, {"eta": 1.0}), ("tcd", 5, {"eta": 0.0}),
    ("tcd", 3, {"strength": 0.55, "eta": 0.5}), ("tcd", 6, {"original_inference_steps": 1000, "eta": 0.3}),
])  # fmt: skip
def test_parity_with_diffusers(made, monkeypatch, kind, steps, called, output, widened):
    x, normals = tensors(steps)
    scheduler, eta = peers(monkeypatch, kind, output, steps, normals, widened, **called)
    gamma = eta.get("eta")
    problem = "" if gamma is None else TCD.format(gamma=gamma)
    prediction = f"kind: consistency, output: {output}" if kind == "lcm" else f"kind: {output}"
    solver = made(text(problem, prediction)).solver
    asked = {"strength": called.get("strength", 1.0), "origin_steps": called.get("original_inference_steps", 50)}
    plan = solver.plan(grid="origin", steps=steps, final_zero=kind == "lcm", **asked)
    assert plan.nodes[:-1] == tuple(scheduler.timesteps.tolist())
    theirs = x
    for t in scheduler.timesteps:
        theirs = scheduler.step(network(theirs, t.double().expand(2)), t, theirs, **eta).prev_sample
    draws = {"noise": list(normals)} if any(plan.draws) else {}
    ours = solver.sample(network, x, nodes=list(plan.nodes), **draws)
    largest = max(float(v.abs().max()) for v in (x, theirs))
    assert float((ours - theirs).abs().max()) / largest < (1e-13 if widened else 1e-6)


def test_the_noise_of_the_last_step_is_none(made):
    for form, final in (("lcm", True), ("tcd", False)):
        solver = made(FORMS[form]).solver
        x, normals = tensors(4)
        nodes = list(solver.plan(grid="origin", steps=4, final_zero=final).nodes)
        other = normals.clone()
        other[-1] += 5
        a, b = (solver.sample(network, x, nodes=nodes, noise=list(z)) for z in (normals, other))
        assert torch.equal(a, b)


def test_the_published_end_of_tcd_is_training_step_0_and_not_the_data(made):
    """With gamma = 1 the two samplers differ by alphabar[0]: the last of TCD's states still has its noise."""
    one, other = made(FORMS["lcm"]), made(FORMS["tcd_whole"])
    data = Gaussian(one)
    assert data.point(0)[1] ** 2 == pytest.approx(0.00085, rel=1e-12)
    x, normals = tensors(4)
    ends = [
        s.solver.sample(network, x, nodes=[999.0, 759.0, 499.0, 259.0, end], noise=list(normals))
        for s, end in ((one, -1.0), (other, 0.0))
    ]
    gap = float((ends[0] - ends[1]).abs().max() / ends[0].abs().max())
    assert 1e-3 < gap < 0.2


# -- grids and faults ------------------------------------------------------------------------------------------


def test_the_grid_is_that_of_diffusers():
    module = pytest.importorskip("diffusers.schedulers.scheduling_lcm")
    scheduler = module.LCMScheduler()
    table = SimpleNamespace(DOMAIN=(999.0, -1.0))
    for origin in (10, 25, 50, 77, 333, 1000):
        for strength in (0.3, 0.5, 0.77, 1.0):
            for steps in (1, 2, 3, 4, 7, 10, 23, 50):
                if steps > int(origin * strength):
                    continue
                scheduler.set_timesteps(steps, original_inference_steps=origin, strength=strength)
                found = GRIDS["origin"](table, steps, origin_steps=origin, strength=strength)
                assert found == (*scheduler.timesteps.tolist(), -1.0)


@pytest.mark.parametrize("given, said", [
    ({"steps": 51}, "up to 50"), ({"steps": 4, "origin_steps": 1001}, "1 to 1000"),
    ({"steps": 4, "strength": 0.0}, "above 0"), ({"steps": 36, "strength": 0.7}, "up to 35"),
    ({"steps": 1000, "origin_steps": 1000, "final_zero": False}, "ends at index 0"),
])  # fmt: skip
def test_wrong_grids_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        GRIDS["origin"](SimpleNamespace(DOMAIN=(999.0, -1.0)), **given)
    with pytest.raises(ValueError, match="discrete"):
        GRIDS["origin"](SimpleNamespace(DOMAIN=(1.0, 0.0)), steps=4)


@pytest.mark.parametrize("spec, key, said", [
    (text("segment: index", "kind: velocity", "kind: flow"), "problem.segment", "no training steps"),
    (text(schedule="kind: edm"), "problem.segment", "does not end at sigma = 0"),
    (text(method="steps: 1, integrand: noise, variable: lambda"), "method.integrand", "data in lambda"),
    (text(method="steps: 1, integrand: data, variable: t"), "method.integrand", "data in lambda"),
    (text(method="steps: 2, integrand: data, variable: lambda"), "method.steps", "one value a step"),
    (text("gamma: 2"), "problem.gamma", "from 0 up to 1"),
    (text(more="claims: {order: 1}\n"), "claims.order", "not provable"),
])  # fmt: skip
def test_faults_are_named(spec, key, said):
    with pytest.raises(SpecError) as raised:
        derive(read_spec_text(spec))
    assert [fault.key for fault in raised.value.faults] == [key] and said in str(raised.value)


def test_reading_back(made):
    """The canonical spec gives the same bytes, and its module imports alone."""
    solver = made(FORMS["tcd"])
    again = read_spec_text((solver.folder / "spec.yaml").read_text())
    assert again.problem.parameters["segment"] == "index" and again.canonical() == solver.derived.spec.canonical()
    assert imported(solver.folder / "coefficients.py").segment(499) == 349
