r"""The log-density along a sequence of states with scores at them: what log q(x) at each node is above that at the first.

In w = x/n with n^2 = c^2 alpha^2 + sigma^2 (data of deviation c have the law N(0, n^2)), on the clock u = log(n^2/alpha^2),
phi = q/N(0, n^2) has the differential

    d log phi = <dw, r> + G du,   G = (|r|^2 - <w, r> + L)/2,   r = n score + w,   L = n^2 div score + dim

as q obeys the heat equation in (x/alpha, sigma^2/alpha^2); what N(0, n^2) adds is exact. Along states of the reverse SDE of
stochasticity tau, Ito's rule with <dw, dw> = tau^2 |du| turns it into

    d log phi = <w' - w, r> + (|r|^2 - <w, r>) du/2 + L (du + tau^2 |du|)/2,

without a divergence for tau = 1 (du < 0 from noise to data): SuperDiff, arXiv:2412.17762, whose formula is that of n = alpha
(``spread`` None), with differences of log alpha and of sigma/alpha in place of time steps. Its RMS error has order 1/2.
The trapezoidal rule integrates the differential itself over the straight line between two states, whatever they come from:
order 1 along paths of an SDE, 2 along those of the ODE; it needs L.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from runtime import checks, levels
from runtime.plan import Plan
from runtime.real import Real, log, real, sqrt

RULES = ("ito", "trapezoid")


class PathDensity:
    """Increments of log q along the nodes of a plan.

    solver: its schedule and grids are taken, its steps are not. spread: c, the deviation of the data about 0, a number
    from 0; None: n = alpha, nothing is taken out. tau: of the states' SDE, which Ito's rule has to know.
    ValueError: another rule, a spread or tau below 0, a plan that begins at alpha = 0.
    """

    def __init__(
        self, solver: Any, plan: Plan, rule: str = "ito", spread: float | None = 1.0, tau: float = 1.0
    ) -> None:
        checks.choice("rule", rule, RULES)
        for name, value in (("spread", 1.0 if spread is None else spread), ("tau", tau)):
            if not (isinstance(value, (int, float)) and 0 <= value < float("inf")):
                raise ValueError(f"{name}: got {value!r}; allowed: a number from 0")
        if any(plan.draws) and not hasattr(solver.coefficients, "share"):
            raise ValueError(f"solver: {solver.name} renoises, which is no SDE; allowed: solvers of an SDE or a flow")
        self.plan, self.rule, self.spread, self.tau = plan, rule, spread, float(tau)
        self.taken = 0.0 if spread is None else 1.0
        self.rows = levels.of_steps(solver.coefficients, plan, self._numbers)
        """Of every step (1/n, 1/n', u' - u, log n'/n); of n = alpha in units of the first alpha."""
        if not bool(torch.isfinite(self.rows).all()):
            raise ValueError(
                "plan: a node has alpha = 0 or a state of no width; allowed: nodes with alpha > 0, sigma > 0"
            )

    def _numbers(self, code: Any, s: Real, t: Real) -> tuple[Any, ...]:
        a, b, p, q = code.alpha(s), code.alpha(t), code.sigma(s), code.sigma(t)
        if not a or not b:
            return (float("nan"),) * 4
        grown = code.log_alpha(t) - code.log_alpha(s)
        if self.spread is None:
            return 1, a / b, (q * a / b) ** 2 - p * p, grown
        c = real(self.spread)
        n, m = sqrt(c * c * a * a + p * p), sqrt(c * c * b * b + q * q)
        if not n or not m:
            return (float("nan"),) * 4
        wider = log(m / n)
        return 1 / n, 1 / m, 2 * (wider - grown), wider

    def divergences(self, i: int) -> bool:
        """Whether step ``i`` asks for the divergence of the score."""
        return self.rule == "trapezoid" or bool((self._spent(self.rows[i][2]) != 0).any())

    def _spent(self, du: torch.Tensor) -> torch.Tensor:
        """du + tau^2 |du|."""
        return du + self.tau**2 * du.abs()

    def increment(
        self,
        i: int,
        x: torch.Tensor,
        y: torch.Tensor,
        score: torch.Tensor,
        divergence: torch.Tensor | None = None,
        next_score: torch.Tensor | None = None,
        next_divergence: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[B], in x's dtype: log q(y) at node i + 1 less log q(x) at node i. x, y, scores: [B, *S]; divergences: [B].

        ``next_`` is at y, for the trapezoidal rule. ValueError: what the rule needs is not given.
        """
        batch, size = x.shape[0], x[0].numel()
        inverse, next_inverse, du, wider = (
            v.to(x.device, x.dtype).expand(batch) for v in self.rows[i].reshape(4, -1).unbind(0)
        )
        w, v = (a.reshape(batch, size) * k[:, None] for a, k in ((x, inverse), (y, next_inverse)))
        base = -size * wider - self.taken / 2 * _dot(v - w, v + w)
        r, g, spread = self._local(w, score, divergence, inverse)
        if self.rule == "ito":
            found = base + _dot(v - w, r) + g * du / 2
            if not self.divergences(i):
                return found
            return found + _given(spread, "divergence") * self._spent(du) / 2
        if next_score is None:
            raise ValueError("next_score: not given; the trapezoidal rule takes the score at both ends of a step")
        r1, g1, spread1 = self._local(v, next_score, next_divergence, next_inverse)
        both = g + g1 + _given(spread, "divergence") + _given(spread1, "next_divergence")
        return base + _dot(v - w, r + r1) / 2 + both * du / 4

    def _local(
        self, w: torch.Tensor, score: torch.Tensor, divergence: torch.Tensor | None, inverse: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """(r, |r|^2 - <w, r>, L) at a state."""
        r = score.reshape(w.shape) / inverse[:, None] + self.taken * w
        spread = None if divergence is None else divergence / inverse**2 + self.taken * w.shape[1]
        return r, _dot(r, r - self.taken * w), spread

    def along(
        self,
        states: Sequence[torch.Tensor],
        scores: Sequence[torch.Tensor],
        divergences: Sequence[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """[N + 1, B]: log q at each of N + 1 states less log q at the first.

        scores, divergences: N of them for Ito's rule, N + 1 for the trapezoidal one.
        """
        steps = len(states) - 1
        needed = steps + (self.rule == "trapezoid")
        if steps != self.plan.grid_steps or min(len(s) for s in (scores, divergences or scores)) < needed:
            raise ValueError(
                f"got {len(states)} states, {len(scores)} scores; allowed: {self.plan.grid_steps + 1} states and a score, "
                f"and a divergence where the rule needs it, at {'each' if needed > steps else 'each but the last'}"
            )
        total = [states[0].new_zeros(states[0].shape[0])]
        for i in range(steps):
            later = needed > steps
            own = (scores[i], divergences[i] if divergences else None)
            new = (scores[i + 1] if later else None, divergences[i + 1] if divergences and later else None)
            total.append(total[-1] + self.increment(i, states[i], states[i + 1], *own, *new))
        return torch.stack(total)


class Recorder:
    """A callback of ``solver.sample(plan=plan)`` that keeps states and scores; then :meth:`along` has log q at them.

    By Ito's rule: of the reverse SDE, tau = 1, and of solvers with one call of the network a step.
    """

    def __init__(self, solver: Any, plan: Plan, spread: float | None = 1.0) -> None:
        if plan.steps != plan.grid_steps:
            raise ValueError(f"plan: {plan.steps} calls in {plan.grid_steps} steps; allowed: one call a step")
        self.density = PathDensity(solver, plan, "ito", spread)
        self.ends = levels.of_nodes(solver.coefficients, plan, lambda code, t: (code.alpha(t), code.sigma(t)))
        self.states: list[torch.Tensor] = []
        self.scores: list[torch.Tensor] = []

    def __call__(self, i: int, t: Any, x: torch.Tensor, denoised: torch.Tensor) -> None:
        """One call of the network: the score is (alpha x0 - x)/sigma^2."""
        if i == 0:
            self.states, self.scores = [], []
        alpha, sigma = (v.to(x.device, x.dtype).reshape(-1, *(1,) * (x.dim() - 1)) for v in self.ends[i].unbind(0))
        self.states.append(x)
        self.scores.append((alpha * denoised - x) / sigma**2)

    def along(self, x: torch.Tensor) -> torch.Tensor:
        """[N + 1, B]: log q at each node less log q at the first; x: what ``sample`` returned."""
        return self.density.along([*self.states, x.to(self.states[0].dtype)], self.scores)


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum(1)


def _given(value: torch.Tensor | None, name: str) -> torch.Tensor:
    if value is None:
        raise ValueError(
            f"{name}: not given; allowed: the divergence of the score, [B] (tau = 1 with Ito's rule needs none)"
        )
    return value


__all__ = ["PathDensity", "Recorder"]
