"""The law of every shipped stochastic solver: mean and covariance after every step, exact, against formulas of the papers.

With Gaussian data a step is affine in the state and in its normal, so a solve is known by its mean and by what becomes of
x_T and of every normal. A batch finds them: its samples differ by x_T, or by one normal that is 1. They are compared one
by one with :mod:`tests.claims.stochastic_reference`; so are the mean and the variance, which are sums of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from derive.catalogue import entry
from derive.errors import SpecError
from runtime import load
from tests.claims import stochastic_reference as reference
from tests.claims.shipped import STOCHASTIC, Shipped, shipped, spec_of, spec_text, written
from tests.claims.stochastic_reference import Path, mp

MEAN, DEVIATION = mp.mpf(7) / 10, mp.mpf(3) / 5
BOUND = 1e-12
COUNT = 7
PUBLISHED: dict[str, tuple[str, Any, dict[str, Any]]] = {
    **{f"sde_dpmpp_{k}": ("multistep", 1, {"integrand": "data", "steps": s, "middle": k.endswith("midpoint")})
       for k, s in (("1", 1), ("2m", 2), ("2m_midpoint", 2), ("3m", 3))},
    **{f"mr_sde_{k}": ("multistep", 1, {"integrand": "data", "steps": k, "middle": False}) for k in (1, 2, 3)},
    **{name: ("multistep", 1, {"integrand": "data", "steps": 1, "middle": False})
       for name in ("ddpm", "euler_ancestral", "flow_euler_ancestral")},
    "flow_sde_2m": ("multistep", mp.mpf(1) / 4, {"integrand": "data", "steps": 2, "middle": False}),
    "seeds_1": ("multistep", 1, {"integrand": "noise", "steps": 1, "middle": False}),
    "seeds_2": ("single", 1, {"integrand": "noise", "fractions": (mp.mpf(1) / 2,), "middle": True}),
    "seeds_3": ("single", 1, {"integrand": "noise", "fractions": (mp.mpf(1) / 3, mp.mpf(2) / 3), "middle": False}),
    "dpmpp_sde": ("single", 1, {"integrand": "data", "fractions": (mp.mpf(1) / 2,), "middle": True}),
    **{f"sa_solver_{s}": ("corrected", 1, {"steps": s}) for s in (1, 2, 3, 4)},
    "sa_solver_3_half": ("corrected", mp.mpf(1) / 4, {"steps": 3}),
    "sa_solver_2_window": ("corrected", (lambda level: mp.sech(level) ** 2, mp.tanh), {"steps": 2}),
}  # fmt: skip
"""By solver: the function of the reference, T, its arguments."""
OTHERS = (
    "ddim_eta_half",
    "ddpm_large",
    "flow_euler_maruyama",
    "flow_stochastic_heun",
    "vp_euler_maruyama",
)
"""With formulas of their own, below."""


def path(solver: Shipped, share: Any) -> Path:
    """The schedule at 50 digits, beside Gaussian data."""
    schedule, oracle = solver.derived.schedule, solver.oracle

    def curve(which: Any) -> Callable[[Any], Any]:
        known: dict[Any, Any] = {}

        def value(t: Any) -> Any:
            if t not in known:
                known[t] = mp.mpf(oracle.at(which, t))
            return known[t]

        return value

    alpha, sigma = curve(schedule.alpha), curve(schedule.sigma)

    def time(level: Any, s: Any, t: Any) -> Any:
        return mp.findroot(lambda u: mp.log(alpha(u) / sigma(u)) - level, (s, t), solver="anderson", tol=1e-60)

    return Path(alpha, sigma, share if isinstance(share, tuple) else mp.mpf(share), MEAN, DEVIATION, time)


def network(solver: Shipped) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The exact network of the Gaussian data, in float64 from numbers at 50 digits."""
    kind, width = solver.derived.prediction.kind, mp.mpf(1) / 2
    numbers = path(solver, 0)

    def model(x: torch.Tensor, fed: torch.Tensor) -> torch.Tensor:
        t = float(fed.reshape(-1)[0])
        t = float(mp.exp(4 * t)) if solver.coefficients.INPUT == "c_noise" else t
        a, g = numbers.alpha(t), numbers.sigma(t)
        scale = mp.mpf(1)
        if kind == "edm":
            scale = 1 / mp.sqrt(width**2 + g * g)
        shift, gain = numbers.data([mp.zero, mp.one], t)
        if kind == "noise":
            shift, gain = -a / g * shift, (1 - a * gain) / g
        elif kind == "velocity":  # eps - x0 on the flow
            shift, gain = -a / g * shift - shift, (1 - a * gain) / g - gain
        elif kind == "edm":
            skip, out = width**2 / (g * g + width**2), g * width / mp.sqrt(g * g + width**2)
            shift, gain = shift / out, (gain - skip) / out
        return float(shift) + float(gain / scale) * x

    return model


