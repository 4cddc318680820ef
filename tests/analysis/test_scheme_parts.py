"""The parts of the proofs of schemes on jets: the network, phi_0 among the moments, predictors of low order, typed rows."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from sympy import QQ

from derive.analysis.jet_order import Modes
from derive.analysis.jet_scheme import SchemeOrder, certify_scheme
from derive.analysis.numbers import Oracle
from derive.analysis.proof import prove_scheme
from derive.pipeline import derive
from derive.spec import read_spec_text
from derive.symbolic.forms import ONE, Form, constant, phi
from derive.symbolic.jet_algebra import JetAlgebra
from derive.symbolic.jets import Jet, P
from derive.symbolic.moments import alphabet, exact_moments
from derive.tableau import Kernel, Node, Row, Scheme, multistep_row

AB = alphabet()
HALF = QQ(1, 2)
NUDGE = QQ(10**9 + 1, 10**9)


def test_the_network_is_a_sum_of_exponentials() -> None:
    """F_i(y, tau) = sum_r C_ir exp(A_r . y + B_r tau), its numbers drawn in the order A, B, C."""
    algebra, rng = JetAlgebra(8), random.Random(3)
    network = Modes.random(2, 2, rng)
    again = random.Random(3)
    numbers = [again.randrange(1, P) for _ in range(10)]
    assert network.inner == (tuple(numbers[0:2]), tuple(numbers[2:4])) and network.drift == tuple(numbers[4:6])
    assert network.outer == (tuple(numbers[6:8]), tuple(numbers[8:10]))
    y = tuple(Jet(0, [rng.randrange(1, P) for _ in range(8)]) for _ in range(2))
    tau = Jet.variable(8)
    modes = [
        algebra.exp(y[0] * a[0] + y[1] * a[1] + tau * b) for a, b in zip(network.inner, network.drift, strict=True)
    ]
    for found, row in zip(network(algebra, y, tau), network.outer, strict=True):
        assert found == modes[0] * row[0] + modes[1] * row[1]


@pytest.mark.parametrize("rate", [QQ(0), QQ(1), QQ(-2, 3)])
def test_phi_0_as_a_moment(rate: object) -> None:
    """The exponential of the step times F_n (Lawson-Euler) is consistent; that times 1 + 1e-9 is not."""
    kernel = Kernel(rate)
    assert certify_scheme(Scheme((), multistep_row(1, kernel, {0: AB.phi[0]})), rate).order == 1
    assert certify_scheme(Scheme((), multistep_row(1, kernel, {0: AB.phi[0] * NUDGE})), rate).order == 0


@pytest.mark.parametrize("k", range(1, 4))
def test_phi_k_as_a_moment(k: int) -> None:
    """mt_0 = k! phi_k is 1 + O(h): consistent."""
    one = AB.ring(QQ({1: 1, 2: 2, 3: 6}[k]))
    for factor, order in ((one, 1), (one * NUDGE, 0)):
        row = multistep_row(1, Kernel(QQ(1)), {0: AB.phi[k] * factor})
        assert certify_scheme(Scheme((), row), QQ(1)).order == order


def corrector(steps: int) -> Row:
    exact = exact_moments(steps + 2, True)
    nodes = (Node("stage", 1, AB.ring.one), *multistep_row(steps, Kernel(QQ(1))).nodes)
    return Row("corrector", nodes, exact[: steps + 1], exact)


@pytest.mark.parametrize(("predictor", "steps", "order"), [(1, 3, 2), (2, 3, 3), (3, 3, 4), (1, 1, 2), (3, 1, 2)])
def test_a_corrector_gains_one_order_on_its_predictor(predictor: int, steps: int, order: int) -> None:
    scheme = Scheme((), multistep_row(predictor, Kernel(QQ(1))), corrector(steps))
    proof = prove_scheme(scheme, Kernel(QQ(1)))
    assert (proof.order, proof.uniform, proof.stiff_order, proof.predictor) == (order, order, order, predictor)
    low = predictor + 1 < steps + 1
    assert proof.limiting.startswith(f"the predictor has order {predictor}: ") is low
    assert certify_scheme(scheme, QQ(1)) == SchemeOrder(order, predictor)


VP = """name: tried
problem:
  kind: diffusion
  schedule: {kind: vp_linear}
  prediction: {kind: noise}
