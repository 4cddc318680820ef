r"""Ito SDEs dz = f(z, t) dt + g(z, t) dW with drift and noise of one's own: Euler-Maruyama, Milstein, stochastic Runge-Kutta.

    H_i = z + h sum_j drift_ij f(H_j, t + times_j h) + sum_j (path_ij W + area_ij Z/h) g(z, t + noise_times_j h)

with W the increment over the step and Z = int_t^{t+h} (W(u) - W(t)) du; the last row is the new z, to which Milstein's step
adds square (W^2 - h) g dg/dz. Noise is diagonal (every element has its own W, and element k of g depends on element k of z
alone) or additive (g depends on t alone). Of every table ``derive.analysis.ito_taylor`` proves weak and strong order.

The kinds of stable neural SDEs (arXiv:2402.14989, eqs. 6 to 8) are :func:`langevin_type`, :func:`linear_noise`,
:func:`geometric`, and :func:`geometric_log`, which is the last one in log z and keeps z positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction as Q
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from runtime import checks
from runtime.brownian import Brownian
from runtime.noise import Philox, drawn

Field = Callable[[Tensor, Tensor], Tensor]
"""(z [B, *S], t [B]) -> [B, *S]."""
Increments = Callable[[int, float, float, Tensor], tuple[Tensor, Tensor]]
"""(step, from, to, tensor) -> (W, Z) like the tensor."""
Rows = tuple[tuple[Q, ...], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Coefficients of a scheme, as above. additive: it is for noise that depends on t alone. source: where it is from."""

    drift: Rows
    path: Rows
    area: Rows
    times: tuple[Q, ...]
    noise_times: tuple[Q, ...]
    additive: bool
    square: Q = Q(0)
    source: str = ""

    @property
    def areas(self) -> bool:
        """Whether it takes Z."""
        return any(any(row) for row in self.area)


METHODS: dict[str, Table] = {
    "euler_maruyama": Table(
        ((), (Q(1),)), ((), (Q(1),)), ((), ()), (Q(0),), (Q(0),), False,
        source="Maruyama, Rend. Circ. Mat. Palermo 4 (1955) 48",
    ),
    "milstein": Table(
        ((), (Q(1),)), ((), (Q(1),)), ((), ()), (Q(0),), (Q(0),), False, Q(1, 2),
        source="Milstein, Theory Probab. Appl. 19 (1975) 557",
    ),
    "heun": Table(
        ((), (Q(1),), (Q(1, 2), Q(1, 2))), ((), (Q(1), Q(0)), (Q(1, 2), Q(1, 2))), ((), (), ()), (Q(0), Q(1)),
        (Q(0), Q(1)), True, source="Kloeden and Platen, Numerical Solution of SDEs (1992), sec. 15.1, additive noise, g at both ends",
    ),
    "sra1": Table(
        ((), (Q(3, 4),), (Q(1, 3), Q(2, 3))), ((), (), (Q(1), Q(0))), ((), (Q(0), Q(3, 2)), (Q(-1), Q(1))),
        (Q(0), Q(3, 4)), (Q(1), Q(0)), True, source="Roessler, SIAM J. Numer. Anal. 48 (2010) 922, SRA1",
    ),
    "sra3": Table(
        ((), (Q(1),), (Q(1, 4), Q(1, 4)), (Q(1, 6), Q(1, 6), Q(2, 3))), ((), (), (), (Q(1), Q(0))),
        ((), (), (Q(1), Q(1, 2)), (Q(-1), Q(1))), (Q(0), Q(1), Q(1, 2)), (Q(1), Q(0)), True,
        source="Roessler, SIAM J. Numer. Anal. 48 (2010) 922, SRA3",
    ),
}  # fmt: skip
"""By name."""


@dataclass(frozen=True, slots=True)
class SDE:
    """dz = drift dt + diffusion dW. additive: diffusion(z, t) is the same for every z.

    derivative: (z, t) -> d diffusion_k/d z_k for Milstein's step; None: by forward differentiation.
    """

    drift: Field
    diffusion: Field
    additive: bool = False
    derivative: Field | None = None


def langevin_type(drift: Callable[[Tensor], Tensor], noise: Callable[[Tensor], Tensor]) -> SDE:
    """LSDE: dz = drift(z) dt + noise(t) dW. noise: t [B] -> what broadcasts to z."""
    return SDE(lambda z, t: drift(z), lambda z, t: noise(t).expand_as(z), additive=True)


def linear_noise(drift: Field, noise: Callable[[Tensor], Tensor]) -> SDE:
    """LNSDE: dz = drift(z, t) dt + noise(t) z dW."""
    return SDE(drift, lambda z, t: noise(t) * z, derivative=lambda z, t: noise(t).expand_as(z))


def geometric(rate: Field, noise: Callable[[Tensor], Tensor]) -> SDE:
    """GSDE: dz = z (rate(z, t) dt + noise(t) dW)."""
    return linear_noise(lambda z, t: z * rate(z, t), noise)


def geometric_log(rate: Field, noise: Callable[[Tensor], Tensor]) -> SDE:
    """GSDE in y = log z: dy = (rate(e^y, t) - noise(t)^2/2) dt + noise(t) dW, whose noise is additive; z = e^y > 0."""
    return SDE(lambda y, t: rate(y.exp(), t) - noise(t).square() / 2, lambda y, t: noise(t).expand_as(y), additive=True)


