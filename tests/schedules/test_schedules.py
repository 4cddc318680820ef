"""Schedules: their identities, their exact ends, and differences of log alpha and lambda to the last bits."""

from __future__ import annotations

import importlib
import math
from fractions import Fraction
from itertools import pairwise

import pytest
import sympy as sp

from derive.lookup import names
from derive.parameters import REQUIRED
from derive.schedules import Schedule, at_schedule
from derive.symbolic import alphabet as ab
from derive.symbolic.alphabet import expm1, s, t
from derive.symbolic.evaluate import evaluate, mpmath_algebra

WIDE = mpmath_algebra(600)
REAL = mpmath_algebra(320)
MP = WIDE.context


def schedule(kind: str, **parameters) -> Schedule:
    return importlib.import_module(f"derive.schedules.{kind}").build(**parameters)


COSINE = {"alpha": sp.cos(sp.pi * t / 2), "sigma": sp.sin(sp.pi * t / 2), "t": (Fraction(1), Fraction(0))}
DECAY = {"alpha": sp.exp(-t), "sigma": sp.sqrt(1 - sp.exp(-2 * t)), "t": (Fraction(5), Fraction(0))}
RISING = {"alpha": t, "sigma": 1 - t, "t": (Fraction(0), Fraction(1))}
SIGMAS = tuple(Fraction(i * i + 1, 100) for i in range(64))

ALL = {
    "vp_linear": ("vp_linear", {}),
    "vp_linear_table": ("vp_linear", {"steps": 1000}),
    "vp_scaled_linear": ("vp_scaled_linear", {}),
    "vp_cosine": ("vp_cosine", {}),
    "subvp": ("subvp", {}),
    "interpolant": ("interpolant", {}),
    "interpolant_trig": ("interpolant", {"path": "trig"}),
    "interpolant_decoding": ("interpolant", {"path": "encoding_decoding"}),
    "kinetic": ("kinetic", {}),
    "kinetic_curved": ("kinetic", {"separation": (1 + 2 * s**2) / (2 + 2 * s**2)}),
    "kinetic_roots": ("kinetic", {"separation": 2 * s**2 / (1 + 2 * s**2)}),
    "mean_reverting": ("mean_reverting", {"sigma_inf": Fraction(10, 255)}),
    "mean_reverting_cosine": ("mean_reverting", {"theta": "cosine", "sigma_inf": Fraction(3)}),
    "mean_reverting_square": ("mean_reverting", {"theta": "cosine", "offset": Fraction(0)}),
    "ve": ("ve", {}),
    "edm": ("edm", {}),
    "edm_to_zero": ("edm", {"sigma_min": Fraction(0)}),
    "flow": ("flow", {}),
    "flow_shifted": ("flow", {"shift": Fraction(3)}),
    "table_sigmas": ("table", {"sigmas": SIGMAS}),
    "table_kinks": ("table", {"alphas_cumprod": tuple(map(Fraction, ("0.9", "0.5", "0.4", "0.1", "0.09")))}),
    "expression_cosine": ("expression", COSINE),
    "expression_decay": ("expression", DECAY),
    "expression_rising": ("expression", RISING),
}
SCHEDULES = {name: schedule(kind, **parameters) for name, (kind, parameters) in ALL.items()}

every = pytest.mark.parametrize("path", SCHEDULES.values(), ids=SCHEDULES)


def value(expr: sp.Expr, path: Schedule, algebra=WIDE, **times):
    symbols = {"t": t, "s": s, "rho": ab.rho, "u": ab.u}
    known = {symbols[k]: algebra.number(v) for k, v in times.items()}
    return evaluate(expr, known, algebra, path.tables)


def inside(path: Schedule, count: int = 7) -> list[Fraction]:
    """Times strictly inside, from noise to data."""
    noise, data = (Fraction(int(x.p), int(x.q)) for x in (path.noise, path.data))
    return [noise + (data - noise) * Fraction(i, count + 1) for i in range(1, count + 1)]


def close(a, b, bits: int = 550) -> bool:
    return abs(a - b) <= abs(b) * MP.mpf(2) ** -bits


def ulps(got: float, exact) -> float:
    return float(abs(MP.mpf(got) - exact)) / math.ulp(float(exact))


