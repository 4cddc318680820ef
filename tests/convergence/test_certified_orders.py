"""Every prediction, in every variable, with one to four steps, on random schedules: order k, proved over F_p."""

import random
from fractions import Fraction
from importlib import import_module
from itertools import product
from pkgutil import iter_modules

import pytest
import sympy as sp

from derive.analysis.jet_order import CHARTS, certify_order, jet_problem, weights
from derive.parameters import REQUIRED
from derive.symbolic import alphabet as ab
from derive.symbolic.jets import NotAResidue, P, residue

PREDICTIONS = {
    "noise": (sp.Integer(0), sp.Integer(1)),
    "data": (sp.Integer(1), sp.Integer(0)),
    "v": (-ab.sigma, ab.alpha),
    "velocity": (ab.dalpha, ab.dsigma),
    "score": (sp.Integer(0), -1 / ab.sigma),
    "edm": (
        ab.sigma**2 / sp.sqrt(ab.sigma**2 + sp.Rational(9, 16)) / ab.sigma,
        -sp.Rational(9, 16) / sp.sqrt(ab.sigma**2 + sp.Rational(9, 16)),
    ),
}
VARIABLES = tuple(CHARTS)


def random_schedule(rng: random.Random) -> tuple[sp.Expr, sp.Expr]:
    """alpha, sigma with alpha(0) = sigma(0) = 1 from a small grammar of formulas."""

    def c() -> sp.Rational:
        return sp.Rational(rng.randint(1, 40), rng.randint(1, 20))

    t = ab.t
    shapes = (
        lambda: sp.exp(-(c() * t + c() * t**2)),
        lambda: 1 / (1 + c() * t + c() * t**2),
        lambda: sp.cos(c() * t) - c() * sp.sin(c() * t),
        lambda: sp.sqrt(1 + c() * ab.expm1(-c() * t)),
        lambda: 1 + c() * t - c() * ab.log1p(c() * t**2 + c() * t),
        lambda: (1 + c() * t) ** 3 * sp.exp(sp.sin(c() * t)),
    )
    return rng.choice(shapes)(), rng.choice(shapes)()


COMBINATIONS = tuple(product(PREDICTIONS, VARIABLES))


@pytest.mark.parametrize(("integrand", "variable"), COMBINATIONS)
def test_order_is_exactly_the_number_of_steps(integrand: str, variable: str) -> None:
    names = tuple(PREDICTIONS)
    seed = COMBINATIONS.index((integrand, variable))
    alpha, sigma = random_schedule(random.Random(seed))
    for k in (1, 2, 3, 4):
        network = names[(seed + k) % len(names)]
        found = certify_order(
            alpha, sigma, PREDICTIONS[network], PREDICTIONS[integrand], variable, k, dimension=1 + k % 2, seed=seed
        )
        assert found.order == k, f"{network} -> {integrand} in {variable} on {alpha}, {sigma}"
        assert found.leading and not found.exact, "order k + 1 must be refuted"


@pytest.mark.parametrize(("integrand", "variable"), COMBINATIONS[::5])
def test_a_weight_that_is_off_by_1e_minus_9_loses_all_order(integrand: str, variable: str) -> None:
    alpha, sigma = random_schedule(random.Random(variable))
    off = residue(1 + Fraction(1, 10**9))
    for k, j in ((steps, j) for steps in (1, 2, 3, 4) for j in range(steps)):
        found = certify_order(
            alpha,
            sigma,
            PREDICTIONS["v"],
            PREDICTIONS[integrand],
            variable,
            k,
            seed=k,
            tamper=lambda w, j=j: [x * off if i == j else x for i, x in enumerate(w)],
        )
        assert found.order == 0, f"weight {j} of {k}"


def test_moment_overrides_of_published_solvers() -> None:
    """Midpoint 2M keeps order 2; halving the second moment (published 3M) drops order 3 to 2 and to nothing less."""
    alpha, sigma = random_schedule(random.Random(7))
    phi1, phi3 = sp.symbols("phi1 phi3")

    def order(steps: int, kind: str, moments: dict) -> int:
        pair = PREDICTIONS[kind]
        return certify_order(alpha, sigma, pair, pair, "lambda", steps, moments=moments).order

    for kind in ("data", "noise"):
        assert order(2, kind, {1: phi1 / 2}) == 2
        assert order(2, kind, {1: sp.Rational(1, 2)}) == 2
        assert order(2, kind, {1: sp.Rational(1, 3)}) == 1
        assert order(3, kind, {2: phi3}) == 2
        assert order(3, kind, {2: 2 * phi3}) == 3
        assert order(3, kind, {1: phi1 / 2}) == 2


def test_uniform_grid_in_time_reports_adams_bashforth() -> None:
    """Velocity in t on alpha = 1, sigma = 1 + t is Adams-Bashforth: weights (3/2, -1/2) h."""
    problem = jet_problem(sp.Integer(1), 1 + ab.t, terms=8)
    transition, row = weights(problem, PREDICTIONS["velocity"], ab.t, [0, P - 1])
    assert transition == 1
    assert [w.c[0] for w in row] == [residue(Fraction(3, 2)), residue(Fraction(-1, 2))]
    assert all(w.valuation == 1 and not any(w.c[1:]) for w in row)


def test_same_answer_for_other_problems_and_more_terms() -> None:
    alpha, sigma = random_schedule(random.Random(3))
    noise, data = PREDICTIONS["noise"], PREDICTIONS["data"]
    orders = {
        certify_order(alpha, sigma, noise, data, "lambda", 3, seed=s, terms=n, dimension=d).order
        for s, n, d in product((1, 2), (10, 18), (1, 2, 3))
    }
    assert orders == {3}


def registered(folder: str) -> dict[str, object]:
    """What the modules of a registry folder build by default; a table has no default."""
    names = [m.name for m in iter_modules(import_module(f"derive.{folder}").__path__)]
    modules = {n: import_module(f"derive.{folder}.{n}") for n in names if n != "table"}
    return {
        n: m.build()
        for n, m in modules.items()
        if hasattr(m, "PARAMETERS") and all(f.default is not REQUIRED for f in m.PARAMETERS.values())
    }


SCHEDULES, REGISTERED = registered("schedules"), registered("predictions")


@pytest.mark.parametrize("kind", tuple(SCHEDULES))
def test_every_registered_prediction_on_every_registered_schedule(kind: str) -> None:
    schedule = SCHEDULES[kind]
    for i, (name, prediction) in enumerate(REGISTERED.items()):
        for k in (1, 2, 3):
            pair = (prediction.c0, prediction.c1)
            assert at_some_time(schedule, pair, VARIABLES[(i + k) % 3], k) == k, f"{name}, {k} steps"


def at_some_time(schedule: object, pair: tuple[sp.Expr, sp.Expr], variable: str, steps: int) -> int:
    """The order about a random time at which the square roots of the formulas exist modulo p."""
    rng = random.Random(f"{schedule.kind} {steps}")
    for _ in range(64):
        try:
            return certify_order(
                schedule.alpha,
                schedule.sigma,
                PREDICTIONS["v"],
                pair,
                variable,
                steps,
                start=rng.randrange(P),
                tables=schedule.tables,
                seed=rng.randrange(1000),
            ).order
        except NotAResidue:
            continue
    raise AssertionError("no base time")


def test_registries_are_not_empty() -> None:
    assert len(SCHEDULES) >= 5
    assert len(REGISTERED) >= 6