def solved(solver: Shipped, nodes: Sequence[float], sample: Any = None) -> list[list[float]]:
    """After every step: the mean, the factor of x_T - E x_T, those of the normals."""
    plan = solver.solver.plan(nodes=list(nodes))
    draws = [i for i, does in enumerate(plan.draws) if does]
    start = path(solver, 0)
    mean = float(start.alpha(nodes[0]) * MEAN)
    batch = 2 + len(draws)
    x = torch.full((batch, 1), mean, dtype=torch.float64)
    x[1] += 1

    def normals(call: int, like: torch.Tensor) -> torch.Tensor:
        z = torch.zeros_like(like)
        z[2 + draws.index(call)] = 1
        return z

    states: list[torch.Tensor] = []

    def after(x: torch.Tensor, *_: Any) -> torch.Tensor:
        states.append(x.clone())
        return x

    hooks = {"after_step": after}
    (sample or solver.solver).sample(network(solver), x, nodes=list(nodes), noise=normals, hooks=hooks)
    assert len(states) == len(nodes) - 1
    return [[float(s[0]), *(float(v - s[0]) for v in s[1:, 0])] for s in states]


def assert_law(got: Sequence[Sequence[float]], want: Sequence[Sequence[Any]]) -> None:
    for ours, theirs in zip(got, want, strict=True):
        exact = [*map(float, theirs), *[0.0] * (len(ours) - len(theirs))]
        size = max(map(abs, exact))
        assert max(abs(a - b) for a, b in zip(ours, exact, strict=True)) <= BOUND * size
        variance, meant = (sum(v * v for v in row[1:]) for row in (ours, exact))
        assert abs(variance - meant) <= 2 * BOUND * meant


def start_of(solver: Shipped, nodes: Sequence[float]) -> list[Any]:
    return [path(solver, 0).alpha(nodes[0]) * MEAN, mp.mpf(1)]


def wanted(name: str, solver: Shipped, nodes: Sequence[float]) -> list[list[Any]]:
    function, share, given = PUBLISHED[name]
    return getattr(reference, function)(path(solver, share), nodes=nodes, x=start_of(solver, nodes), **given)


def test_every_stochastic_solver_is_here() -> None:
    assert {*PUBLISHED, *OTHERS} == {name for name in STOCHASTIC if spec_of(name).problem.kind == "sde"}


@pytest.mark.parametrize("name", sorted({*PUBLISHED, *OTHERS}))
def test_texts_say_the_orders_with_noise_and_what_the_mean_has(name: str) -> None:
    solver = shipped(name)
    claims = solver.claims
    assert claims["stability"]["gaussian"] is None  # the test is one of the deterministic step
    weak, strong, mean = (claims[key] for key in ("weak_order", "strong_order", "order"))
    text = (solver.folder / "derivation.md").read_text("utf-8")
    assert r"g\,dW" in text and f"weak order **{weak}**, strong order **{strong}**" in text
    assert entry(solver.folder).summary.startswith(f"weak order {weak}, strong order {strong} (mean of order {mean}): ")
    assert f"Proved: weak order {weak}; strong order {strong}; its mean has order {mean}." in " ".join(
        (solver.folder / "step_torch.py").read_text("utf-8").split()
    )


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_mean_and_covariance_after_every_step_are_those_of_the_paper(name: str) -> None:
    solver = shipped(name)
    nodes = solver.nodes(COUNT)
    assert_law(solved(solver, nodes), wanted(name, solver, nodes))