method: {family: exponential_rk, nodes: [1/3, 2/3], integrand: noise, variable: lambda}
backends: [torch]
"""


def test_typed_rows_mean_the_same_for_a_kernel_that_is_known_by_its_moments() -> None:
    """Weights q phi_k(c z) with k >= 1 as moments of the row's own span, and constants as the kernel at the node."""
    derived = derive(read_spec_text(VP))
    first, second = Node("history", 0, QQ(0)), Node("stage", 1, HALF)
    stage = Row("stage", (first,), (), (), HALF, given=(phi(1, HALF, HALF),))
    output = Row("output", (first, second), (), (), ONE, given=(phi(1) - phi(2) * 2 + phi(3) * 5, phi(2, ONE, QQ(2))))
    scheme = Scheme((stage,), output)
    tableau = replace(derived.tableau, schemes=(scheme,))
    closed = Oracle(tableau, derived.problem)
    general = Oracle(tableau, replace(derived.problem, kernel=Kernel(None), prefactor=None))
    times = [0.25, 0.5]
    rows = [oracle.calls(scheme, times) for oracle in (closed, general)]
    for a, b in zip(*rows, strict=True):
        assert set(a) == set(b) and all(abs(a[name] - b[name]) < 1e-38 for name in a)
    refused = replace(output, given=(phi(1, HALF), constant(ONE)))
    with pytest.raises(ValueError, match="has no meaning for a kernel that is not exponential"):
        general.calls(Scheme((stage,), refused), times)


def test_a_sampled_kernel_is_the_exponential_where_it_is_one() -> None:
    """Lawson's weights e^{(end - theta) z} q are the kernel at the node, whether it is written down or sampled."""
    derived = derive(read_spec_text(VP))
    first, second = Node("history", 0, QQ(0)), Node("stage", 1, HALF)
    stage = Row("stage", (first,), (), (), HALF, given=(phi(0, HALF, HALF),))
    output = Row("output", (first, second), (), (), ONE, given=(phi(0, ONE, QQ(1, 4)), phi(0, HALF, QQ(3, 4))))
    scheme = Scheme((stage,), output)
    tableau = replace(derived.tableau, schemes=(scheme,))
    closed = Oracle(tableau, derived.problem)
    general = Oracle(tableau, replace(derived.problem, kernel=Kernel(None), prefactor=None))
    for a, b in zip(*(oracle.calls(scheme, [0.25, 0.5]) for oracle in (closed, general)), strict=True):
        assert set(a) == set(b) and all(abs(a[name] - b[name]) < 1e-38 for name in a)
    assert Form() not in output.given


@pytest.mark.parametrize("steps", [1, 3])
def test_a_factor_without_a_closed_form_is_propagated(steps: int) -> None:
    """Phi by quadrature of the drift, forwards, and moments that carry it: the rows of the closed factor."""
    derived = derive(read_spec_text(VP))
    problem = replace(derived.problem, kernel=Kernel(None), prefactor=None)
    assert problem.factor is not None
    scheme = Scheme((), multistep_row(steps, Kernel(None)))
    tableau = replace(derived.tableau, schemes=(scheme,))
    known = Oracle(tableau, problem, 30)
    found = Oracle(tableau, replace(problem, factor=None, weight=problem.weight * problem.factor), 30)
    times = [0.25, 0.5, 0.75, 0.875][: steps + 1]
    (a,), (b,) = known.calls(scheme, times), found.calls(scheme, times)
    assert set(a) == set(b) and all(abs(a[name] / b[name] - 1) < 1e-24 for name in a if a[name])
    assert abs(found._factor(times[1], times[0]) * found._factor(times[0], times[1]) - 1) < 1e-24
    assert abs(found._factor(times[1], times[0]) - known._factor(times[1], times[0])) < 1e-24
    assert abs(found._carried(times[1], times[0]) / known._carried(times[1], times[0]) - 1) < 1e-24


def test_one_row_and_its_limits() -> None:
    """A row is its call without the input scale; only the ends of its own step are moved into the domain."""
    derived = derive(read_spec_text(VP))
    scheme = Scheme((), multistep_row(2, Kernel(QQ(1))))
    oracle = Oracle(replace(derived.tableau, schemes=(scheme,)), derived.problem)
    times = [0.25, 0.5, 0.75]
    assert oracle.row(scheme.output, times) == oracle.calls(scheme, times)[0]
    noise, data = 1, 0
    moved = oracle.inside([data, noise, noise, data])
    assert moved[2:] == [noise, data]
    assert 0 < moved[0] < 1e-79 and 0 < 1 - moved[1] < 1e-79
    assert oracle.inside(times) == times
    limit, near = oracle.limit(scheme.output, [data, 0.5, 0.75]), oracle.row(scheme.output, [1e-60, 0.5, 0.75])
    assert all(abs(limit[name] - near[name]) < 1e-22 for name in ("a", "b0", "b1"))
