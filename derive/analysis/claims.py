"""Claims: what was proved about a solver. Written to ``claims.json``; tests and reports read it, nobody types an order twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import groupby
from typing import Any

from derive.analysis.law import prove_law
from derive.analysis.noise_claims import prove_stochastic
from derive.analysis.noise_order import NoiseProof
from derive.analysis.proof import SchemeProof, global_order, principal, prove_scheme
from derive.analysis.stability import Posed, StabilitySummary, summary
from derive.errors import Fault
from derive.tableau import Tableau

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Claims:
    """Proved properties of one tableau with its start and final rules.

    schemes: the proof of every scheme by order, the method last; starter: that of the starter; global_order: with the
    declared rules; history: integrand values kept; stability: computed when it is first read; kernels, reads, writes:
    cost of one main step, all calls together; of a table that of the step that most of its results have.
    """

    schemes: tuple[SchemeProof, ...]
    starter: SchemeProof | None
    global_order: int
    evaluations_per_step: int
    history: int
    start: str
    final: str
    stability: StabilitySummary
    kernels: int
    reads: int
    writes: int
    principal: int = -1
    """Which of ``schemes`` is the method: the last, or of a table the weakest of the steps it repeats."""
    body: tuple[int, int] | None = None
    """Of a table, the first and the last of the grid steps that a longer one repeats: its orders are those of longer ones."""
    switches: str = ""
    """Of a table that switches between integrands, which steps combine which, in words."""
    kept: int = 1
    """In how many integrands the values of the history are kept."""
    law: str = ""
    """Of a consistency model, what holds in the place of an order (:mod:`derive.analysis.law`)."""

    of_noise: Callable[[], NoiseProof | None] = field(default=lambda: None, compare=False, repr=False)
    """The proof of weak and strong order, when it is first read; None where nothing is drawn."""

    @property
    def noise(self) -> NoiseProof | None:
        """Weak and strong order with start and last steps, of an SDE."""
        return self.of_noise()

    @property
    def main(self) -> SchemeProof:
        """The method's own proof."""
        return self.schemes[self.principal]

    @property
    def order(self) -> int:
        """Classical order on variable grids, from exact start values; 0 where there is a law in its place."""
        return 0 if self.law else self.main.order

    @property
    def stiff_order(self) -> int | None:
        """Order that holds uniformly in z."""
        return None if self.law else self.main.stiff_order

    def as_dict(self, name: str, spec_sha256: str, references: tuple[str, ...]) -> dict[str, Any]:
        """The content of claims.json (schema 1)."""
        main, noise = self.main, self.noise
        found: dict[str, Any] = {
            "schema": SCHEMA,
            "name": name,
            "spec_sha256": spec_sha256,
            "order": self.order,
            "uniform_order": main.uniform,
            "global_order": self.global_order,
            "stiff_order": self.stiff_order,
            "stiff_order_weak": main.weak,
            "embedded_order": main.embedded,
            "predictor_order": main.predictor,
            "strong_order": None if noise is None else _short(noise.strong),
            "weak_order": None if noise is None else noise.weak,
            "proof": main.engine,
            "error_constant": {
                "exact": main.constant[0],
                "value": main.constant[1],
                "leading": main.leading,
                "variable_grid": dict(main.variable_grid),
                "function": main.function or None,
            },
            "evaluations_per_step": self.evaluations_per_step,
            "history": self.history,
            "start": self.start,
            "start_order": None if self.starter is None else self.starter.order,
            "final": self.final,
            "row_orders": [proof.order for proof in self.schemes],
            "zero_stable": self.stability.zero.stable,
            "stability": self.stability.as_dict(),
            "reversible": False,
            "cost": {"kernels": self.kernels, "reads": self.reads, "writes": self.writes},
            "references": list(references),
        }
        if self.law:
            none: dict[str, Any] = {
                "exact": None,
                "value": None,
                "leading": None,
                "variable_grid": {},
                "function": None,
            }
            own = {
                "uniform_order": None,
                "proof": "identities of the weights",
                "error_constant": none,
                "row_orders": [0],
            }
            found |= {**own, "law": self.law}
        return found

    def __str__(self) -> str:
        main = self.main
        if self.law:
            cost = f"1 evaluation and {self.kernels} kernel a step, {self.reads} reads + {self.writes} writes"
            return f"no order, since a step does not become short with h\n{self.law}\n{cost}"
        grids = "on variable grids " if self.history else ""
        lines = [
            f"order {self.order} {grids}(and not {self.order + 1}: {main.because}); by {main.engine}",
            f"global order {self.global_order} with start {self.start}, final {self.final}",
        ]
        noise = self.noise
        if noise is not None:
            lines.append(f"weak order {noise.weak}, strong order {noise.strong} with start and final step")
        if self.body:
            first, last = self.body
            repeated = f"steps {first} to {last} are" if last > first else f"step {first} is"
            lines.append(f"orders are those of longer tables of this shape: {repeated} what they repeat")
        lines += (
            [f"{self.switches}; leading error and stability are those of the steps they repeat"]
            if self.switches
            else []
        )
        if main.uniform not in (None, self.order):
            lines.insert(1, f"order {main.uniform} on equal steps of the variable")
        if main.predictor is not None:
            lines.append(f"the prediction alone has order {main.predictor}")
        if main.embedded is not None:
            lines.append(f"the embedded output has order {main.embedded}")
        if self.stiff_order is not None:
            weak = f", {main.weak} with weights at z = 0" if main.weak is not None else ""
            lines.append(f"stiff order {self.stiff_order}{weak}")
        lines.append(f"leading error {main.shown_error}")
        if any(proof.steps > 1 for proof in self.schemes):
            lines.append("error and limits of a block are per grid step: h is that of the grid, not the block's length")
        lines += str(self.stability).splitlines()
        calls, kernels = self.evaluations_per_step, self.kernels
        most = "at most " if self.body and calls > 1 else ""
        lines.append(
            f"{most}{calls} evaluation{'s' * (calls > 1)} and {kernels} kernel{'s' * (kernels > 1)} a step, "
            f"{self.reads} reads + {self.writes} writes, history {self.history}"
            + (f" in {self.kept} integrands" if self.kept > 1 else "")
        )
        return "\n".join(lines)