@pytest.mark.parametrize("name", [n for n, (_, _, given) in PUBLISHED.items() if given.get("integrand") != "noise"])
def test_one_data_point_keeps_the_exact_marginal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """x0 does not move then, and a step of any order is exact: N(alpha mean, sigma^2) after every step, whatever T."""
    monkeypatch.setattr("tests.claims.test_stochastic_laws.DEVIATION", mp.zero)
    solver = shipped(name)
    nodes, p = solver.nodes(COUNT), path(solver, 0)
    first = float(p.sigma(nodes[0]))
    for (mean, gain, *normals), t in zip(solved(solver, nodes), nodes[1:], strict=True):
        assert mean == pytest.approx(float(p.alpha(t) * MEAN), rel=BOUND)
        spread = (gain * first) ** 2 + sum(v * v for v in normals)
        assert spread == pytest.approx(float(p.sigma(t) ** 2), rel=BOUND)


def test_ddim_with_eta() -> None:
    """arXiv:2010.02502, Eq. 12 and 16: x_t = alpha_t x0 + sqrt(sigma_t^2 - s^2) eps + s z."""
    eta = mp.mpf(1) / 2
    solver = shipped("ddim_eta_half")
    nodes, p = solver.nodes(COUNT), path(solver, 0)
    x, want = start_of(solver, nodes), []
    for s, t in pairwise(nodes):
        spread = eta * p.sigma(t) / p.sigma(s) * mp.sqrt(1 - p.alpha(s) ** 2 / p.alpha(t) ** 2)
        direction = mp.sqrt(p.sigma(t) ** 2 - spread**2)
        x = reference.drawn(reference.combined((p.alpha(t), p.data(x, s)), (direction, p.noise(x, s))), spread)
        want.append(x)
    assert_law(solved(solver, nodes), want)


@pytest.mark.parametrize("name", ["ddpm", "ddpm_large"])
def test_ancestral_mean_and_variance(name: str) -> None:
    """The mean is DDPM's and that of score SDE's ancestral sampler; the variance is the posterior's, or beta of the step."""
    solver = shipped(name)
    nodes, p = solver.nodes(COUNT), path(solver, 0)
    x, want = start_of(solver, nodes), []
    for s, t in pairwise(nodes):
        beta = 1 - (p.alpha(s) / p.alpha(t)) ** 2
        posterior = beta * p.sigma(t) ** 2 / p.sigma(s) ** 2
        mean = reference.combined(
            (p.alpha(t) * beta / p.sigma(s) ** 2, p.data(x, s)),
            (mp.sqrt(1 - beta) * p.sigma(t) ** 2 / p.sigma(s) ** 2, x),
        )  # arXiv:2006.11239, Eq. 7
        score = reference.combined((-1 / p.sigma(s), p.noise(x, s)))
        ancestral = reference.combined(
            (1 / mp.sqrt(1 - beta), x), (beta / mp.sqrt(1 - beta), score)
        )  # 2011.13456, Eq. 46
        assert max(abs(a - b) for a, b in zip(mean, ancestral, strict=True)) < mp.mpf(10) ** -35
        x = reference.drawn(mean, mp.sqrt(posterior if name == "ddpm" else beta))
        want.append(x)
    assert_law(solved(solver, nodes), want)


def test_ancestral_mean_and_variance_on_an_exploding_path() -> None:
    """arXiv:2011.13456, Eq. 47: x + (s^2 - t^2) score, variance t^2 (s^2 - t^2)/s^2."""
    solver = shipped("euler_ancestral")
    nodes, p = solver.nodes(COUNT), path(solver, 0)
    x, want = start_of(solver, nodes), []
    for s, t in pairwise(nodes):
        gap = p.sigma(s) ** 2 - p.sigma(t) ** 2
        x = reference.combined((1, x), (-gap / p.sigma(s), p.noise(x, s)))
        x = reference.drawn(x, p.sigma(t) * mp.sqrt(gap) / p.sigma(s))
        want.append(x)
    assert_law(solved(solver, nodes), want)


@pytest.mark.parametrize("name", ["flow_euler_maruyama", "flow_stochastic_heun"])
def test_the_whole_drift_on_a_flow(name: str) -> None:
    """v - g^2/2 score with g^2 = t (arXiv:2401.08740): int g^2 is (s^2 - t^2)/2."""
    solver = shipped(name)
    nodes, p = solver.nodes(COUNT), path(solver, 0)

    def drift(x: Any, t: Any) -> Any:
        eps = p.noise(x, t)
        return reference.combined((-1, p.data(x, t)), (1 + mp.mpf(1) / 2, eps))

    def size(s: Any, t: Any) -> Any:
        return mp.sqrt((mp.mpf(s) ** 2 - mp.mpf(t) ** 2) / 2)

    times = [mp.mpf(t) for t in nodes]
    want = reference.whole_drift(drift, size, "heun" in name, times, start_of(solver, nodes))
    assert_law(solved(solver, nodes), want)


