"""Orders proved by trees: published methods, free parameters, changed weights, and three other ways to find the order."""

import doctest
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mpmath
import pytest
from sympy import QQ, sqrt

from derive.analysis import trees as module
from derive.analysis.jet_scheme import certify_scheme
from derive.analysis.order import row_order
from derive.analysis.stiff import stiff_order
from derive.analysis.trees import bound, conditions, embedded, failures, order
from derive.families.tableaux import load, names
from derive.symbolic.forms import ONE, ZERO, Form, Step, constant, exact_moments, interpolatory, phi
from derive.symbolic.moments import alphabet
from derive.symbolic.rooted import read
from derive.tableau import Kernel, Scheme, multistep_row
from tests.analysis.steps import (
    HALF,
    NONE,
    RK4,
    TABLE,
    TRAP,
    dpm_2s,
    dpm_3s,
    etd1,
    hochbruck_ostermann,
    krogstad,
    one_step,
    runge_kutta,
    summing,
)  # fmt: skip

ALPHABET = alphabet()
NUDGE = QQ(10**9 + 1, 10**9)


def random_ratios(seed: int) -> tuple[Any, ...]:
    rng = random.Random(seed)
    return tuple(QQ(rng.randrange(1, 40), rng.randrange(1, 40)) for _ in range(6))


# Published methods.


@pytest.mark.parametrize("name", TABLE)
def test_published_methods(name):
    build, classical, _, _ = TABLE[name]
    found = order(build())
    assert found.order == classical
    assert found.exact and found.coloured
    assert {condition.tree.order for condition in found.violated} == {classical + 1}


@pytest.mark.parametrize("kind", ["classical", "exponential"])
def test_every_tableau_of_the_folder_has_the_order_it_states(kind):
    for name in names(kind):
        published = load(kind, name)
        c = tuple(form.series(1)[0] for form in published.c)
        rate = ONE if kind == "exponential" else ZERO
        short = published.embedded
        padded = (*short, *[NONE] * (len(c) - len(short))) if short else None
        step = one_step(c, published.a[1:], published.b, rate, embedded=padded)
        close = bound(published.digits)
        assert (name, order(step, tolerance=close).order) == (name, published.order)
        if short:
            assert (name, order(embedded(step), tolerance=close).order) == (name, published.embedded_order)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("cfree4", "cfree4"),
        ("etd3rk", "ETD3RK"),
        ("etdrk4", "ETDRK4"),
        ("exprk5s8", "expRK5s8"),
        ("hochbruck_ostermann5", "Hochbruck-Ostermann"),
        ("krogstad", "Krogstad"),
        ("lawson4", "Lawson4"),
        ("strehmel_weiner", "Strehmel-Weiner"),
    ],
)
def test_the_folder_holds_what_was_typed_by_hand(file, name):
    published, by_hand = load("exponential", file), TABLE[name][0]()
    other = one_step(by_hand.thetas, published.a[1:], published.b)
    for ours, theirs in zip((*by_hand.a, by_hand.b), (*other.a, other.b), strict=True):
        assert not any(u - v for u, v in zip(ours, theirs, strict=True))


def test_classical_methods_use_black_trees():
    found = order(runge_kutta(*RK4))
    assert (found.order, found.checked, found.coloured) == (4, 1 + 1 + 2 + 4 + 9, False)


def test_messages():
    assert str(order(etd1())) == "order 1 (6 bicoloured trees); order 2 fails at N[N]: 0 instead of 1/2 (and 1 more)"
    assert str(order(krogstad(), 4)) == "order 4 (51 bicoloured trees), no failing tree"
    trap = order(runge_kutta(*TRAP))
    assert str(trap.violated[0]) == "order 4 fails at N[N,N[N]]: 13/72 instead of 1/8"
    assert trap.violated[0].residual == QQ(1, 18)


def test_principal_error_terms():
    """The midpoint rule: exact - numerical = h^3 (F(N[N,N])/24 + F(N[N[N]])/6)."""
    midpoint = runge_kutta((ZERO, HALF), ((HALF,),), (ZERO, ONE))
    assert order(midpoint).principal == ((read("N[N,N]"), QQ(1, 24)), (read("N[N[N]]"), QQ(1, 6)))