def test_every_schedule_of_the_folder_is_tested():
    assert {kind for kind, _ in ALL.values()} == set(names("derive.schedules"))


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in ALL.values()}))
def test_module_declares_its_parameters_and_source(kind):
    module = importlib.import_module(f"derive.schedules.{kind}")
    assert "arXiv" in module.REFERENCE
    defaults = {k: f.default for k, f in module.PARAMETERS.items()}
    if kind not in ("expression", "table"):
        assert module.build(**defaults) == module.build()
    assert all(f.doc for f in module.PARAMETERS.values())
    assert all(d is REQUIRED for d in defaults.values()) == (kind == "expression")


@every
def test_fields_agree_with_each_other(path):
    """rho = sigma/alpha, log_alpha = log alpha, and both differences, against plain differences at 600 bits."""
    times = inside(path)
    for before, after in pairwise(times):
        a, r = value(path.alpha, path, t=after), value(path.rho, path, t=after)
        assert close(value(path.sigma, path, t=after), a * r)
        assert close(MP.exp(value(path.log_alpha, path, t=after)), a)
        plain = MP.log(value(path.rho, path, t=before)) - MP.log(r)
        assert close(value(path.dlambda, path, t=after, s=before), plain, 500)
        plain = MP.log(a) - MP.log(value(path.alpha, path, t=before))
        assert close(value(path.dlog_alpha, path, t=after, s=before), plain, 500)
        assert value(path.dlambda, path, t=after, s=before) > 0


@every
def test_invariant_and_inverse_are_identities(path):
    for time in inside(path):
        r = value(path.rho, path, t=time)
        if path.invariant is not None:
            assert close(evaluate(path.invariant, {ab.rho: r}, WIDE), value(path.alpha, path, t=time))
        if path.t_of_rho is not None:
            assert close(evaluate(path.t_of_rho, {ab.rho: r}, WIDE), WIDE.number(time))
        if path.inverse is not None:
            assert close(evaluate(path.inverse, {ab.rho: r}, WIDE), WIDE.number(time))


@every
def test_ends_are_exact(path):
    """alpha = 0 and sigma = 0 exactly where the schedule says so, by substitution and in 320 bits; nowhere else."""
    for end, name, vanishing, staying in (
        (path.noise, path.noise_end, path.alpha, path.sigma),
        (path.data, path.data_end, path.sigma, path.alpha),
    ):
        gone = name in ("alpha_zero", "sigma_zero")
        number = value(vanishing, path, REAL, t=end)
        assert (number == 0) == gone
        assert value(staying, path, REAL, t=end) > 0
        if not path.tables:
            assert (vanishing.subs(t, end) == 0) == gone
    if path.data_end == "sigma_zero":
        assert value(path.rho, path, REAL, t=path.data) == 0


@every
@pytest.mark.parametrize("gap", [1e-6, 1e-9, 1e-12])
def test_differences_keep_their_digits_in_320_bits(path, gap):
    """Rounded to float64 from 320 bits: within an ulp of 600-bit arithmetic, next to and far from each other."""
    for before in map(float, inside(path, 5)):
        after = before + (float(path.data) - before) * gap
        exact = MP.log(value(path.rho, path, t=before)) - MP.log(value(path.rho, path, t=after))
        assert ulps(float(value(path.dlambda, path, REAL, t=after, s=before)), exact) <= 0.5001


class Float64:
    """Plain float64 arithmetic, to see whether a formula cancels."""

    number = staticmethod(float)
    exp, log, sin, cos, expm1, log1p = map(
        staticmethod, (math.exp, math.log, math.sin, math.cos, math.expm1, math.log1p)
    )

    def pi(self):
        return math.pi

    def add(self, *values):
        return math.fsum(values)

    def mul(self, *values):
        return math.prod(values)

    def pow(self, base, exponent):
        return base ** float(exponent)