def fresh(noise: Philox) -> Increments:
    """(W, Z) of independent steps: draws 2n and 2n + 1 of the seed for step n."""

    def increments(n: int, a: float, b: float, like: Tensor) -> tuple[Tensor, Tensor]:
        h = b - a
        w = math.sqrt(h) * noise(2 * n, like)
        return w, h / 2 * w + math.sqrt(h**3 / 12) * noise(2 * n + 1, like)

    return increments


def along(path: Brownian, samples: int | Tensor = 0) -> Increments:
    """(W, Z) of one path, for any number of steps. samples: as in :meth:`Brownian.joint`."""
    return lambda n, a, b, like: path.joint(a, b, like, samples)


def integrate(
    sde: SDE,
    z: Tensor,
    times: Sequence[float],
    method: str | Table = "euler_maruyama",
    *,
    seed: int | None = None,
    noise: Brownian | Philox | Increments | None = None,
    callback: Callable[[int, float, Tensor], Any] | None = None,
) -> Tensor:
    """z at the last of N + 1 times; differentiable in z and in what drift and diffusion depend on.

    z: [B, *S], float32 or float64, kept. times: numbers that rise. method: one of :data:`METHODS`, or a table.
    seed, noise: as numbers of a seed (None: drawn from torch's generator), of :class:`Philox`, of a path, or (W, Z) of the
    caller; the first two and the path are functions of (seed, sample, element). callback(n, t, z): after step n, at its end.
    ValueError, TypeError: what is not allowed; a method for additive noise with an SDE that is not.
    """
    table = _table(method)
    if not isinstance(z, Tensor) or z.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"z: got {getattr(z, 'dtype', type(z).__name__)}; allowed: a tensor of float32 or float64")
    if z.dim() == 0:
        raise ValueError("z: got shape (); allowed: [B, ...], a batch first")
    if table.additive and not sde.additive:
        raise ValueError(
            f"method: got {method!r}, for additive noise; allowed: euler_maruyama, milstein, or another SDE"
        )
    known = [float(t) for t in times]
    if len(known) < 2 or not all(math.isfinite(b - a) and a < b for a, b in pairwise(known)):
        raise ValueError(f"times: got {known}; allowed: two finite numbers or more that rise")
    increments = _increments(seed, noise)
    for n, (a, b) in enumerate(pairwise(known)):
        w, area = increments(n, a, b, z)
        z = step(sde, table, z, a, b, *(checks.same_shape(v, z, "noise").to(z.device, z.dtype) for v in (w, area)))
        if callback:
            callback(n, b, z)
    return z


def step(sde: SDE, table: Table, z: Tensor, a: float, b: float, w: Tensor, area: Tensor) -> Tensor:
    """One step from time a to b with (W, Z) of it."""
    h = b - a
    at = [sde.diffusion(z, _time(z, a, h, c)) for c in table.noise_times]
    slopes: list[Tensor] = []
    rows = list(zip(table.drift, table.path, table.area, strict=True))
    for i, (drift, path, areas) in enumerate(rows):
        new = z if not any(drift) else z + h * _sum(drift, slopes)
        for j, g in enumerate(at):
            share = [(row[j], v) for row, v in ((path, w), (areas, area / h)) if j < len(row) and row[j]]
            if share:
                new = new + g * _sum([c for c, _ in share], [v for _, v in share])
        if i < len(table.times):
            slopes.append(sde.drift(new, _time(z, a, h, table.times[i])))
    if table.square and not sde.additive:
        new = new + float(table.square) * (w * w - h) * _slope(sde, z, _time(z, a, h, Q(0)), at[0])
    return new


def _slope(sde: SDE, z: Tensor, t: Tensor, g: Tensor) -> Tensor:
    """g dg/dz of diagonal noise."""
    if sde.derivative is not None:
        return g * sde.derivative(z, t)
    return torch.func.jvp(lambda x: sde.diffusion(x, t), (z,), (g,))[1]


def _sum(weights: Sequence[Q], values: Sequence[Tensor]) -> Tensor:
    """Of the weights that are not 0, from the left."""
    terms = [v if c == 1 else float(c) * v for c, v in zip(weights, values) if c]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _time(z: Tensor, a: float, h: float, c: Q) -> Tensor:
    return torch.full((z.shape[0],), a + float(c) * h, dtype=z.dtype, device=z.device)


def _table(method: str | Table) -> Table:
    if isinstance(method, Table):
        return method
    checks.choice("method", method, METHODS)
    return METHODS[method]


def _increments(seed: int | None, noise: Any) -> Increments:
    if noise is not None and seed is not None:
        raise TypeError("got both of noise and seed; allowed: one of them says what the noise is")
    if isinstance(noise, Brownian):
        return along(noise)
    if noise is None or isinstance(noise, Philox):
        return fresh(noise or Philox(drawn() if seed is None else seed))
    if not callable(noise):
        raise TypeError(f"noise: got {type(noise).__name__}; allowed: Brownian, Philox, a function, None")
    given: Increments = noise
    return given


__all__ = [
    "METHODS", "SDE", "Increments", "Table", "along", "fresh", "geometric", "geometric_log", "integrate", "langevin_type",
    "linear_noise", "step",
]  # fmt: skip
