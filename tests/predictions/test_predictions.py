"""Predictions: integrating factors, the one conversion, and what the network is fed."""

from __future__ import annotations

import importlib
import itertools
from fractions import Fraction

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.lookup import names
from derive.predictions import COMMON, Prediction, convert, input_kind, integrating_factor, network_scale, network_time
from derive.schedules import at_schedule, edm, flow, subvp, ve, vp_cosine, vp_linear, vp_scaled_linear
from derive.symbolic.alphabet import alpha, dalpha, dsigma, lam, rho, sigma, t, tabulated
from derive.symbolic.evaluate import evaluate, mpmath_algebra

KINDS = ("noise", "data", "v", "velocity", "score", "edm")
WIDE = mpmath_algebra(200)


def prediction(kind: str, **parameters) -> Prediction:
    return importlib.import_module(f"derive.predictions.{kind}").build(**parameters)


QUANTITIES = {kind: prediction(kind) for kind in KINDS} | {
    "edm_unit": prediction("edm", sigma_data=Fraction(1)),
    "linear_v": prediction("linear", x0=-sigma, eps=alpha),
    "linear_mixed": prediction("linear", x0=alpha + 2 * sigma, eps=sigma - 3 * alpha),
    "linear_ratio": prediction("linear", x0=-rho, eps=sp.Integer(2)),
}
every = pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)


def test_every_prediction_of_the_folder_is_tested():
    assert set(names("derive.predictions")) == {*KINDS, "linear", "consistency", "drift"}


@pytest.mark.parametrize("kind", [*KINDS, "linear", "consistency", "drift"])
def test_module_declares_its_parameters_and_source(kind):
    module = importlib.import_module(f"derive.predictions.{kind}")
    assert "arXiv" in module.REFERENCE
    assert set(COMMON) <= set(module.PARAMETERS)
    if kind != "linear":
        assert module.build(**{k: f.default for k, f in module.PARAMETERS.items()}) == module.build()


def abstract(expr: sp.Expr) -> sp.Expr:
    """The expression on a path alpha(t), sigma(t) about which nothing is known."""
    a, b = (sp.Function(name, positive=True)(t) for name in ("alpha", "sigma"))
    return expr.subs({rho: sigma / alpha}).subs({dalpha: a.diff(t), dsigma: b.diff(t), alpha: a, sigma: b})


@every
def test_parameterization_lemma(quantity):
    """G'/G = (alpha' c1 - sigma' c0)/(alpha c1 - sigma c0) for every path, as a symbolic zero test."""
    assert quantity.factor is not None
    growth = sp.diff(sp.log(abstract(quantity.factor)), t)
    c0, c1 = quantity.c0, quantity.c1
    drift = abstract((dalpha * c1 - dsigma * c0) / (alpha * c1 - sigma * c0))
    assert sp.simplify(growth - drift) == 0


@every
def test_the_equation_it_belongs_to(quantity):
    """x' = A x + B N is an identity in x0 and eps for x = alpha x0 + sigma eps and N = c0 x0 + c1 eps."""
    x0, eps = sp.symbols("x0 eps")
    c0, c1 = quantity.c0, quantity.c1
    determinant = alpha * c1 - sigma * c0
    drift, speed = (dalpha * c1 - dsigma * c0) / determinant, (alpha * dsigma - sigma * dalpha) / determinant
    residual = drift * (alpha * x0 + sigma * eps) + speed * (c0 * x0 + c1 * eps) - dalpha * x0 - dsigma * eps
    assert sp.simplify(residual.subs(rho, sigma / alpha)) == 0


@every
def test_the_general_integral_gives_the_declared_factor(quantity):
    """alpha exp(-int c0/(c1 - rho c0) drho) is the factor up to a constant, wherever it applies."""
    derived = integrating_factor(quantity.c0, quantity.c1)
    if quantity.kind == "velocity":
        assert derived is None
        return
    ratio = sp.diff(sp.log((derived / quantity.factor).subs(sigma, rho * alpha)), rho)
    assert sp.simplify(ratio) == 0