SMOOTH = ("vp_linear", "flow", "subvp", "edm", "ve", "expression_decay", "expression_rising")


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize(("before", "gap"), [(0.999, 1e-12), (1e-3, 1e-9), (0.5, 1e-13), (0.3, 1e-3)])
def test_lambda_differences_do_not_cancel_in_plain_float64(name, before, gap):
    """Two cases in which a difference of logarithms loses up to 10 digits, and two more: a few ulp in float64."""
    path = SCHEDULES[name]
    after = before - gap if path.noise > path.data else before + gap
    exact = MP.log(value(path.rho, path, t=before)) - MP.log(value(path.rho, path, t=after))
    formula = evaluate(path.dlambda, {t: after, s: before}, Float64())
    assert ulps(formula, exact) <= 6


def test_the_published_cases_of_lambda_differences():
    """VP linear, s = 0.999 with dt = 1e-12, and s = 0.001 with dt = 1e-9: plain differences lose 6 to 9 digits."""
    path = SCHEDULES["vp_linear"]
    for before, gap, worst in ((0.999, 1e-12, 1e-7), (1e-3, 1e-9, 1e-10)):
        after = before - gap
        exact = MP.log(value(path.rho, path, t=before)) - MP.log(value(path.rho, path, t=after))
        naive = evaluate(sp.log(path.rho), {t: before}, Float64()) - evaluate(sp.log(path.rho), {t: after}, Float64())
        assert abs(naive / float(exact) - 1) > worst
        assert ulps(evaluate(path.dlambda, {t: after, s: before}, Float64()), exact) <= 2
        assert ulps(float(value(path.dlambda, path, REAL, t=after, s=before)), exact) <= 0.5001


def test_vp_identity_and_closed_forms():
    """alpha^2 + sigma^2 = 1 (VP), alpha + sigma = 1 (flow), sigma = 1 - alpha^2 (subVP), alpha = 1 (VE)."""

    def plain(g):
        return sp.exp(g) - 1

    vp = SCHEDULES["vp_linear"]
    assert sp.expand((vp.alpha**2 + vp.sigma**2).replace(expm1, plain)) == 1
    beta = sp.Rational(1, 10) + t * (20 - sp.Rational(1, 10))
    assert sp.expand(sp.diff(vp.log_alpha, t) + beta / 2) == 0
    assert vp.log_alpha.subs(t, 0) == 0
    sub = SCHEDULES["subvp"]
    assert sp.expand((sub.sigma + sub.alpha**2).replace(expm1, plain)) == 1
    flow = SCHEDULES["flow"]
    assert flow.alpha + flow.sigma == 1
    assert SCHEDULES["ve"].alpha == 1
    assert [SCHEDULES["ve"].sigma.subs(t, x) for x in (0, 1)] == [sp.Rational(1, 100), 50]
    for time in inside(SCHEDULES["vp_cosine"]):
        a, b = (value(f, SCHEDULES["vp_cosine"], t=time) for f in (vp_cosine_alpha(), SCHEDULES["vp_cosine"].sigma))
        assert close(a, value(SCHEDULES["vp_cosine"].alpha, SCHEDULES["vp_cosine"], t=time))
        assert close(a**2 + b**2, MP.mpf(1))


def vp_cosine_alpha() -> sp.Expr:
    """The cosine schedule as its paper writes it."""
    offset = sp.Rational(8, 1000)
    return sp.cos((t + offset) / (1 + offset) * sp.pi / 2) / sp.cos(offset / (1 + offset) * sp.pi / 2)


def test_flow_shift_is_a_warp_with_fixed_ends_and_a_shift_of_lambda():
    path, three = SCHEDULES["flow_shifted"], sp.Integer(3)
    assert path.warp == three * ab.u / (1 + 2 * ab.u)
    assert [path.warp.subs(ab.u, x) for x in (0, 1)] == [0, 1]
    ratio = sp.cancel(path.rho.subs(t, path.warp) / path.rho.subs(t, ab.u))
    assert ratio == three
    assert schedule("flow").warp is None


def test_at_schedule_is_finite_where_only_the_formula_is_singular():
    """sigma' is infinite at the data end of VP, sigma sigma' is not."""
    path = SCHEDULES["vp_linear"]
    speed = at_schedule(ab.sigma * ab.dsigma, path)
    assert speed.subs(t, 0) == sp.Rational(1, 20)
    assert at_schedule(ab.dsigma / (ab.alpha * ab.dsigma - ab.sigma * ab.dalpha), path).subs(t, 0) == 1
    assert at_schedule(ab.alpha**2 + ab.sigma**2, path) == 1
    assert at_schedule(1 / (ab.alpha + ab.sigma), SCHEDULES["flow"]) == 1
    assert at_schedule(ab.lam, SCHEDULES["edm"]) == -sp.log(t)


