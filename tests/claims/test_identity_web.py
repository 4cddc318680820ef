"""Methods of different papers that are one and the same: equal trajectories, to 1e-12, on uneven grids and a non-linear network.

Each name of a paper is a spec here; nothing is compared with itself, since the specs differ in family, integrand, variable
or weights, and the coefficients are derived anew for each.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from tests.claims.shipped import Shipped, written

BOUND = 1e-12
FOLDER = Path(mkdtemp(prefix="phiforge-identities-"))
VP, FLOW, EDM = "kind: vp_linear", "kind: flow", "kind: edm"
UNEVEN = (0.9, 0.81, 0.7, 0.52, 0.47, 0.33, 0.21, 0.12)

DDIM = {
    "DDIM": "family: exponential_multistep, steps: 1, integrand: noise, variable: lambda",
    "DPM-Solver-1": "family: exponential_rk, tableau: etd1, integrand: noise, variable: lambda",
    "DPM-Solver++-1": "family: exponential_multistep, steps: 1, integrand: data, variable: lambda",
    "tAB-0": "family: exponential_multistep, steps: 1, integrand: noise, variable: t",
    "Euler in rho": "family: runge_kutta, tableau: euler, integrand: noise, variable: rho",
    "rhoAB-0": "family: exponential_multistep, steps: 1, integrand: noise, variable: rho",
    "PNDM order 1": "family: linear_multistep, steps: 1, weights: uniform, integrand: noise, variable: lambda",
    "DDIM in t, data": "family: exponential_multistep, steps: 1, integrand: data, variable: t",
    "typed": "family: given, c: [0], a: [[]], b: ['phi1(z)'], integrand: data, variable: lambda",
}
"""One step, many names (Song et al. 2021, Eq. 12)."""

PAIRS = {
    "UniP-2 (bh2) = DPM-Solver++(2M)": (
        "family: exponential_multistep, steps: 2, weights: bh2, integrand: data, variable: lambda",
        "family: exponential_multistep, steps: 2, weights: midpoint, integrand: data, variable: lambda",
    ),
    "DEIS-log-rho-3 = UniP-3 of the noise": (
        "family: linear_multistep, steps: 3, weights: variable, integrand: noise, variable: lambda",
        "family: exponential_multistep, steps: 3, integrand: noise, variable: lambda",
    ),
    "LMS-4 = rhoAB-3": (
        "family: linear_multistep, steps: 4, weights: variable, integrand: noise, variable: rho",
        "family: exponential_multistep, steps: 4, integrand: noise, variable: rho",
    ),
    "DPM-Solver-2 as published = mu_1 = phi_1/2": (
        "family: exponential_rk, nodes: [1/2], weights: midpoint, integrand: noise, variable: lambda",
        "family: given, c: [0, 1/2], a: [[], ['phi1(z/2)/2']], b: [0, 'phi1(z)'], integrand: noise, variable: lambda",
    ),
    "DPM-Solver++(2S) = ETD2RK at 1/2": (
        "family: exponential_rk, nodes: [1/2], integrand: data, variable: lambda",
        "family: given, c: [0, 1/2], a: [[], ['phi1(z/2)/2']], b: ['phi1(z) - 2*phi2(z)', '2*phi2(z)'],"
        " integrand: data, variable: lambda",
    ),
    "DPM-Solver++(3S) = Hochbruck-Ostermann (1/3, 2/3)": (
        "family: exponential_rk, nodes: [1/3, 2/3], integrand: data, variable: lambda",
        "family: given, c: [0, 1/3, 2/3], a: [[], ['phi1(z/3)/3'], ['2*phi1(2*z/3)/3 - 4*phi2(2*z/3)/3',"
        " '4*phi2(2*z/3)/3']], b: ['phi1(z) - 3*phi2(z)/2', 0, '3*phi2(z)/2'], integrand: data, variable: lambda",
    ),
    "Lawson form of Kutta's method": (
        "family: runge_kutta, tableau: rk4, integrand: data, variable: lambda",
        "family: exponential_rk, tableau: lawson4, integrand: data, variable: lambda",
    ),
    "UniPC-1 = exponential trapezoid with a kept prediction": (
        "family: predictor_corrector, steps: 1, integrand: data, variable: lambda",
        "family: predictor_corrector, steps: 1, corrector_steps: 1, weights: exact, integrand: data, variable: lambda",
    ),
}


@cache
def made(method: str, schedule: str, prediction: str) -> Shipped:
    name = f"identity_{len(list(FOLDER.iterdir()))}"
    final = "" if "predictor" in method else ", final: keep"
    text = (
        f"name: {name}\nproblem:\n  kind: diffusion\n  schedule: {{{schedule}}}\n  prediction: {prediction}\n"
        f"method: {{{method}{final}}}\n"
    )
    return written(text, FOLDER)


def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Bounded, not linear, and it knows the time."""
    t = t.reshape(-1, *[1] * (x.dim() - 1))
    return 0.8 * torch.tanh(x.flip(-1) + t) + 0.1 * torch.sin(3 * x) * t


