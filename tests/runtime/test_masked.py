"""Noise in a part of the sample, and time travel: bit for bit at the ends, and exact in law where the steps are."""

from __future__ import annotations

import math

import pytest
import torch

from generated import (
    ddim,
    dpm_2s,
    dpmpp_2m,
    edm_ab2,
    edm_heun,
    flow_ab2,
    sde_dpmpp_1,
    sde_dpmpp_2m,
    vp_rho_heun,
    vp_v_ab2,
)
from runtime import ShapeError, masked
from runtime.noise import Philox
from tests.emitted import emitted
from tests.runtime import mixture

METHOD = "{family: exponential_multistep, steps: 1, integrand: data, variable: lambda, weights: exact}"
GRID = {"grid": "uniform", "variable": "lambda", "t_start": 1.0, "t_end": 0.02, "final_zero": False}
X = torch.randn(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
HALF = (torch.arange(5) < 2).double()


def stochastic(k, tau="1"):
    """SDE-DPM-Solver++ of k steps; with less noise than the reverse SDE has, made for this test."""
    if tau == "1":
        return {1: sde_dpmpp_1, 2: sde_dpmpp_2m}[k].solver
    return emitted("vp_linear", "noise", METHOD, f"sde, tau: {tau}")


def coupled(x, t):
    return torch.tanh(0.8 * x + 0.3 * x.flip(-1)) * (1 + t.reshape(-1, *(1,) * (x.dim() - 1)))


def point(x, t):
    """The noise prediction of data that are 0: every step of order 1 is exact in law."""
    return x / mixture.vp(t)[1].reshape(-1, *(1,) * (x.dim() - 1)).to(x.dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("k", [1, 2])
def test_the_ends_of_the_mask_are_the_two_solvers_bit_for_bit(k, dtype):
    calm = {1: ddim, 2: dpmpp_2m}[k].solver
    x = X.to(dtype)
    for mask, want in (
        (torch.zeros(()), calm.sample(coupled, x, 7, **GRID)),
        (torch.ones(5), stochastic(k).sample(coupled, x, 7, seed=3, **GRID)),
        (torch.ones(1, dtype=torch.bool), stochastic(k).sample(coupled, x, 7, seed=3, **GRID)),
    ):
        assert torch.equal(masked.sample(calm, stochastic(k), coupled, x, mask, 7, seed=3, **GRID), want)


def test_two_deterministic_solvers():
    for mask, solver in ((torch.zeros(1), ddim.solver), (torch.ones(1), dpmpp_2m.solver)):
        found = masked.sample(ddim.solver, dpmpp_2m.solver, coupled, X, mask, 7, **GRID)
        assert torch.equal(found, solver.sample(coupled, X, 7, **GRID))


def test_regions_do_not_mix_where_the_network_does_not():
    """A network of single elements: each region is the solver's own."""
    model = mixture.network("noise", mixture.vp)
    found = masked.sample(ddim.solver, stochastic(1), model, X, HALF, 7, seed=3, **GRID)
    noisy = HALF.bool()
    assert torch.equal(found[..., noisy], stochastic(1).sample(model, X, 7, seed=3, **GRID)[..., noisy])
    assert torch.equal(found[..., ~noisy], ddim.solver.sample(model, X, 7, **GRID)[..., ~noisy])


def test_between_the_ends_it_is_the_average_of_both_steps():
    nodes = [0.9, 0.5]
    a, b = ddim.solver.sample(coupled, X, nodes=nodes), stochastic(1).sample(coupled, X, nodes=nodes, seed=1)
    m = torch.rand(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = masked.sample(ddim.solver, stochastic(1), coupled, X, m, nodes=nodes, seed=1)
    torch.testing.assert_close(found, (1 - m) * a + m * b, rtol=1e-14, atol=1e-14)


def test_a_mask_for_some_steps_only():
    """Noise in steps 2 and 3 of 6: a solve in three parts, by a method of one step."""
    plan = ddim.solver.plan(6, **GRID)
    found = masked.sample(
        ddim.solver, stochastic(1), coupled, X, lambda n: torch.tensor(float(n in (2, 3))), nodes=plan.nodes, seed=4
    )
    x = ddim.solver.sample(coupled, X, nodes=plan.nodes[:3])
    noise = Philox(4)
    x = stochastic(1).sample(coupled, x, nodes=plan.nodes[2:5], noise=lambda call, like: noise(call + 2, like))
    assert torch.equal(found, ddim.solver.sample(coupled, x, nodes=plan.nodes[4:]))


def test_both_solvers_get_the_same_normals():
    drawn = []

    def noise(call, like):
        drawn.append(call)
        return torch.ones_like(like)

    found = masked.sample(stochastic(1, "1/2"), stochastic(1), coupled, X, HALF, nodes=[0.9, 0.5], noise=noise)
    assert drawn == [0]
    for mask, solver in ((HALF == 0, stochastic(1, "1/2")), (HALF == 1, stochastic(1))):
        want = solver.sample(coupled, X, nodes=[0.9, 0.5], noise=lambda call, like: torch.ones_like(like))
        assert torch.equal(found[..., mask], want[..., mask])


def test_a_callback_sees_every_state():
    seen = []
    model = mixture.network("noise", mixture.vp)
    masked.sample(
        ddim.solver, dpmpp_2m.solver, model, X, HALF, 4, callback=lambda i, t, x: seen.append((i, t, x)), **GRID
    )
    assert [s[0] for s in seen] == [0, 1, 2, 3] and torch.equal(seen[0][2], X)
    assert torch.equal(seen[3][2][..., 2:], ddim.solver.sample(model, X, nodes=[s[1] for s in seen])[..., 2:])


def responses(run):
    """What a solve that is affine in x_T and in its normals multiplies each by: (of x_T, {number: of that normal})."""
    numbers = []

    def only(which):
        def noise(number, like):
            numbers.append(number)
            return torch.full_like(like, float(number == which))

        return noise

    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    start = float(run(one, only(None)))
    return start, {n: float(run(zero, only(n))) for n in sorted(set(numbers))}


@pytest.mark.parametrize("solver", [ddim.solver, "sde"], ids=["ddim", "sde"])
def test_going_back_with_noise_keeps_the_law(solver):
    """Data at 0, N(0, sigma^2) at every time: the variance at the end is exact after any number of returns."""
    solver = stochastic(1) if solver == "sde" else solver
    plan = ddim.solver.plan(5, **GRID)
    first, last = (float(mixture.vp(t)[1]) for t in (plan.nodes[0], plan.nodes[-1]))
    start, normals = responses(
        lambda x, noise: masked.travel(solver, point, x, [1, 2, 3, 1, 2], nodes=plan.nodes, noise=noise)
    )
    assert len(normals) == 4 + (9 if any(solver.plan(nodes=plan.nodes).draws) else 0)
    variance = start**2 * first**2 + sum(v**2 for v in normals.values())
    assert abs(variance / last**2 - 1) < 1e-12


@pytest.mark.parametrize("mask", [0.0, 1.0])
def test_both_regions_keep_the_law(mask):
    plan = ddim.solver.plan(5, **GRID)
    first, last = (float(mixture.vp(t)[1]) for t in (plan.nodes[0], plan.nodes[-1]))
    start, normals = responses(
        lambda x, noise: masked.sample(
            ddim.solver, stochastic(1), point, x, torch.tensor(mask), nodes=plan.nodes, noise=noise
        )
    )
    variance = start**2 * first**2 + sum(v**2 for v in normals.values())
    assert abs(variance / last**2 - 1) < 1e-12 and len(normals) == 5


@pytest.mark.parametrize(("package", "path"), [(ddim, mixture.vp), (flow_ab2, mixture.flow)], ids=["vp", "flow"])
def test_the_way_back_is_the_forward_kernel(package, path):
    """Of N(0, c^2) data: (alpha^2 c^2 + sigma^2) at the start from that at the end, to 1e-12; c = 0.7."""
    times = (0.8, 0.45)
    (a, p), (b, q) = ([float(v) for v in path(t)] for t in times)
    out = {}
    for z in (0.0, 1.0):
        seen = []

        def network(x, t, seen=seen):
            seen.append(float(x))
            return x

        masked.travel(
            package.solver, network, torch.ones(1, 1).double(), 2, nodes=times, noise=lambda n, like, z=z: z + 0 * like
        )
        stepped = float(package.solver.sample(lambda x, t: x, torch.ones(1, 1).double(), nodes=times))
        out[z] = seen[1]
    scale, width = out[0.0] / stepped, out[1.0] - out[0.0]
    c = 0.7
    assert abs(scale**2 * (b * b * c * c + q * q) + width**2 - (a * a * c * c + p * p)) < 1e-12
    assert scale == pytest.approx(a / b, rel=1e-13)


def test_going_back_by_inversion_follows_the_flow():
    """Exact for data at 0; else the state comes back up to the local errors of the two steps."""
    plan = ddim.solver.plan(5, **GRID)
    once = ddim.solver.sample(point, X, nodes=plan.nodes)
    found = masked.travel(ddim.solver, point, X, 3, nodes=plan.nodes, way="inversion")
    torch.testing.assert_close(found, once, rtol=1e-12, atol=1e-12)
    model = mixture.network("noise", mixture.vp)
    for package, order in ((ddim, 2), (vp_rho_heun, 4)):  # even powers: of odd ones there and back cancel
        gaps = []
        for end in (0.48, 0.49):
            nodes = (0.5, end)
            once = package.solver.sample(model, X, nodes=nodes)
            gap = masked.travel(package.solver, model, X, 2, nodes=nodes, way="inversion") - once
            gaps.append(float(gap.abs().max()))
        assert abs(math.log2(gaps[0] / gaps[1]) - order) < 0.15, (package, gaps)


def test_a_stochastic_solver_goes_back_by_another():
    nodes = ddim.solver.plan(4, **GRID).nodes
    start, normals = responses(
        lambda x, noise: masked.travel(
            stochastic(1), point, x, 2, nodes=nodes, way="inversion", back=ddim.solver, noise=noise
        )
    )
    first, last = (float(mixture.vp(t)[1]) for t in (nodes[0], nodes[-1]))
    assert abs((start**2 * first**2 + sum(v**2 for v in normals.values())) / last**2 - 1) < 1e-12
    with pytest.raises(ValueError, match="stochastic"):
        masked.travel(stochastic(1), point, X, 2, nodes=nodes, way="inversion")


@pytest.mark.parametrize("package", [dpmpp_2m, edm_heun, vp_v_ab2], ids=lambda p: p.solver.name)
def test_no_travel_is_the_plain_solve(package):
    options = {} if package is edm_heun else {"steps": 6, **GRID}
    want = package.solver.sample(coupled, X, **options)
    assert torch.equal(masked.travel(package.solver, coupled, X, 1, seed=1, **options), want)
    assert not torch.equal(masked.travel(package.solver, coupled, X, 2, seed=1, **options), want)


def test_no_travel_of_a_stochastic_solver_has_its_noise():
    want = stochastic(2).sample(coupled, X, 6, seed=8, **GRID)
    assert torch.equal(masked.travel(stochastic(2), coupled, X, 1, 6, seed=8, **GRID), want)


def test_what_is_refused():
    with pytest.raises(ValueError, match="one call a step"):
        masked.sample(ddim.solver, dpm_2s.solver, coupled, X, HALF, 4, **GRID)
    with pytest.raises(ValueError, match="different things"):
        masked.sample(ddim.solver, vp_v_ab2.solver, coupled, X, HALF, 4, **GRID)
    with pytest.raises(ValueError, match="different things"):
        masked.sample(edm_ab2.solver, flow_ab2.solver, coupled, X, HALF, nodes=[0.9, 0.5])
    with pytest.raises(ShapeError, match="mask: got shape"):
        masked.sample(ddim.solver, dpmpp_2m.solver, coupled, X, torch.ones(7), 4, **GRID)
    with pytest.raises(ValueError, match="0 to 1"):
        masked.sample(ddim.solver, dpmpp_2m.solver, coupled, X, 2 * HALF, 4, **GRID)
    with pytest.raises(ValueError, match="repeats"):
        masked.travel(ddim.solver, coupled, X, [1, 2], 4, **GRID)
    with pytest.raises(ValueError, match="repeats"):
        masked.travel(ddim.solver, coupled, X, 0, 4, **GRID)
    with pytest.raises(ValueError, match="way"):
        masked.travel(ddim.solver, coupled, X, 2, 4, way="ddim", **GRID)
    with pytest.raises(TypeError, match="noise"):
        masked.travel(ddim.solver, coupled, X, 2, 4, noise=[X], **GRID)
