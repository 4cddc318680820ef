"""The page's section about noise: there for stochastic solvers, with the proved orders and two maps."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from derive.analysis.noise_claims import prove_stochastic
from derive.analysis.variance_map import variance_map
from derive.report import noise, page
from derive.report.material import Material
from tests.claims.shipped import shipped


def material(name: str) -> Material:
    found = shipped(name)
    return Material(found.derived, found.solver, {}, {}, ())


@pytest.mark.parametrize("name", ["sde_dpmpp_2m", pytest.param("seeds_2", marks=pytest.mark.slow)])
def test_a_stochastic_solver_has_its_orders_and_two_maps(name):
    made = material(name)
    section = noise.build(made)
    assert section is not None
    proof = prove_stochastic(made.derived.tableau, made.derived.problem)
    assert proof is not None
    assert f"Weak order {proof.weak}, strong order {proof.strong}" in section.body
    assert proof.ratio in section.body
    assert all(text in section.body for _, text in proof.leading)
    ElementTree.fromstring(f"<div>{section.body}</div>")
    assert section.body.count("<svg") == 2


def test_the_verdict_is_the_orders_with_noise_and_the_rest_is_the_mean():
    made = material("sa_solver_3")
    line = re.sub(r"<[^>]+>", "", page.verdict(made))
    assert (
        line
        == "Weak order 2 and strong order 1 proved. Its mean: order 4 proved; with its start and last steps order 2 proved."
    )
    proved = re.sub(r"<[^>]+>", " ", page.boxes(made)[0][2][0])
    assert "of a whole run with its noise; the rest of this list is about its mean" in proved


def test_the_map_is_that_of_the_method():
    """At the finest steps the variance is right to second order, whatever tau."""
    run = noise.gaussian_run(material("sde_dpmpp_2m"))
    assert run is not None
    made = variance_map(run, [0.0, 1.0], (32, 64))
    fall = np.abs(made.ratio[:, 0] - 1) / np.abs(made.ratio[:, 1] - 1)
    assert (fall > 2.5).all()


def test_other_solvers_have_no_such_section():
    assert noise.build(material("dpmpp_2m")) is None