def test_the_whole_drift():
    """f x - (1 + tau^2) g^2/2 score with f = alpha'/alpha, g^2 = 2 sigma (sigma' - f sigma); the velocity for tau = 0."""
    tau = sp.Symbol("tau")
    found, rate = prediction("drift", tau=tau), dalpha / alpha
    intensity = 2 * sigma * (dsigma - rate * sigma)
    want = (rate * alpha, rate * sigma + (1 + tau**2) * intensity / (2 * sigma))
    assert [sp.cancel(a - b) for a, b in zip((found.c0, found.c1), want, strict=True)] == [0, 0]
    still = prediction("drift", tau=sp.Integer(0))
    assert (still.c0, still.c1, still.factor) == (dalpha, dsigma, 1)


@every
def test_conversion_to_itself_is_exactly_the_identity(quantity):
    assert convert(quantity, quantity) == (0, 1)


@pytest.mark.parametrize(("source", "target"), [*itertools.permutations(QUANTITIES, 2)])
def test_conversion_reproduces_the_target(source, target):
    """cx x + cr N = F for all x0 and eps, at a random point of the path (exact rationals; square roots in 200 bits)."""
    cx, cr = convert(QUANTITIES[source], QUANTITIES[target])
    names = {alpha: 3, sigma: Fraction(7, 5), dalpha: Fraction(-2, 3), dsigma: Fraction(11, 9)}
    at = {k: WIDE.number(v) for k, v in names.items()} | {rho: WIDE.number(Fraction(7, 15))}
    pairs = ((k.c0, k.c1) for k in (QUANTITIES[source], QUANTITIES[target]))
    (c0, c1), (p, q) = ([evaluate(c, at, WIDE) for c in pair] for pair in pairs)
    x, r = (evaluate(c, at, WIDE) for c in (cx, cr))
    assert abs(x * at[alpha] + r * c0 - p) < 1e-50
    assert abs(x * at[sigma] + r * c1 - q) < 1e-50


@pytest.mark.parametrize(
    ("a", "b", "c"), [*itertools.permutations(("noise", "data", "v", "velocity", "score", "edm"), 3)]
)
def test_conversions_compose(a, b, c):
    """Metamorphic: a -> b -> c is a -> c."""
    first, second, direct = (convert(QUANTITIES[i], QUANTITIES[j]) for i, j in ((a, b), (b, c), (a, c)))
    composed = second[0] + second[1] * first[0], second[1] * first[1]
    assert [sp.factor(x - y) for x, y in zip(composed, direct, strict=True)] == [0, 0]


def test_conversions_of_the_literature():
    """eps -> x0, v -> x0 (VP), score -> eps, velocity -> x0 on the straight path, F of EDM -> D."""
    q = QUANTITIES
    assert convert(q["noise"], q["data"]) == (1 / alpha, -sigma / alpha)
    assert [at_schedule(c, vp_linear.build()) for c in convert(q["v"], q["data"])] == [
        vp_linear.build().alpha, -vp_linear.build().sigma,
    ]  # fmt: skip
    assert convert(q["score"], q["noise"]) == (0, -sigma)
    assert [at_schedule(c, flow.build()) for c in convert(q["velocity"], q["data"])] == [1, -t]
    assert [at_schedule(c, flow.build()) for c in convert(q["velocity"], q["noise"])] == [1, 1 - t]
    skip, out = (at_schedule(c, edm.build()) for c in convert(q["edm"], q["data"]))
    spread = t**2 + sp.Rational(1, 4)
    assert sp.simplify(skip - sp.Rational(1, 4) / spread) == 0
    assert sp.simplify(out - t / 2 / sp.sqrt(spread)) == 0


@pytest.mark.parametrize(
    "built",
    [*(m.build() for m in (vp_linear, vp_cosine, subvp, flow, vp_scaled_linear)), vp_scaled_linear.build(steps=3)],
    ids=["vp_linear", "vp_cosine", "subvp", "flow", "stable_diffusion", "kinks"],
)
@pytest.mark.parametrize("kind", ["v", "velocity", "edm", "data"])
def test_data_is_the_state_where_sigma_vanishes(kind, built):
    """At sigma = 0 the data prediction is x, whatever the network returns: a finite limit without a special case."""
    cx, cr = (at_schedule(c, built) for c in convert(QUANTITIES[kind], QUANTITIES["data"]))
    end = {t: WIDE.number(built.data)}
    if kind == "data":
        assert (cx, cr) == (0, 1)
    else:
        assert abs(evaluate(cx, end, WIDE, built.tables) - 1) < 1e-55
        assert evaluate(cr, end, WIDE, built.tables) == 0