def prove(tableau: Tableau, cost: tuple[int, int, int], problem: Posed | None = None) -> Claims:
    """Everything that holds for the tableau; ``cost`` is (kernels, reads, writes) of a full step as it is lowered.

    problem: for the stability on Gaussian data, where integrand and variable allow it.
    """
    proofs = tuple(prove_scheme(scheme, tableau.kernel_of(scheme)) for scheme in tableau.schemes)
    starter = None if tableau.starter is None else prove_scheme(tableau.starter, tableau.kernel)
    law = prove_law() if getattr(getattr(problem, "noise", None), "segment", None) is not None else ""
    return Claims(
        schemes=proofs,
        starter=starter,
        global_order=0 if law else global_order(tableau, proofs, starter),
        evaluations_per_step=tableau.stages,
        history=tableau.steps - 1,
        start=tableau.start,
        final=tableau.final,
        stability=summary(tableau, None if law else problem),
        kernels=cost[0],
        reads=cost[1],
        writes=cost[2],
        principal=principal(tableau, proofs),
        body=tableau.body if tableau.table else None,
        switches=switches(tableau),
        kept=len(tableau.kept),
        law=law,
        of_noise=partial(_noise, tableau, problem),
    )


def _noise(tableau: Tableau, problem: Any) -> NoiseProof | None:
    return None if getattr(problem, "noise", None) is None else prove_stochastic(tableau, problem)


def _short(order: Fraction) -> int | float:
    """1, or 1.5."""
    return int(order) if order.denominator == 1 else float(order)


def switches(tableau: Tableau) -> str:
    """``steps 0 to 3 combine data, 4 to 9 noise``: the integrands of a table that has several; else nothing."""
    if not tableau.others:
        return ""
    parts, first = [], 0
    uses = [tableau.names[tableau.schemes[k].integrand] for k in tableau.table]
    for name, run in groupby(uses):
        last = first + len(list(run)) - 1
        parts.append(f"{first} to {last} {name}" if last > first else f"{first} {name}")
        first = last + 1
    return f"integrand by step: {', '.join(parts)}"


def refute(proved: Claims, claimed: Mapping[str, int | Fraction]) -> list[Fault]:
    """A fault for every claim that is not provable: the first failing condition, with its residual and the provable order."""
    faults = [
        Fault(f"{proof.values} give order 0: {proof.limiting}; allowed: weights that leave order 1", "method.weights")
        for proof in proved.schemes
        if proof.order < 1 and proof.values
    ][:1]
    main = proved.main
    if proved.law:
        return [
            Fault(f"{key} {value} is not provable: a consistency model has none", f"claims.{key}")
            for key, value in claimed.items()
        ]
    if main.order < 1 and not main.values:
        message = (
            "the steps that a longer table repeats combine no value (order: 0); allowed: entries of order from 1 there"
        )
        faults = [Fault(message, "method.table")]
    if "order" in claimed and claimed["order"] > main.order:
        residual = f" (residual {main.residual})" if main.residual else ""
        message = f"order {claimed['order']} is not provable: {main.limiting}{residual}; provable order {main.order}"
        faults.append(Fault(message, "claims.order"))
    known: dict[str, tuple[Any, str]] = {
        "global_order": (proved.global_order, f" with start {proved.start}, final {proved.final}"),
        "stiff_order": (proved.stiff_order, ""),
        "embedded_order": (main.embedded, ""),
    }
    if {"weak_order", "strong_order"} & claimed.keys():
        noise = proved.noise
        rules = f" with start {proved.start}, final {proved.final}"
        known |= {key: (noise and getattr(noise, key[:-6]), rules) for key in ("weak_order", "strong_order")}
    for key, (value, rules) in known.items():
        if key not in claimed:
            continue
        if value is None:
            faults.append(Fault(f"{key} {claimed[key]} is not provable: this method has none", f"claims.{key}"))
        elif claimed[key] > value:
            faults.append(Fault(f"{key} {claimed[key]} is not provable{rules}; provable {value}", f"claims.{key}"))
    return faults


__all__ = ["SCHEMA", "Claims", "prove", "refute"]
