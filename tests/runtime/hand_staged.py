"""Solvers with more than one call a step, written by hand as they would be generated.

dpmpp_2s: a stage at half the step (arXiv:2211.01095 Alg. 1). unipc_2: predict, and correct in the next call
(arXiv:2302.04867 Alg. 5), with exact weights. ab3: Adams-Bashforth 3 in t whose first two steps are the midpoint rule's.
The first two on the sample's schedule with its noise prediction; the last for flow matching.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from runtime.api import Solver
from runtime.inverse import solve_for
from runtime.real import phis, real
from tests.runtime import sample_solver
from tests.runtime.hand_written import FlowNode, flow

C = sample_solver.coefficients
HALF = real("1/2")


def inner(s: Any, t: Any, c: Any) -> Any:
    """The point at fraction c of the step in lambda."""
    return C.node(solve_for(C.chart, C.chart(s.t) + c * C.span(s, t), s.t, t.t))


def convert(s: Any) -> tuple:
    return 1 / s.alpha, -s.sigma / s.alpha


# DPM-Solver++(2S)


def dpmpp_2s(**changes: Any) -> Solver:
    """Columns a, b0, d1, cx, cr; one-step, two calls."""

    def start_1(s: Any, t: Any, h: tuple) -> tuple:
        (p1,) = phis(1, -h[0])
        return t.sigma / s.sigma, t.alpha * h[0] * p1, 0, *convert(s)

    def stage_1(s: Any, t: Any, h: tuple, u: tuple) -> tuple:
        (p1,) = phis(1, -HALF * h[0])
        return u[1].sigma / s.sigma, u[1].alpha * h[0] / 2 * p1, 0, *convert(s)

    def main(s: Any, t: Any, h: tuple, u: tuple) -> tuple:
        (p1,) = phis(1, -h[0])
        return t.sigma / s.sigma, 0, t.alpha * h[0] * p1, *convert(u[1])

    def last(s: Any, t: Any, h: tuple) -> tuple:
        return 0, t.alpha, 0, *convert(s)

    module = SimpleNamespace(**{
        **vars(C), "STEPS": 1, "COLUMNS": ("a", "b0", "d1", "cx", "cr"), "inner": inner, "TO_SIGMA_ZERO": (last,),
        "ROWS": (start_1, (stage_1, main)), "ABSCISSAE": ((0,), (0, HALF)), "START": "exact", **changes,
    })  # fmt: skip
    phases, phases_ = (_2s_start_1, _2s_stage_1, _2s_main), (_2s_start_1_, _2s_stage_1_, _2s_main_)
    step = steps(("start_1", "stage_1", "main"), phases, phases_, 2, (0, 0, 2), (0, 2, 0))
    return Solver("dpmpp_2s", "nowhere", module, step)


def steps(names: tuple, phases: tuple, phases_: tuple, ring: int, needs: tuple, keeps: tuple) -> SimpleNamespace:
    """A step module."""
    tables = [dict(zip(names, values, strict=True)) for values in (phases, phases_, needs, keeps)]
    return SimpleNamespace(STEPS=tables[0], STEPS_=tables[1], RING=ring, NEEDS=tables[2], KEEPS=tables[3])


def _2s_start_1(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    a, b0, _, cx, cr = c
    return a * x + b0 * (cx * x + cr * raw), m


def _2s_stage_1(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    a, b0, _, cx, cr = c
    m0 = cx * x + cr * raw
    return a * x + b0 * m0, (x, m0, *m)


def _2s_main(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    a, b0, d1, cx, cr = c
    y, m0, *rest = m
    return a * y + b0 * m0 + d1 * (cx * x + cr * raw), (*rest,)


def _2s_start_1_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    a, b0, _, cx, cr = c
    m0 = torch.mul(x, cx, out=m[-1]).addcmul_(raw, cr)
    return x.mul_(a).addcmul_(m0, b0), m


def _2s_stage_1_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    a, b0, _, cx, cr = c
    *rest, new, m0 = m
    torch.mul(x, cx, out=m0).addcmul_(raw, cr)
    return torch.mul(x, a, out=new).addcmul_(m0, b0), (x, m0, *rest)


def _2s_main_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    a, b0, d1, cx, cr = c
    y, m0, *rest = m
    k1 = x.mul_(cx).addcmul_(raw, cr)
    return y.mul_(a).addcmul_(m0, b0).addcmul_(k1, d1), (*rest, m0, x)


# UniPC-2: at entry the value m0 at this node corrects the state y at the node before


def unipc_2(starter: bool = False, enter: bool = True, **changes: Any) -> Solver:
    """Columns a, b0, b1, d1, ca, cb0, cb1, cb2, cx, cr; two steps; ``starter``: begins with a step of DPM-Solver++(2S)."""

    def start_1(s: Any, t: Any, h: tuple) -> tuple:
        (p1,) = phis(1, -h[0])
        return t.sigma / s.sigma, t.alpha * h[0] * p1, 0, 0, 0, 0, 0, 0, *convert(s)

    def main(s: Any, t: Any, h: tuple) -> tuple:
        p1, p2 = phis(2, -h[0])
        c, b1 = t.alpha * h[0], -p2 * h[0] / h[1]
        return t.sigma / s.sigma, c * (p1 - b1), c * b1, 0, 0, 0, 0, 0, *convert(s)

    def correct_1(s: Any, t: Any, h: tuple) -> tuple:
        p1, p2 = phis(2, -h[0])
        c = t.alpha * h[0]
        return t.sigma / s.sigma, c * p2, c * (p1 - p2), 0

    def correct_2(s: Any, t: Any, h: tuple) -> tuple:
        r = h[1] / h[0]
        p1, p2, p3 = phis(3, -h[0])
        c, at_1, at_r = t.alpha * h[0], (2 * p3 + r * p2) / (1 + r), (2 * p3 - p2) / (r * (1 + r))
        return t.sigma / s.sigma, c * at_1, c * (p1 - at_1 - at_r), c * at_r

    def begin_1(s: Any, t: Any, h: tuple, u: tuple) -> tuple:
        (p1,) = phis(1, -HALF * h[0])
        return u[1].sigma / s.sigma, u[1].alpha * h[0] / 2 * p1, 0, 0, 0, 0, 0, 0, *convert(s)

    def begin_2(s: Any, t: Any, h: tuple, u: tuple) -> tuple:
        (p1,) = phis(1, -h[0])
        return t.sigma / s.sigma, 0, 0, t.alpha * h[0] * p1, 0, 0, 0, 0, *convert(u[1])

    def last(s: Any, t: Any, h: tuple) -> tuple:
        return 0, t.alpha, 0, 0, 0, 0, 0, 0, *convert(s)

    module = SimpleNamespace(**{
        **vars(C), "STEPS": 2, "COLUMNS": ("a", "b0", "b1", "d1", "ca", "cb0", "cb1", "cb2", "cx", "cr"),
        "inner": inner, "TO_SIGMA_ZERO": (last,), "ROWS": (start_1, main), "CORRECTORS": (correct_1, correct_2),
        "BEGIN": (begin_1, begin_2) if starter else (), "BEGIN_ABSCISSAE": (0, HALF) if starter else (),
        "START": "singlestep" if starter else "ramp", **changes,
    })  # fmt: skip
    names = ("start_1", "start_2", "main", "begin_1", "begin_2", "enter")
    phases = (_start_1, _start_2, _main, _begin_1, _begin_2, _enter)
    phases_ = (_start_1_, _start_2_, _main_, _begin_1_, _begin_2_, _enter_)
    step = steps(names, phases, phases_, 4, (0, 2, 3, 0, 2, 1), (2, 3, 3, 2, 1, 3))
    if not enter:
        del step.STEPS["enter"], step.STEPS_["enter"]
    return Solver("unipc_2", "nowhere", module, step)


def _start_1(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    m0 = c[8] * x + c[9] * raw
    return c[0] * x + c[1] * m0, (x, m0, *m)


def _start_2(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    a, b0, b1, _, ca, cb0, cb1, _, cx, cr = c
    y, m1, *rest = m
    m0 = cx * x + cr * raw
    xc = ca * y + cb0 * m0 + cb1 * m1
    return a * xc + b0 * m0 + b1 * m1, (xc, m0, m1, *rest)


def _main(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    a, b0, b1, _, ca, cb0, cb1, cb2, cx, cr = c
    y, m1, m2, *rest = m
    m0 = cx * x + cr * raw
    xc = ca * y + cb0 * m0 + cb1 * m1 + cb2 * m2
    return a * xc + b0 * m0 + b1 * m1, (xc, m0, m1, *rest)


def _begin_1(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    return _start_1(x, raw, m, c)


def _begin_2(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    y, m0, *rest = m
    return c[0] * y + c[1] * m0 + c[3] * (c[8] * x + c[9] * raw), (m0, *rest)


def _enter(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    m1, *rest = m
    m0 = c[8] * x + c[9] * raw
    return c[0] * x + c[1] * m0 + c[2] * m1, (x, m0, m1, *rest)


def _start_1_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    *rest, new, m0 = m
    torch.mul(x, c[8], out=m0).addcmul_(raw, c[9])
    return torch.mul(x, c[0], out=new).addcmul_(m0, c[1]), (x, m0, *rest)


def _start_2_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    a, b0, b1, _, ca, cb0, cb1, _, cx, cr = c
    y, m1, *rest, m0 = m
    torch.mul(x, cx, out=m0).addcmul_(raw, cr)
    y.mul_(ca).addcmul_(m0, cb0).addcmul_(m1, cb1)
    return torch.mul(y, a, out=x).addcmul_(m0, b0).addcmul_(m1, b1), (y, m0, m1, *rest)


def _main_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    a, b0, b1, _, ca, cb0, cb1, cb2, cx, cr = c
    y, m1, m2, *rest, m0 = m
    torch.mul(x, cx, out=m0).addcmul_(raw, cr)
    y.mul_(ca).addcmul_(m0, cb0).addcmul_(m1, cb1).addcmul_(m2, cb2)
    return torch.mul(y, a, out=x).addcmul_(m0, b0).addcmul_(m1, b1), (y, m0, m1, *rest, m2)


def _begin_1_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    return _start_1_(x, raw, m, c)


def _begin_2_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    y, m0, *rest = m
    k1 = x.mul_(c[8]).addcmul_(raw, c[9])
    return y.mul_(c[0]).addcmul_(m0, c[1]).addcmul_(k1, c[3]), (m0, *rest, x)


def _enter_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    m1, *rest, new, m0 = m
    torch.mul(x, c[8], out=m0).addcmul_(raw, c[9])
    return torch.mul(x, c[0], out=new).addcmul_(m0, c[1]).addcmul_(m1, c[2]), (x, m0, m1, *rest)


# Adams-Bashforth 3 after two midpoint steps; the network returns the integrand


def _ab_1(s: Any, t: Any, h: tuple) -> tuple:
    return 1, h[0], 0, 0, 0


def _ab_2(s: Any, t: Any, h: tuple) -> tuple:
    b1 = -h[0] * h[0] / (2 * h[1])
    return 1, h[0] - b1, b1, 0, 0


def _ab_3(s: Any, t: Any, h: tuple) -> tuple:
    p, q = h[1], h[1] + h[2]  # nodes 0, -p, -q: int_0^h of the quadratic
    b1 = -(h[0] ** 3 / 3 + q * h[0] ** 2 / 2) / (p * (q - p))
    b2 = (h[0] ** 3 / 3 + p * h[0] ** 2 / 2) / (q * (q - p))
    return 1, h[0] - b1 - b2, b1, b2, 0


def _midpoint_1(s: Any, t: Any, h: tuple, u: tuple) -> tuple:
    return 1, h[0] / 2, 0, 0, 0


def _midpoint_2(s: Any, t: Any, h: tuple, u: tuple) -> tuple:
    return 1, 0, 0, 0, h[0]


def ab3(**changes: Any) -> Solver:
    """Columns a, b0, b1, b2, d1 in t, which is finite at both ends."""
    rows = (_ab_1, _ab_2, _ab_3)
    module = SimpleNamespace(**{
        **vars(flow().coefficients), "STEPS": 3, "COLUMNS": ("a", "b0", "b1", "b2", "d1"), "ROWS": rows,
        "TO_SIGMA_ZERO": rows, "FROM_SIGMA_ZERO": rows[:1], "FROM_ALPHA_ZERO": rows[:1], "TO_ALPHA_ZERO": rows,
        "ABSCISSAE": ((0,),) * 3, "BEGIN": (_midpoint_1, _midpoint_2), "BEGIN_ABSCISSAE": (0, HALF),
        "START": "singlestep", "time": lambda t: t, "INPUT": "time", "FINAL": "keep",
        "inner": lambda s, t, c: FlowNode(p := s.t + c * (t.t - s.t), 1 - p, p), **changes,
    })  # fmt: skip
    names = ("start_1", "start_2", "main", "begin_1", "begin_2")
    phases, phases_ = (_1, _2, _3, _half, _whole), (_1_, _2_, _3_, _half_, _whole_)
    step = steps(names, phases, phases_, 3, (0, 1, 2, 0, 2), (1, 2, 2, 2, 1))
    return Solver("ab3", "nowhere", module, step)


def _1(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    return c[0] * x + c[1] * raw, (raw, *m)


def _2(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    return c[0] * x + c[1] * raw + c[2] * m[0], (raw, *m)


def _3(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    return c[0] * x + c[1] * raw + c[2] * m[0] + c[3] * m[1], (raw, m[0])


def _half(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    return c[0] * x + c[1] * raw, (x, raw, *m)


def _whole(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    y, m0, *rest = m
    return c[0] * y + c[1] * m0 + c[4] * raw, (m0, *rest)


def _1_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    return x.mul_(c[0]).addcmul_(raw, c[1]), (m[-1].copy_(raw), *m[:-1])


def _2_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    return x.mul_(c[0]).addcmul_(raw, c[1]).addcmul_(m[0], c[2]), (m[-1].copy_(raw), *m[:-1])


def _3_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    x.mul_(c[0]).addcmul_(raw, c[1]).addcmul_(m[0], c[2]).addcmul_(m[1], c[3])
    return x, (m[-1].copy_(raw), *m[:-1])


def _half_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    *rest, new, m0 = m
    return torch.mul(x, c[0], out=new).addcmul_(raw, c[1]), (x, m0.copy_(raw), *rest)


def _whole_(x: Any, raw: Any, m: tuple, c: tuple) -> tuple:
    y, m0, *rest = m
    return y.mul_(c[0]).addcmul_(m0, c[1]).addcmul_(raw, c[4]), (m0, *rest, x)
