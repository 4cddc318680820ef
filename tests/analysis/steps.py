"""Published exponential Runge-Kutta methods as steps, typed from their papers by hand: what the proof engines are tested on.

They are typed a second time in derive/families/tableaux; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sympy import QQ

from derive.symbolic.forms import ONE, ZERO, Form, Step, constant, phi

HALF, THIRD, TWO_THIRDS = QQ(1, 2), QQ(1, 3), QQ(2, 3)
NONE = Form()


def one_step(c: Sequence[Any], a: Sequence[Sequence[Form]], b: Sequence[Form], rate: Any = ONE, **more: Any) -> Step:
    """A step of stages c[1:], rows without trailing zeros."""

    def full(row: Sequence[Form]) -> tuple[Form, ...]:
        return (*row, *[NONE] * (len(c) - len(row)))

    return Step(tuple(c), 1, tuple(full(row) for row in a), full(b), rate, **more)


def summing(end: Any, *rest: Form) -> tuple[Form, ...]:
    """The row whose weights add up to end * phi_1(end z)."""
    first = phi(1, end, end)
    for form in rest:
        first = first - form
    return (first, *rest)


def runge_kutta(c: Sequence[Any], a: Sequence[Sequence[Any]], b: Sequence[Any], rate: Any = ZERO) -> Step:
    """A classical method; with a kernel its Lawson form, weights a_ij e^{(c_i - c_j) z}."""

    def row(end: Any, numbers: Sequence[Any]) -> list[Form]:
        if not rate:
            return [constant(q) for q in numbers]
        return [phi(0, end - c[j], q) for j, q in enumerate(numbers)]

    return one_step(c, [row(end, numbers) for end, numbers in zip(c[1:], a)], row(ONE, b), rate)


RK4 = ((ZERO, HALF, HALF, ONE), ((HALF,), (ZERO, HALF), (ZERO, ZERO, ONE)), (QQ(1, 6), QQ(1, 3), QQ(1, 3), QQ(1, 6)))

TRAP = (
    (ZERO, QQ(1, 3), HALF, ONE),
    ((QQ(1, 3),), (QQ(5, 8), QQ(-1, 8)), (QQ(-11, 2), QQ(25, 2), QQ(-6))),
    (QQ(1, 6), ZERO, QQ(2, 3), QQ(1, 6)),
)
"""Order 4 on scalar autonomous problems, order 3 in truth."""


def etd1() -> Step:
    return one_step((ZERO,), (), (phi(1),))


def dpm_2s(taylor: bool) -> Step:
    """DPM-Solver-2 with r1 = 1/2: phi_1/(2 r1) as published, phi_2/r1 from the Taylor expansion."""
    b2 = phi(2, ONE, QQ(2)) if taylor else phi(1)
    return one_step((ZERO, HALF), [summing(HALF)], summing(ONE, b2))


def dpm_3s(r1: Any = THIRD, r2: Any = TWO_THIRDS, taylor: bool = False) -> Step:
    """DPM-Solver-3: published it uses the last stage only, with Taylor both divided differences."""
    rows = [summing(r1), summing(r2, phi(2, r2, r2 * r2 / r1))]
    if not taylor:
        return one_step((ZERO, r1, r2), rows, (phi(1) - phi(2, ONE, 1 / r2), NONE, phi(2, ONE, 1 / r2)))
    # D1 = (r2 d1 - r1 d2)/(r2 - r1), D2 = 2 (d2 - d1)/(r2 - r1), d_i = (F_i - F_0)/r_i; x = .. phi2 D1 + phi3 D2
    gap = r2 - r1
    b2 = (phi(2, ONE, r2) - phi(3, ONE, 2)) * (1 / (gap * r1))
    b3 = (phi(3, ONE, 2) - phi(2, ONE, r1)) * (1 / (gap * r2))
    return one_step((ZERO, r1, r2), rows, summing(ONE, b2, b3))


def etd3rk() -> Step:
    """Cox, Matthews (2002), equations 23 to 25."""
    rows = [(phi(1, HALF, HALF),), (-phi(1), phi(1) * 2)]
    b2, b3 = phi(2) * 4 - phi(3) * 8, phi(3) * 4 - phi(2)
    return one_step((ZERO, HALF, ONE), rows, summing(ONE, b2, b3))


def _fourth(*rows: Sequence[Form]) -> Step:
    """c = 0, 1/2, 1/2, 1 with the weights of Cox and Matthews."""
    middle, last = phi(2) * 2 - phi(3) * 4, phi(3) * 4 - phi(2)
    return one_step((ZERO, HALF, HALF, ONE), rows, summing(ONE, middle, middle, last))


def etdrk4() -> Step:
    """Cox, Matthews (2002), equations 26 to 29."""
    half = phi(1, HALF, HALF)
    return _fourth((half,), (NONE, half), (phi(1) - phi(1, HALF), NONE, phi(1, HALF)))


def krogstad() -> Step:
    """ETDRK4-B of Krogstad (2005)."""
    return _fourth(summing(HALF), summing(HALF, phi(2, HALF)), summing(ONE, NONE, phi(2) * 2))


def strehmel_weiner() -> Step:
    """Strehmel, Weiner (1992), as in Hochbruck, Ostermann (2005)."""
    rows = [summing(HALF), summing(HALF, phi(2, HALF, HALF)), summing(ONE, phi(2, ONE, -2), phi(2, ONE, 4))]
    b = summing(ONE, NONE, phi(2) * 4 - phi(3) * 8, phi(3) * 4 - phi(2))
    return one_step((ZERO, HALF, HALF, ONE), rows, b)


def hochbruck_ostermann() -> Step:
    """Hochbruck, Ostermann (2005), equation 5.19."""
    a52 = phi(2, HALF, HALF) - phi(3) + phi(2) * QQ(1, 4) - phi(3, HALF, HALF)
    a54 = phi(2, HALF, QQ(1, 4)) - a52
    rows = [
        summing(HALF),
        summing(HALF, phi(2, HALF)),
        summing(ONE, phi(2), phi(2)),
        summing(HALF, a52, a52, a54),
    ]
    b = summing(ONE, NONE, NONE, phi(3) * 4 - phi(2), phi(2) * 4 - phi(3) * 8)
    return one_step((ZERO, HALF, HALF, ONE, HALF), rows, b)


def expk5s8() -> Step:
    """Luan, Ostermann (2014): eight stages, order 5."""
    fifth, third = QQ(1, 5), QQ(2, 3)
    a64 = phi(2, fifth, QQ(8, 25)) - phi(3, fifth, QQ(32, 125))
    a65 = phi(2, fifth, QQ(2, 25)) - a64 * HALF
    a74 = a64 * QQ(-125, 162)
    a75 = a64 * QQ(125, 1944) - phi(2, third, QQ(16, 27)) + phi(3, third, QQ(320, 81))
    a76 = a64 * QQ(3125, 3888) + phi(2, third, QQ(100, 27)) - phi(3, third, QQ(800, 81))
    common = (a64 * QQ(5, 32) - phi(2, fifth, QQ(1, 28)) + phi(2, third, QQ(36, 175)) - phi(3, third, QQ(48, 25))) + (
        phi(4, fifth, QQ(6, 175)) + phi(4, third, QQ(192, 35)) + phi(4) * 6
    )
    a85 = phi(3) * QQ(208, 3) - phi(2) * QQ(16, 3) - common * 40
    a86 = phi(2) * QQ(250, 21) - phi(3) * QQ(250, 3) + common * QQ(250, 7)
    a87 = phi(2) * QQ(27, 14) - phi(3) * 27 + common * QQ(135, 7)
    rows = [
        summing(HALF),
        summing(HALF, phi(2, HALF, HALF)),
        summing(QQ(1, 4), NONE, phi(2, QQ(1, 4), QQ(1, 8))),
        summing(HALF, NONE, phi(3, HALF, 2) - phi(2, HALF, HALF), phi(2, HALF, 2) - phi(3, HALF, 4)),
        summing(fifth, NONE, NONE, a64, a65),
        summing(third, NONE, NONE, a74, a75, a76),
        summing(ONE, NONE, NONE, NONE, a85, a86, a87),
    ]
    b6 = phi(2) * QQ(125, 14) - phi(3) * QQ(625, 14) + phi(4) * QQ(1125, 14)
    b7 = phi(2) * QQ(-27, 14) + phi(3) * QQ(162, 7) - phi(4) * QQ(405, 7)
    b8 = phi(2) * HALF - phi(3) * QQ(13, 2) + phi(4) * QQ(45, 2)
    b = summing(ONE, NONE, NONE, NONE, NONE, b6, b7, b8)
    return one_step((ZERO, HALF, HALF, QQ(1, 4), HALF, fifth, third, ONE), rows, b)


def cfree4() -> Step:
    """Commutator-free of order 4: Celledoni, Marthinsen, Owren (2003), for constant L."""
    half = phi(1, HALF, HALF)
    rows = [(half,), (NONE, half), (phi(1) - phi(1, HALF), NONE, phi(1, HALF))]
    outer = phi(1, HALF, QQ(1, 3))
    b = (phi(1) * HALF - outer, phi(1) * QQ(1, 3), phi(1) * QQ(1, 3), outer - phi(1) * QQ(1, 6))
    return one_step((ZERO, HALF, HALF, ONE), rows, b)


def lawson4() -> Step:
    """The classical method of order 4 in the variable e^{-z theta} x."""
    return runge_kutta(*RK4, rate=ONE)


TABLE: dict[str, tuple[Callable[[], Step], int, int, int]] = {
    "ETD1": (etd1, 1, 1, 1),
    "DPM-2S published": (lambda: dpm_2s(False), 2, 1, 2),
    "DPM-2S taylor": (lambda: dpm_2s(True), 2, 2, 2),
    "DPM-3S published": (dpm_3s, 3, 2, 3),
    "DPM-3S taylor": (lambda: dpm_3s(taylor=True), 3, 2, 3),
    "ETD3RK": (etd3rk, 3, 2, 2),
    "ETDRK4": (etdrk4, 4, 2, 2),
    "Krogstad": (krogstad, 4, 3, 3),
    "Strehmel-Weiner": (strehmel_weiner, 4, 3, 3),
    "Hochbruck-Ostermann": (hochbruck_ostermann, 4, 3, 4),
    "expRK5s8": (expk5s8, 5, 4, 5),
    "cfree4": (cfree4, 4, 1, 2),
    "Lawson4": (lawson4, 4, 0, 1),
}
"""By name: the step and its classical, strong stiff and weak stiff order."""
