"""Weak and strong order of a posed stochastic method with its start: what ``claims.json`` says beside the order of its rows.

A run has the orders of the method that it goes on with, lowered by what starts and ends it: one step of a scheme of weak
order q adds O(h^{q+1}) to the moments and, of strong order s, O(h^{s+1/2}) to the path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, Protocol

from derive.analysis.noise_order import NoiseLaw, NoiseProof, prove_noise
from derive.tableau import Kernel, Scheme, Tableau

KINDS: dict[tuple[Any, Any], Literal["data", "noise"]] = {(1, 0): "data", (0, 1): "noise"}


class Stochastic(Protocol):
    """What is read of a problem: its noise (share T, excess, segment), its integrand c0 x0 + c1 eps, its variable."""

    @property
    def noise(self) -> Any: ...
    @property
    def integrand(self) -> Any: ...
    @property
    def variable(self) -> str: ...


def law_of(problem: Stochastic) -> NoiseLaw | None:
    """The noise of its steps, exact with one path for all stages; None: there is none, or a step has no order (segment)."""
    noise = problem.noise
    if noise is None or getattr(noise, "segment", None) is not None:
        return None
    known = noise.share.is_Rational and problem.variable == "lambda"
    kind = KINDS.get((problem.integrand.c0, problem.integrand.c1)) if known else None
    stochasticity = Fraction(int(noise.share.p), int(noise.share.q)) if kind else None
    return NoiseLaw(stochasticity, noise.variance if noise.excess is None else "eta", integrand=kind)


def prove_stochastic(tableau: Tableau, problem: Stochastic) -> NoiseProof | None:
    """The proof of the scheme that a run repeats, its orders with the declared start and last steps; None: no noise.

    Of a table of decisions, the weakest of its schemes.
    """
    law = law_of(problem)
    if law is None:
        return None

    def proved(scheme: Scheme) -> NoiseProof:
        return _proved(scheme, tableau.kernel_of(scheme), law)

    if tableau.table:
        return min(map(proved, tableau.schemes), key=lambda proof: (proof.weak, proof.strong))
    main = proved(tableau.schemes[-1])
    return _with_ends(tableau, main, proved)


def _with_ends(tableau: Tableau, main: NoiseProof, proved: Callable[[Scheme], NoiseProof]) -> NoiseProof:
    few = []
    if tableau.start == "ramp" or tableau.final == "lower_order":
        few += list(tableau.schemes[:-1])
    if tableau.starter is not None:
        few.append(tableau.starter)
    ends = [proved(scheme) for scheme in few]
    weak = min([main.weak, *(proof.weak + 1 for proof in ends)])
    strong = min([main.strong, *(proof.strong + Fraction(1, 2) for proof in ends)])
    return replace(main, weak=weak, strong=strong)


@lru_cache(maxsize=256)
def _proved(scheme: Scheme, kernel: Kernel, law: NoiseLaw) -> NoiseProof:
    return prove_noise(scheme, kernel, law)


__all__ = ["law_of", "prove_stochastic"]