def test_square_roots():
    """Ralston's method of order 4 with least error bound has coefficients in Q(sqrt 5)."""
    field = QQ.algebraic_field(sqrt(5))

    def number(p: int, q: int, d: int) -> Any:
        return (field(p) + field.from_sympy(sqrt(5)) * q) * QQ(1, d)

    c = (ZERO, QQ(2, 5), number(14, -3, 16), ONE)
    a = (
        (QQ(2, 5),),
        (number(-2889, 1428, 1024), number(3785, -1620, 1024)),
        (number(-3365, 2094, 6040), number(-975, -3046, 2552), number(467040, 203968, 240845)),
    )
    b = (
        number(263, 24, 1812),
        number(125, -1000, 3828),
        number(3426304, 1661952, 5924787),
        number(30, -4, 123),
    )
    assert order(runge_kutta(c, a, b)).order == 4


def test_embedded_output_sees_the_new_point():
    """Bogacki-Shampine 3(2): the last weight of the row of order 2 is that of the value at x_{n+1}."""
    c, b = (ZERO, HALF, QQ(3, 4)), (QQ(2, 9), QQ(1, 3), QQ(4, 9))
    second = tuple(constant(q) for q in (QQ(7, 24), QQ(1, 4), QQ(1, 3), QQ(1, 8)))
    step = replace(runge_kutta(c, ((HALF,), (ZERO, QQ(3, 4))), b), embedded=second)
    assert order(step).order == 3
    lower = order(embedded(step))
    assert lower.order == 2 and lower.exact
    inside = replace(step, embedded=(constant(ZERO), constant(ONE), NONE))
    assert order(embedded(inside)).order == 2
    with pytest.raises(ValueError, match="no embedded"):
        embedded(runge_kutta(*RK4))


@pytest.mark.parametrize("rate", [QQ(1), QQ(-1), ZERO])
@pytest.mark.parametrize("predictor", [1, 2, 3])
def test_a_corrector_raises_the_order_by_one(predictor, rate):
    thetas = [ZERO]
    for ratio in random_ratios(predictor)[: predictor - 1]:
        thetas.append(thetas[-1] - ratio)
    first = interpolatory(thetas, exact_moments(ONE, predictor))
    last = interpolatory([*thetas, ONE], exact_moments(ONE, predictor + 1))
    step = Step((*thetas, ONE), predictor, ((*first, Form()),), last, rate)
    assert order(step, 6).order == predictor + 1
    relaxed = replace(step, a=(((first[0] * NUDGE), *first[1:], Form()),))
    assert order(relaxed, 6).order == 1


# Free parameters.


def test_dpm_solver_3_has_order_3_for_one_abscissa_only():
    r1, r2 = QQ.frac_field("r1", "r2").gens
    step = dpm_3s(r1, r2)
    assert order(step, 4).order == 2
    [condition] = conditions(step, 3)
    assert str(condition) == "3*r2 - 2"
    assert conditions(step, 2) == ()


def test_the_stiff_family_of_three_stages():
    """Hochbruck, Ostermann (2005), equations 5.8 and 5.9: order 3 iff 2 (gamma c2 + c3) = 3 (gamma c2^2 + c3^2)."""
    c2, c3, gamma = QQ.frac_field("c2", "c3", "g").gens
    a32 = phi(2, c2, gamma * c2) + phi(2, c3, c3 * c3 / c2)
    b3 = phi(2, ONE, 1 / (gamma * c2 + c3))
    step = one_step((ZERO, c2, c3), [summing(c2), summing(c3, a32)], summing(ONE, b3 * gamma, b3))
    assert [str(p) for p in conditions(step, 3)] == ["3*c2**2*g - 2*c2*g + 3*c3**2 - 2*c3"]


def test_two_stages_with_a_free_weight():
    field = QQ.frac_field("b", "c")
    b, c = field.gens
    step = runge_kutta((ZERO, c), ((c,),), (field(1) - b, b))
    assert [str(p) for p in conditions(step, 2)] == ["2*b*c - 1"]
    assert [str(p) for p in conditions(step, 3)] == ["1"], "no method of two stages has order 3"


def test_a_parameter_may_stand_in_an_abscissa_alone():
    field = QQ.frac_field("c")
    (c,) = field.gens
    step = Step((ZERO, c), 2, (), (Form(), constant(ONE)))
    assert [str(p) for p in conditions(step, 2)] == ["2*c - 1"]


def test_a_parameter_may_stand_in_weights_alone():
    field = QQ.frac_field("b")
    (b,) = field.gens
    half = QQ(1, 2)
    step = runge_kutta((ZERO, half), ((half,),), (field(1) - b, b))
    assert [str(p) for p in conditions(step, 2)] == ["b - 1"]


def test_conditions_need_a_parameter():
    with pytest.raises(ValueError, match="no free parameters"):
        conditions(krogstad(), 4)


# What must be refused.


