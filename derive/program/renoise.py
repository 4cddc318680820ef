"""Rows of a step that goes to an earlier time u first, and from there up by the forward process.

What they are is said in :mod:`derive.problems.consistency`. u = segment(t) is a function of the end of the step alone; where
it is the data end for every t, x' has nothing of x but what the network says: a = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from derive.program.coefficients import Assign, Function, Rows
from derive.symbolic.alphabet import alpha, expm1, sigma

if TYPE_CHECKING:
    from derive.program.rows import Lowering

U = Assign(("u",), sp.Symbol("segment(t.t)"), comment="where the noise begins")
KEPT = sp.Symbol("rho(u)") / sp.Symbol("rho(t.t)")
"""e^{-k}: what the way up leaves of the noise at u, in units of that at t."""


def renoised(low: Lowering) -> tuple[list[Assign], sp.Expr, list[sp.Expr]]:
    """(assignments, a, weight of the data) of the step."""
    if _cleared(low):
        return [], sp.Integer(0), [low.node(alpha, "t")]
    a = low.node(sigma, "t") / low.node(sigma, "s") * KEPT
    return [U], a, [-low.node(alpha, "t") * expm1(-sp.Symbol("dlambda(u, s.t)"))]


def segment_functions(low: Lowering) -> None:
    """``segment(t)`` and ``spread(s, t)``, the standard deviation of the noise."""
    doc = "The standard deviation of the noise of a step."
    if _cleared(low):
        low.functions.append(Function("spread", ("s", "t"), doc, (), (low.node(sigma, "t"),)))
        return
    time, whole = _segment(low)
    body = (Assign(("u",), call="floor", args=(time,)),) if whole else ()
    value = sp.Symbol("u") if whole else time
    about = "Where a step to t goes before its noise takes it there."
    low.functions.append(Function("segment", ("t",), about, body, (value,)))
    grown = sp.sqrt(-expm1(-2 * sp.Symbol("dlambda(u, t.t)")))
    low.functions.append(Function("spread", ("s", "t"), doc, (U,), (low.node(sigma, "t") * grown,)))


def segment_limits(low: Lowering) -> dict[str, Rows]:
    """``TO_*`` and ``FROM_*``: the step to sigma = 0 is the data; one from alpha = 0 has the same noise as any other."""
    schedule = low.schedule
    out: dict[str, Rows] = dict.fromkeys(("TO_SIGMA_ZERO", "FROM_SIGMA_ZERO", "TO_ALPHA_ZERO", "FROM_ALPHA_ZERO"), ())
    if schedule.data_end == "sigma_zero":
        values = {"b0": low.node(alpha, "t"), "s": sp.Integer(0)}
        out["TO_SIGMA_ZERO"] = (low.finish("to_data", "Into sigma = 0: the data, without noise.", [], values),)
    if schedule.noise_end == "alpha_zero" and _called_there(low):
        body, a, _ = renoised(low)
        values = {"a": a, "b0": low.node(alpha, "t"), "s": low.spread("s")}
        out["FROM_ALPHA_ZERO"] = (low.finish("from_noise", "From alpha = 0: x is noise.", body, values),)
    return out


def _called_there(low: Lowering) -> bool:
    """Whether what the network says at alpha = 0 is finite in terms of the data."""
    return not any(c.subs(alpha, 0).has(sp.oo, -sp.oo, sp.zoo, sp.nan) for c in low.problem.to_integrand)


def _segment(low: Lowering) -> tuple[sp.Expr, bool]:
    noise = low.problem.noise
    assert noise is not None and noise.segment is not None
    return noise.segment


def _cleared(low: Lowering) -> bool:
    """Whether u is the data end, sigma = 0, for every t."""
    return _segment(low)[0] == low.schedule.data


__all__ = ["renoised", "segment_functions", "segment_limits"]