def test_discrete_rates_are_divided_by_the_number_of_steps():
    """beta 0.1 .. 20 over 1000 steps is the DDPM table 0.0001 .. 0.02."""
    explicit = schedule("vp_linear", beta_start=Fraction(1, 10000), beta_end=Fraction(2, 100), steps=1000)
    assert explicit == SCHEDULES["vp_linear_table"]


@pytest.mark.parametrize(("name", "offset"), [("mean_reverting_cosine", "1/125"), ("mean_reverting_square", "0")])
def test_the_rate_of_a_cosine_path_is_the_published_one(name, offset):
    """-(log alpha)' is 1 - cos^2(c (t + s))/cos^2(c s), c = pi/(2 (1 + s)), up to the factor that makes alpha(1) = end."""
    path, shift = SCHEDULES[name], sp.Rational(offset)
    c = sp.pi / (2 * (1 + shift))
    rate = 1 - sp.cos(c * (t + shift)) ** 2 / sp.cos(c * shift) ** 2
    ratios = [value(sp.diff(path.log_alpha, t) / rate, path, t=time) for time in inside(path)]
    assert all(close(ratio, ratios[0], 500) for ratio in ratios)
    assert close(value(path.alpha, path, t=1), MP.mpf(1) / 200)


@pytest.mark.parametrize(("name", "square"), [("mean_reverting", (10, 255)), ("mean_reverting_cosine", (3, 1))])
def test_a_mean_reverting_path_has_the_stationary_scale(name, square):
    """g^2 = (sigma^2)' - 2 (log alpha)' sigma^2 = -2 (log alpha)' sigma_inf^2."""
    path = SCHEDULES[name]
    slope = sp.diff(path.log_alpha, t)
    g2 = sp.diff(path.sigma**2, t) - 2 * slope * path.sigma**2
    for time in inside(path):
        assert close(value(g2 / (-2 * slope), path, t=time), (MP.mpf(square[0]) / square[1]) ** 2, 500)


BAD = [
    ("interpolant", {"path": "mirror"}, "path is mirror; allowed: linear, trig, encoding_decoding"),
    ("mean_reverting", {"sigma_inf": Fraction(0)}, "sigma_inf is 0; allowed: above 0"),
    ("mean_reverting", {"end": Fraction(1)}, "end is 1; allowed: above 0 and below 1"),
    ("mean_reverting", {"offset": Fraction(2)}, "offset is 2; allowed: 0 to 1"),
    ("vp_linear", {"beta_start": Fraction(3), "beta_end": Fraction(2)}, "beta_start is 3 and beta_end 2"),
    ("vp_linear", {"steps": 1}, "steps is 1; allowed: 2 to 4096"),
    ("vp_linear", {"steps": 10}, "beta_end is 20 for 10 steps; allowed: less than 1 per step"),
    ("vp_scaled_linear", {"beta_end": Fraction(1)}, "allowed: 0 < start <= end < 1"),
    ("vp_scaled_linear", {"steps": 5000}, "steps is 5000"),
    ("vp_cosine", {"offset": Fraction(-1)}, "offset is -1; allowed: 0 to 1"),
    ("subvp", {"beta_start": Fraction(0)}, "allowed: 0 < beta_start"),
    ("ve", {"sigma_min": Fraction(50)}, "allowed: 0 < sigma_min < sigma_max"),
    ("edm", {"sigma_max": Fraction(0)}, "allowed: 0 <= sigma_min < sigma_max"),
    ("flow", {"shift": Fraction(0)}, "shift is 0; allowed: above 0"),
]


@pytest.mark.parametrize(("kind", "parameters", "message"), BAD)
def test_bad_parameters_are_refused_with_one_line(kind, parameters, message):
    with pytest.raises(ValueError) as caught:
        schedule(kind, **parameters)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