def changes(step: Step) -> Iterator[Step]:
    """The step with one number of one weight changed by one part in 10^9, for every number."""

    def rows(row: tuple[Form, ...]) -> Iterator[tuple[Form, ...]]:
        for j, form in enumerate(row):
            for i, (key, q) in enumerate(form.terms):
                yield (*row[:j], Form((*form.terms[:i], (key, q * NUDGE), *form.terms[i + 1 :])), *row[j + 1 :])

    for row in rows(step.b):
        yield replace(step, b=row)
    for i, old in enumerate(step.a):
        for row in rows(old):
            yield replace(step, a=(*step.a[:i], row, *step.a[i + 1 :]))


@pytest.mark.parametrize("name", TABLE)
def test_changed_weights_are_refused(name):
    build, classical, _, _ = TABLE[name]
    step = build()
    kept = [mutant for mutant in changes(step) if order(mutant, classical).order == classical]
    if name == "expRK5s8":  # b a a a_.2 = 0: no tree of up to five vertices sees a21; the stiff conditions do
        [mutant] = kept
        assert (mutant.a[1:], mutant.b) == (step.a[1:], step.b)
        assert stiff_order(mutant).strong == 1
    else:
        assert not kept


@pytest.mark.parametrize("rate", [QQ(1), ZERO, None])
def test_changed_multistep_weights_are_refused(rate):
    step = Scheme((), multistep_row(3, Kernel(rate))).step(random_ratios(7), rate)
    assert order(step, 5).order == 3
    assert all(order(mutant, 3).order == 0 for mutant in changes(step))


def test_changed_abscissae_are_refused():
    step = krogstad()
    for j in range(1, 4):
        thetas = (*step.thetas[:j], step.thetas[j] * NUDGE, *step.thetas[j + 1 :])
        assert order(replace(step, thetas=thetas)).order <= 1


def test_implicit_steps_are_refused():
    step = Step((ZERO, ONE), 1, ((NONE, phi(1)),), (phi(1), NONE), ONE)
    with pytest.raises(ValueError, match="implicit"):
        order(step)


# Trees against moments, jets and numbers.


@pytest.mark.parametrize("rate", [QQ(1), QQ(-1), QQ(-2), ZERO, None])
@pytest.mark.parametrize("steps", range(1, 6))
def test_trees_agree_with_moments_on_multistep_rows(steps, rate):
    kernel = Kernel(rate)
    row = multistep_row(steps, kernel)
    step = Scheme((), row).step(random_ratios(steps), rate)
    assert order(step, 6).order == row_order(row, rate).order == steps


@pytest.mark.parametrize(
    ("steps", "override", "expected"),
    [
        (2, {1: ALPHABET.phi[1] / 2}, 2),
        (2, {1: ALPHABET.ring(QQ(1, 2))}, 2),
        (2, {1: ALPHABET.phi[1]}, 1),
        (3, {2: ALPHABET.phi[3]}, 2),
        (3, {1: ALPHABET.phi[1] / 2}, 2),
        (4, {3: ALPHABET.phi[1] / 4}, 4),
        (4, {2: ALPHABET.phi[1] / 3}, 3),
    ],
)
@pytest.mark.parametrize("rate", [QQ(1), QQ(-1)])
def test_trees_agree_with_moments_on_relaxed_rows(steps, override, expected, rate):
    row = multistep_row(steps, Kernel(rate), override)
    step = Scheme((), row).step(random_ratios(steps + 10), rate)
    assert order(step, 6).order == row_order(row, rate).order == expected


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_trees_agree_with_jets_on_kernels_known_by_moments(steps):
    scheme = Scheme((), multistep_row(steps, Kernel(None)))
    assert order(scheme.step(random_ratios(steps), None), 6).order == certify_scheme(scheme, None).order == steps


Vector = list[Any]
DIGITS, TERMS = 60, 12


