"""Pictures of a page: the numbers they draw against known values, and the SVG they become."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from importlib import import_module
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from sympy import QQ

from derive.measure.compare import Contender, plan_of
from derive.measure.gaussian_law import WIDTHS, relative_w2, w2_curves
from derive.measure.posed import level
from derive.report.figures import SERIES, figure, saved, series, styled
from derive.report.step_numbers import Numbers
from derive.report.svg import inline
from derive.tableau import Kernel, Scheme, multistep_row


def numbers(order, rate=0):
    kernel = Kernel(QQ(rate))
    return Numbers(Scheme((), multistep_row(order, kernel)), kernel.rate)


def test_weights_are_adams_bashforth_where_h_tends_to_0():
    [(name, row)] = numbers(3, rate=-1).rows(np.array([0.0]), Fraction(1))
    assert name == "output" and [v for v, _ in row] == ["F_n", "F_{n-1}", "F_{n-2}"]
    assert [w[0] for _, w in row] == pytest.approx([23 / 12, -16 / 12, 5 / 12], rel=1e-14)


@pytest.mark.parametrize("order, constant", [(1, 1 / 2), (2, 5 / 12), (3, 3 / 8), (4, 251 / 720)])
def test_the_error_constant_tends_to_that_of_the_claims(order, constant):
    found = numbers(order, rate=-1)
    assert found.limiting() == order
    assert found.defect(order, np.array([0.0]), Fraction(1))[0] == pytest.approx(constant, rel=1e-13)
    assert found.defect(order - 1, np.array([0.0, 1.0, 3.0]), Fraction(2)) == pytest.approx(np.zeros(3), abs=1e-13)


def test_the_error_constant_of_ddim_is_phi_2():
    h = np.array([0.5, 1.0, 3.0])
    assert numbers(1, rate=-1).defect(1, h, Fraction(1)) == pytest.approx((np.exp(-h) - 1 + h) / h**2, rel=1e-13)


@pytest.mark.parametrize("nfe", [4, 11])
def test_the_law_of_ddim_is_the_cosine_law(nfe):
    package = import_module("generated.ddim")
    who = Contender("ddim", package.solver, package.CLAIMS)
    calls, errors = relative_w2(who, nfe)
    levels = [level(package.solver.coefficients, t) for t in plan_of(who, nfe).nodes]
    assert calls == nfe
    for c, error in zip(map(float, WIDTHS), errors):
        angles = [math.atan2(c * a, s) for a, s in levels]
        ratio = math.prod(math.cos(b - a) for a, b in pairwise(angles))
        assert error == pytest.approx(1 - ratio, rel=1e-11)


@pytest.mark.parametrize("name", ["sde_dpmpp_1", "ddpm", "flow_euler_ancestral"])
def test_the_law_of_a_stochastic_solver_has_its_noise_in_it(name):
    """Order 1 with tau = 1: x' = (s'/s)^2 (a/a') x + a' (1 - e^{-2h}) x0 and variance s'^2 (1 - e^{-2h})."""
    package = import_module(f"generated.{name}")
    who = Contender(name, package.solver, package.CLAIMS)
    calls, errors = relative_w2(who, 6)
    levels = [level(package.solver.coefficients, t) for t in plan_of(who, 6).nodes]
    assert calls == 6
    for c, error in zip(map(float, WIDTHS), errors):
        a, s = levels[0]
        variance = (c * a) ** 2 + s**2
        for (a, s), (b, r) in pairwise(levels):
            kept = (r / b * a / s) ** 2  # e^{-2h}
            gain = c * c * a / ((c * a) ** 2 + s**2)
            factor = b * (1 - kept) * gain + (r / s * math.sqrt(kept) if r else 0)
            variance = factor**2 * variance + r * r * (1 - kept)
        true = math.hypot(c * b, r)
        assert error == pytest.approx(abs(math.sqrt(variance) / true - 1), rel=1e-9)


def test_a_budget_that_is_refused_is_said():
    package = import_module("generated.ddim")
    who = Contender("ddim", package.solver, package.CLAIMS)
    curves, refused = w2_curves(who, (0, 5))
    assert all(len(curve) == (1 if not refused else len(curve)) for curve in curves.values())
    assert set(curves) == {"0.01", "0.1", "1"}


def drawing():
    with styled():
        made = figure(3, 2)
        panel = made.subplots()
        panel.plot([0, 1], [1, 2], label="a < b", **series(0))
        panel.legend()
    return made


def test_an_inline_picture_says_what_it_shows_and_takes_the_colours_of_the_page():
    root = ElementTree.fromstring(inline(drawing(), "p", "A <title>", "A & description"))
    assert root.tag == "svg" and root.get("role") == "img" and root.get("viewBox") and root.get("width") is None
    assert root.get("aria-labelledby") == "p-title p-desc"
    assert [root[i].text for i in (0, 1)] == ["A <title>", "A & description"]
    text = ElementTree.tostring(root, encoding="unicode")
    assert "var(--s1)" in text and "var(--ink)" in text and SERIES[0] not in text
    names = re.findall(r' id="([^"]+)"', text)
    assert len(names) == len(set(names)) and all(n.startswith("p-") for n in names)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text)) <= set(names)
    assert "xlink" not in text


def test_saved_figures_do_not_depend_on_the_users_settings():
    import matplotlib as mpl

    first = saved(drawing(), "svg")
    with mpl.rc_context({"svg.hashsalt": "other", "svg.fonttype": "none", "savefig.dpi": 33}):
        assert saved(drawing(), "svg") == first
    assert b"<metadata" not in first and b"Date" not in first


def test_many_curves_differ_without_colour():
    looks = {(s["color"], s["marker"], s["linestyle"]) for s in map(series, range(24))}
    assert len(looks) == 24
