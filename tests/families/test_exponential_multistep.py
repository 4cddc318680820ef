"""The family: parameters -> tableau; named variants; refusals."""

import pytest
import sympy as sp
from sympy import QQ

from derive.families.exponential_multistep import PARAMETERS, build
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel, Node, Row, multistep_row, one

AB = alphabet()
DATA = Kernel(QQ(-1))
PHI = {k: sp.Symbol(f"phi{k}") for k in range(1, 9)}
MU = {k: sp.Symbol(f"mu{k}") for k in range(6)}


def test_rows_of_every_order_up_to_steps():
    tableau = build(DATA, 4, "exact", "ramp", "keep")
    assert [len(row.nodes) for row in tableau.rows] == [1, 2, 3, 4]
    assert tableau.steps == 4 and tableau.stages == 1 and tableau.exact_for_constants
    assert all(row.interpolatory for row in tableau.rows)
    assert (
        str(tableau).splitlines()[0]
        == "exponential_multistep, 4 steps, kernel exp(-h*(1 - theta)); start ramp, final keep"
    )


@pytest.mark.parametrize(
    ("name", "moments"),
    [("midpoint", {1: PHI[1] / 2}), ("bh2", {1: PHI[1] / 2}), ("bh1", {1: sp.Rational(1, 2)}), ("exact", {1: PHI[2]})],
)
def test_named_weights_are_moment_overrides(name, moments):
    assert build(DATA, 2, name, "ramp", "keep").main == build(DATA, 2, moments, "ramp", "keep").main


def test_overrides_apply_to_every_row_that_has_the_moment():
    tableau = build(DATA, 3, {1: PHI[1] / 2}, "ramp", "keep")
    assert tableau.rows[0].interpolatory
    assert [row.moments[1] for row in tableau.rows[1:]] == [AB.phi[1] / 2] * 2


def test_what_begins_has_one_order_less():
    """Evaluations of the cheapest one-step scheme of order p - 1: 1, 2, 3."""
    assert [build(DATA, p, "exact", "singlestep", "keep").starter.evaluations for p in (2, 3, 4)] == [1, 2, 3]


def test_moments_in_mu_mean_the_same_for_any_kernel():
    assert build(DATA, 2, {1: MU[0] / 2}, "ramp", "keep").main == build(DATA, 2, {1: PHI[1] / 2}, "ramp", "keep").main
    assert build(Kernel(None), 2, {1: MU[0] / 2}, "ramp", "keep").main.moments[1] == AB.mu[0] / 2
    assert build(DATA, 3, {2: MU[2]}, "ramp", "keep").main.interpolatory


def test_powers_of_phi_are_allowed():
    assert build(DATA, 2, {1: PHI[1] ** 2 / 2}, "ramp", "keep").main.moments[1] == AB.phi[1] ** 2 / 2


@pytest.mark.parametrize("steps", [1, 3, 6])
@pytest.mark.parametrize("name", ["midpoint", "bh1", "bh2"])
def test_named_variants_exist_for_two_steps_only(steps, name):
    with pytest.raises(ValueError, match="defined for 2 steps"):
        build(DATA, steps, name, "ramp", "keep")


def test_refusals():
    with pytest.raises(ValueError, match=r"moment 2 of a row with 2 nodes; allowed: 0 to 1"):
        build(DATA, 2, {2: PHI[3]}, "ramp", "keep")
    with pytest.raises(ValueError, match="moment -1"):
        build(DATA, 2, {-1: PHI[3]}, "ramp", "keep")
    with pytest.raises(ValueError, match="phi3 has no meaning"):
        build(Kernel(None), 3, {2: PHI[3]}, "ramp", "keep")


def test_rows_check_themselves():
    row = multistep_row(2, DATA)
    with pytest.raises(ValueError, match="coincide"):
        Row("twice", (row.nodes[0], row.nodes[0]), row.moments, row.exact, one(), (one(),))
    with pytest.raises(ValueError, match="need as many moments"):
        Row("short", row.nodes, row.moments[:1], row.exact, one(), (one(),))
    assert not build(DATA, 1, "exact", "ramp", "keep").main.nodes[0].index
    assert Node("history", 0, AB.ring.zero).theta == 0


def test_latex_names_every_row():
    text = build(DATA, 3, "exact", "ramp", "keep").latex()
    assert text.count("x_{n+1}") == 3 and r"\varphi_{3}" in text


def test_parameters_say_what_a_spec_may():
    assert (PARAMETERS["steps"].low, PARAMETERS["steps"].high) == (1, 6)
    assert set(PARAMETERS["weights"].words) == {"exact", "midpoint", "bh1", "bh2"}


def test_overrides_are_polynomials_with_rational_coefficients():
    """3/7 phi1 phi2^2 - 2/5 mu1 + 1/3, term by term; mu_1 is phi_2 for an exponential kernel."""
    expr = sp.Rational(3, 7) * PHI[1] * PHI[2] ** 2 - sp.Rational(2, 5) * MU[1] + sp.Rational(1, 3)
    want = AB.phi[1] * AB.phi[2] ** 2 * QQ(3, 7) - AB.phi[2] * QQ(2, 5) + AB.ring(QQ(1, 3))
    assert build(DATA, 2, {1: expr}, "ramp", "keep").main.moments == (AB.phi[1], want)
    general = build(Kernel(None), 2, {1: MU[1] * sp.Rational(3, 4) - MU[5]}, "ramp", "keep").main
    assert general.moments[1] == AB.mu[1] * QQ(3, 4) - AB.mu[5]
    assert build(DATA, 2, {1: sp.Rational(-5, 6)}, "ramp", "keep").main.moments[1] == AB.ring(QQ(-5, 6))
    assert [build(DATA, 2, {1: PHI[8]}, "ramp", "keep").main.moments[1], AB.mu[5]] == [AB.phi[8], AB.ring.gens[13]]


def test_an_override_of_moment_zero_reaches_every_row():
    rows = build(DATA, 3, {0: PHI[2], 2: PHI[3]}, "exact", "denoise").rows
    assert [row.moments for row in rows] == [
        (AB.phi[2],), (AB.phi[2], AB.phi[2]), (AB.phi[2], AB.phi[2], AB.phi[3]),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"moment 3 of a row with 3 nodes; allowed: 0 to 2"):
        build(DATA, 3, {3: PHI[3]}, "ramp", "keep")


def test_what_a_spec_may_write():
    weights = PARAMETERS["weights"]
    assert weights.highest == 5
    assert weights.names == tuple(f"phi{k}" for k in (1, 2, 3, 4, 5, 6, 7, 8)) + tuple(
        f"mu{k}" for k in (0, 1, 2, 3, 4, 5)
    ) + ("z",)
    assert [PARAMETERS[name].default for name in ("variable", "weights", "start", "final")] == [
        "lambda", "exact", "ramp", "lower_order",
    ]  # fmt: skip