class Problem:
    """x' = L x + N(x, t) with a random matrix and a random polynomial of degree 3 in x and t (scalar: in x alone)."""

    def __init__(self, dimension: int, linear: bool, explicit_time: bool, seed: int = 1) -> None:
        rng = random.Random(seed)

        def draw() -> Any:
            return mpmath.mpf(rng.randrange(-99, 100)) / 37

        self.dimension = dimension
        self.linear = mpmath.matrix(dimension)
        for i in range(dimension):
            for j in range(dimension):
                self.linear[i, j] = draw() if linear else 0
        powers = [(i, j, k) for i in range(4) for j in range(4 - i) for k in range(4 - i - j)]
        used = [p for p in powers if (explicit_time or not p[2]) and (dimension > 1 or not p[1])]
        self.terms = [[(p, draw()) for p in used] for _ in range(dimension)]
        self.start = [draw() / 3 for _ in range(dimension)]
        self.solution = self._series()

    def network(self, x: list[Vector], t: Vector) -> list[Vector]:
        """N of series in t (or of numbers: series of one coefficient)."""
        factors = [x[0], x[-1], t]
        out = []
        for terms in self.terms:
            total = [mpmath.mpf(0)] * len(t)
            for exponents, coefficient in terms:
                term = [coefficient, *[mpmath.mpf(0)] * (len(t) - 1)]
                for factor, exponent in zip(factors, exponents):
                    for _ in range(exponent):
                        term = [sum(term[i] * factor[n - i] for i in range(n + 1)) for n in range(len(t))]
                total = [u + v for u, v in zip(total, term)]
            out.append(total)
        return out

    def _series(self) -> list[Vector]:
        x = [[start] for start in self.start]
        for n in range(TERMS):
            t = [mpmath.mpf(int(k == 1)) for k in range(n + 1)]
            found = self.network(x, t)
            slopes = [
                found[i][n] + sum(self.linear[i, j] * x[j][n] for j in range(self.dimension))
                for i in range(self.dimension)
            ]
            for i, slope in enumerate(slopes):
                x[i].append(slope / (n + 1))
        return x

    def exact(self, t: Any) -> Vector:
        return [mpmath.polyval(series[::-1], t) for series in self.solution]

    def value(self, x: Vector, t: Any) -> Any:
        return mpmath.matrix([v[0] for v in self.network([[u] for u in x], [t])])

    def phi(self, k: int, z: Any) -> Any:
        """phi_k of a small matrix."""
        total, power = mpmath.zeros(self.dimension), mpmath.eye(self.dimension)
        for n in range(TERMS + 2):
            total, power = total + power / mpmath.factorial(n + k), power * z
        return total

    def local_error(self, step: Step, h: Any) -> Any:
        """Norm of the error of one step from exact values."""

        def number(q: Any) -> Any:
            return mpmath.mpf(int(q.numerator)) / int(q.denominator)

        z = self.linear * h
        start = mpmath.matrix(self.start)
        known = [number(theta) * h for theta in step.thetas[: step.known]]
        values = [self.value(self.exact(t), t) for t in known]

        def output(end: Any, row: tuple[Form, ...]) -> Any:
            x = self.phi(0, z * number(end)) * start
            for form, value in zip(row, values):
                for (k, c), q in form.terms:
                    x += self.phi(k, z * number(c)) * value * (h * number(q))
            return x

        for row, end in zip(step.a, step.thetas[step.known :]):
            values.append(self.value(list(output(end, row)), number(end) * h))
        return mpmath.norm(output(ONE, step.b) - mpmath.matrix(self.exact(h)))

    def measured(self, step: Step) -> float:
        with mpmath.workdps(DIGITS):
            h = mpmath.mpf(10) ** -6
            return float(mpmath.log(self.local_error(step, h) / self.local_error(step, h / 2), 2)) - 1


def adams(steps: int) -> Step:
    return Scheme((), multistep_row(steps, Kernel(ONE))).step(random_ratios(3), ONE)


@pytest.mark.parametrize(
    "step",
    [krogstad(), hochbruck_ostermann(), dpm_3s(), dpm_3s(HALF, QQ(3, 4)), dpm_2s(False), TABLE["Lawson4"][0](), adams(3)],
    ids=["Krogstad", "HO5", "DPM-3S", "DPM-3S off", "DPM-2S", "Lawson4", "AB3"],
)  # fmt: skip
def test_trees_agree_with_one_step_at_sixty_digits(step):
    """Two components, a matrix that does not commute with N', explicit time."""
    with mpmath.workdps(DIGITS):
        problem = Problem(2, linear=True, explicit_time=True)
    assert problem.measured(step) == pytest.approx(order(step).order, abs=1e-3)


def test_the_scalar_trap():
    """A scalar autonomous problem shows order 4; two components, or time, show the order 3 that the trees prove."""
    step = runge_kutta(*TRAP)
    assert order(step).order == 3
    with mpmath.workdps(DIGITS):
        scalar, timed = Problem(1, False, False), Problem(1, False, True)
        vector = Problem(2, False, False)
    assert scalar.measured(step) == pytest.approx(4, abs=1e-3)
    assert timed.measured(step) == pytest.approx(3, abs=1e-3)
    assert vector.measured(step) == pytest.approx(3, abs=1e-3)


def test_all_trees_of_order_eight():
    assert sum(count for count, _ in failures(hochbruck_ostermann(), 8)) == 8340


def test_examples_in_the_docstrings():
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