@pytest.mark.parametrize("kind", ["data", "v", "edm", "velocity"])
def test_noise_is_the_state_where_alpha_vanishes(kind):
    """At alpha = 0 the noise is x: finite for everything but a noise prediction's own inverse."""
    cx, cr = (at_schedule(c, flow.build()).subs(t, 1) for c in convert(QUANTITIES[kind], QUANTITIES["noise"]))
    assert (cx, cr) == (1, 0)


def test_a_quantity_proportional_to_x_is_refused():
    with pytest.raises(ValueError, match="proportional"):
        prediction("linear", x0=2 * alpha, eps=2 * sigma)
    with pytest.raises(ValueError, match="proportional to x"):
        convert(Prediction("state", alpha, sigma), QUANTITIES["data"])


def test_factors_that_are_not_elementary_are_left_out():
    assert integrating_factor(sp.exp(rho), sp.Integer(1)) is None
    assert integrating_factor(t, sp.Integer(1)) is None
    assert prediction("linear", x0=lam, eps=sp.Integer(1)).factor is None
    assert integrating_factor(alpha, sigma) is None


fractions = st.fractions(min_value=-3, max_value=3, max_denominator=5)
rationals = fractions.map(lambda f: sp.Rational(f.numerator, f.denominator))


@settings(max_examples=20)
@given(rationals, rationals, rationals, rationals)
def test_factor_of_any_homogeneous_quantity(a, b, c, d):
    """Whenever a closed form is returned it satisfies the lemma: x0: a alpha + b sigma, eps: c alpha + d sigma."""
    x0, eps = a * alpha + b * sigma, c * alpha + d * sigma
    if sp.expand(alpha * eps - sigma * x0) == 0:
        return
    factor = integrating_factor(x0, eps)
    if factor is None:
        return
    # alpha (log G)' = 1 along rho = const, and d log G/d rho = -c0/(c1 - rho c0)
    rate = (x0 / (eps - rho * x0)).subs(sigma, rho * alpha)
    at = {rho: WIDE.number(Fraction(13, 7)), alpha: WIDE.number(2)}
    growth = sp.diff(sp.log(factor), rho)
    assert abs(evaluate(growth, at, WIDE) + evaluate(rate, at, WIDE)) < 1e-45
    assert alpha not in (factor / alpha).free_symbols


@pytest.mark.parametrize(
    ("network", "path", "kind", "time"),
    [
        ({}, vp_scaled_linear.build(), "index", t),
        ({}, vp_linear.build(), "time", t),
        ({"time_scale": Fraction(1000)}, flow.build(), "time", 1000 * t),
        ({}, edm.build(), "sigma", t),
        ({}, ve.build(), "sigma", ve.build().sigma),
        ({"input": "c_noise"}, edm.build(), "c_noise", sp.log(t) / 4),
        ({"input": "log_snr"}, flow.build(), "log_snr", -2 * sp.log(t / (1 - t))),
        ({"input": "sigma"}, vp_linear.build(), "sigma", vp_linear.build().rho),
        ({"input": "time"}, vp_scaled_linear.build(), "time", t),
    ],
)
def test_what_the_network_is_fed(network, path, kind, time):
    fed = prediction("noise", **network).network
    assert input_kind(fed, path) == kind
    assert network_time(fed, path) == time
    assert not network_time(fed, path).has(tabulated)


def test_an_index_needs_a_table():
    with pytest.raises(ValueError, match="input is index, but flow is continuous"):
        network_time(prediction("noise", input="index").network, flow.build())
    with pytest.raises(ValueError, match="inner_input is level_index, but flow is continuous"):
        network_time(prediction("noise", inner_input="level_index").network, flow.build())
    with pytest.raises(ValueError, match="inner_input is index beside input time; allowed: an input that is an index"):
        network_time(prediction("noise", input="time", inner_input="index").network, vp_scaled_linear.build())


def test_input_scale_gives_unit_variance():
    """c_in = 1/sqrt(alpha^2 sigma_data^2 + sigma^2)."""
    assert network_scale(prediction("noise").network) is None
    assert network_scale(prediction("edm", input_scale="edm").network) == 1 / sp.sqrt(alpha**2 / 4 + sigma**2)
    assert network_scale(prediction("noise", input_scale="karras").network) == 1 / sp.sqrt(alpha**2 + sigma**2)