def run(method: str, schedule: str = VP, prediction: str = "noise") -> torch.Tensor:
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4)
    return made(method, schedule, prediction).solver.sample(network, x, nodes=UNEVEN)


def same(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=BOUND, atol=BOUND)


@pytest.mark.parametrize("prediction", ["noise", "v"])
@pytest.mark.parametrize("name", [n for n in DDIM if n != "DDIM"])
def test_the_many_names_of_ddim(name: str, prediction: str) -> None:
    same(run(DDIM[name], prediction=prediction), run(DDIM["DDIM"], prediction=prediction))


def test_ddim_on_a_flow_is_euler_of_its_velocity() -> None:
    euler = "family: runge_kutta, tableau: euler, integrand: velocity, variable: t"
    same(run(DDIM["DDIM"], FLOW, "velocity"), run(euler, FLOW, "velocity"))
    x, t = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4), UNEVEN
    for s, e in pairwise(t):
        x = x + (e - s) * network(x, torch.tensor([s], dtype=torch.float64))
    same(run(euler, FLOW, "velocity"), x)


@pytest.mark.parametrize("name", PAIRS)
def test_two_names_one_method(name: str) -> None:
    first, second = PAIRS[name]
    same(run(first), run(second))


def test_rf_solver_is_the_explicit_midpoint_rule() -> None:
    """Z + h v + (h^2/2) (v_mid - v)/(h/2) = Z + h v_mid (arXiv:2411.04746, Alg. 1)."""
    found = run("family: runge_kutta, tableau: midpoint, integrand: velocity, variable: t", FLOW, "velocity")
    x, t = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4), UNEVEN
    for s, e in pairwise(t):
        h = e - s
        v = network(x, torch.tensor([s], dtype=torch.float64))
        middle = network(x + h / 2 * v, torch.tensor([s + h / 2], dtype=torch.float64))
        x = x + h * v + h * h / 2 * ((middle - v) / (h / 2))
    same(found, x)


def test_edm_heun_is_heun_in_rho() -> None:
    """Karras et al. (arXiv:2206.00364), Alg. 1 without churn, typed; alpha = 1, so y = x/alpha is x and rho is sigma."""
    found = run("family: runge_kutta, tableau: heun2, integrand: noise, variable: rho", EDM, "data")
    x, t = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4), UNEVEN

    def slope(z: torch.Tensor, s: float) -> torch.Tensor:
        return (z - network(z, torch.tensor([s], dtype=torch.float64))) / s

    for s, e in pairwise(t):
        d = slope(x, s)
        x = x + (e - s) * (d + slope(x + (e - s) * d, e)) / 2
    same(found, x)


def test_an_identity_that_does_not_hold_is_seen() -> None:
    exact = "family: exponential_multistep, steps: 2, integrand: data, variable: lambda"
    published = "family: exponential_multistep, steps: 2, weights: midpoint, integrand: data, variable: lambda"
    assert float((run(exact) - run(published)).abs().max()) > 1e-6