def test_euler_maruyama_of_score_sde() -> None:
    """arXiv:2011.13456, Eq. 48: f = -beta x/2, g^2 = beta at the start of the step, drift f - g^2 score."""
    solver = shipped("vp_euler_maruyama")
    nodes, p = solver.nodes(COUNT), path(solver, 0)

    def beta(t: Any) -> Any:
        return mp.mpf(1) / 10 + mp.mpf(t) * (20 - mp.mpf(1) / 10)

    def drift(x: Any, t: Any) -> Any:
        return reference.combined((-beta(t) / 2, x), (beta(t) / p.sigma(t), p.noise(x, t)))

    def size(s: Any, t: Any) -> Any:
        return mp.sqrt(beta(s) * (mp.mpf(s) - mp.mpf(t)))

    times = [mp.mpf(t) for t in nodes]
    assert_law(solved(solver, nodes), reference.whole_drift(drift, size, False, times, start_of(solver, nodes)))


@pytest.mark.parametrize("name", ["sde_dpmpp_2m", "sa_solver_2", "seeds_2", "ddpm", "dpmpp_sde", "flow_sde_2m"])
def test_a_changed_coefficient_changes_the_law(name: str) -> None:
    """Every column that is not the network's, of the row that most steps take, off by 1e-9."""
    solver = shipped(name)
    nodes = solver.nodes(COUNT)
    want = wanted(name, solver, nodes)
    for place in (i for i, c in enumerate(solver.coefficients.COLUMNS) if c[0] in "abds"):
        changed = vars(solver.coefficients) | {"ROWS": tuple(off(row, place) for row in solver.coefficients.ROWS)}
        mutant = load(str(solver.folder), SimpleNamespace(**changed), solver.step)[0]
        found = solved(solver, nodes, mutant)
        with pytest.raises(AssertionError):
            assert_law(found, want)


INTEGRANDS = {
    "exponential_multistep": "steps: 3, integrand: data, variable: lambda",
    "predictor_corrector": "steps: 2, integrand: data, variable: lambda",
    "exponential_rk": "nodes: [1/2], integrand: noise, variable: lambda",
    "runge_kutta": "tableau: heun2, integrand: velocity, variable: t",
    "linear_multistep": "steps: 2, weights: variable, integrand: noise, variable: rho",
}


@pytest.mark.parametrize("family", INTEGRANDS)
def test_without_noise_it_is_the_deterministic_solver_to_the_bit(family: str, tmp_path: Any) -> None:
    text = spec_text("plain", "kind: flow", "kind: velocity", INTEGRANDS[family], family=family)
    still = text.replace("kind: diffusion", "kind: sde\n  tau: 0")
    assert still != text
    one, other = (written(spec, tmp_path / str(i)) for i, spec in enumerate((text, still)))
    for file in ("coefficients.py", "step_torch.py"):
        bodies = ((solver.folder / file).read_text().split("\n", 2)[2] for solver in (one, other))
        assert len(set(bodies)) == 1
    x = torch.randn((3, 5), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    nodes = one.nodes(6)
    samples = [solver.solver.sample(lambda x, t: torch.sin(x) + t[0], x, nodes=nodes) for solver in (one, other)]
    assert torch.equal(*samples)


@pytest.mark.parametrize("integrand", ["data", "noise"])
def test_the_published_third_order_coefficients_are_refused(integrand: str, tmp_path: Any) -> None:
    method = f"steps: 3, integrand: {integrand}, variable: lambda, weights: {{moments: {{2: phi3}}}}"
    text = spec_text("published_3m", "kind: vp_linear", "kind: noise", method, "claims: {order: 3}\n")
    with pytest.raises(SpecError, match=r"order 3 is not provable: .*moment 2.*residual.*provable order 2"):
        written(text.replace("kind: diffusion", "kind: sde\n  tau: 1"), tmp_path)


def off(row: Any, place: int) -> Any:
    """A row function, or those of a step, with one column times 1 + 1e-9 wherever it is not zero."""
    if isinstance(row, tuple):
        return tuple(off(one, place) for one in row)

    @wraps(row)
    def changed(*args: Any) -> tuple[Any, ...]:
        return tuple(v * (1 + 1e-9) if i == place else v for i, v in enumerate(row(*args)))

    return changed
