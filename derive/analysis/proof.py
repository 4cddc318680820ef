r"""The order of a scheme, by the engine that fits it, and the global order of a method with its start and its last steps.

* rows over grid points whose weights solve a moment equation: moments with symbolic step ratios
  (:mod:`derive.analysis.order`), exact for every grid and every kernel;
* stages, or weights that were typed: bicoloured trees at rational step ratios (:mod:`derive.analysis.trees`), exact; of a
  block, whose abscissae the grid decides, at two tuples of ratios with large primes, and on equal steps;
* the same for a kernel that is known by its moments only: jets over F_p (:mod:`derive.analysis.jet_scheme`), wrong with
  probability below 1e-15; its error terms are those of the constant kernel;
* the same where the step is that of DDIM on v (:mod:`derive.families.transfers`), whose Phi and C are the cosine and the
  sine of the angle, the variable of dx = v dphi: jets again; its error terms are the series of these two;
* a table in decimals (``Scheme.digits`` = N): its conditions are met to 10^(10 - N), and a method that meets them exactly
  is less than 10^(15 - N) away, which tests show by Newton-Kantorovich for every table that says so. Such a table is
  classical, in Lawson's form where the kernel is not constant: for y = x/G it is itself, so its order is that of the
  constant kernel.

Nothing here knows the family that made a scheme.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from derive.analysis import trees
from derive.analysis.block import block
from derive.analysis.jet_scheme import certify_scheme
from derive.analysis.order import PROBES, RowOrder, error_function, row_order, uniform_order, uniform_value
from derive.analysis.stiff import stiff_order
from derive.symbolic.forms import ONE, Step, as_expr, is_long, shown
from derive.tableau import Kernel, Row, Scheme, Tableau, at_ratios

MOMENTS = "moments with symbolic step ratios"
TREES = "bicoloured trees, exact"
JETS = "jets over F_p (wrong with probability below 1e-15)"
DECIMALS = "bicoloured trees, to 1e-{}: decimals of an exact method (Newton-Kantorovich)"
AT_RATIOS = ", at rational step ratios"
"""How a block is proved, whose abscissae the grid decides: at both of PROBES."""
SHOWN = 3
"""Error terms that a message shows."""

Term = tuple[str, sp.Expr]
"""A tree and the coefficient of the leading error there."""


@dataclass(frozen=True, slots=True)
class SchemeProof:
    """What holds for one scheme: ``order`` is proved, the next refuted by ``limiting``.

    stiff_order: order uniform in the stiffness (None where the kernel is constant or open and rows have stages);
    weak: the same with weights at z = 0; engine: how it was proved; constant: (exact text, value) of the error constant;
    leading: the leading error on a uniform grid (of a block that has more order there, at other ratios); variable_grid: its
    coefficients on any grid, by derivative; function: the error-constant function; steps: the grid steps that it takes at
    once (a block), its leading error is that over their number, in powers of their mean; predictor, embedded: orders of
    these outputs; residual: of the condition that fails.
    """

    order: int
    stiff_order: int | None
    weak: int | None
    engine: str
    limiting: str
    residual: str
    constant: tuple[str, float]
    leading: str
    variable_grid: Mapping[str, str] = field(default_factory=dict)
    function: str = ""
    predictor: int | None = None
    embedded: int | None = None
    uniform: int | None = None
    """The order on equal steps of the variable, of rows that are proved by moments."""
    values: str = ""
    """What the output combines, in words."""
    steps: int = 1
    row: RowOrder | None = None
    """The proof by moments in full, where that is the engine."""

    @property
    def because(self) -> str:
        """Why the order is not one more, with the residual where it says more than the reason."""
        plain = not self.residual or self.limiting.endswith("only") or "instead of" in self.limiting
        return self.limiting + ("" if plain else f" (residual {self.residual})")

    @property
    def shown_error(self) -> str:
        """The leading error, in units of the kernel's prefactor."""
        power = f"h^{self.order + 1}"
        if not self.variable_grid:
            return f"{power} [{self.leading}], norm {self.constant[1]:.6g}"
        on_any = " + ".join(f"({c}) {name}" for name, c in self.variable_grid.items())
        return f"P {power} [{self.leading}] on a uniform grid, [{on_any}] on any"


def prove_scheme(scheme: Scheme, kernel: Kernel) -> SchemeProof:
    """The proof that fits the scheme; of one that starts earlier, that of the block."""
    if scheme.output.back:
        return _of_block(scheme, kernel)
    if scheme.output.transfer == "ddim":
        return _on_circle(scheme)
    if scheme.stages or any(row.given and not row.moments for row in scheme.rows):
        return _by_trees(scheme, kernel)
    if scheme.corrector is None:
        return _by_moments(scheme.output, kernel)
    predicted, corrected = (_by_moments(row, kernel) for row in (scheme.output, scheme.corrector))
    return _corrected(predicted, corrected, scheme.corrector)


def _of_block(scheme: Scheme, kernel: Kernel) -> SchemeProof:
    """The lowest order at step ratios with large primes; what fails, and the leading error, on equal steps if they have no more."""
    probes = [tuple(ONE * f.numerator / f.denominator for f in probe) for probe in PROBES]
    steps = scheme.output.back + 1
    every = [_by_trees(block(scheme, ratios), kernel, steps) for ratios in probes]
    equal = _by_trees(block(scheme, (ONE,) * len(probes[0])), kernel, steps)
    every.append(equal)
    found = min(every, key=lambda proof: proof.order)
    return replace(
        equal if equal.order == found.order else found,
        stiff_order=_least(proof.stiff_order for proof in every),
        weak=_least(proof.weak for proof in every),
        uniform=equal.order if equal.order > found.order else None,
        engine=found.engine + AT_RATIOS,
    )


def _least(orders: Iterable[int | None]) -> int | None:
    """The lowest of these orders; None if there is one that is not known."""
    known = list(orders)
    return None if None in known else min(k for k in known if k is not None)


def _corrected(predicted: SchemeProof, corrected: SchemeProof, row: Row) -> SchemeProof:
    """PEC: the prediction enters the corrector with a factor h, so the order is min(corrector, predictor + 1).

    Its leading error has the corrector's own terms, and those of the predictor through J = P dF/dx.
    """
    order = min(corrected.order, predicted.order + 1)
    limiting = corrected.limiting
    if order < corrected.order:
        limiting = f"the predictor has order {predicted.order}: {predicted.limiting}"
    stiff = [p.stiff_order for p in (predicted, corrected) if p.stiff_order is not None]
    own = corrected.row if corrected.order == order else None
    constants = {_derivative(k): c.as_expr() for k, c in (own.constants if own else ())}
    if predicted.row is not None and predicted.order + 1 == order:
        weight = _newest_weight(row)
        constants |= {f"J {_derivative(k)}": sp.factor(weight * c.as_expr()) for k, c in predicted.row.constants}
    uniform = {name: c.subs({r: 1 for r in c.free_symbols if r.name[0] == "r"}) for name, c in constants.items()}
    return replace(
        corrected,
        leading=" + ".join(f"{c} {name}" for name, c in uniform.items()).replace("+ -", "- "),
        variable_grid={name: str(c) for name, c in constants.items()},
        order=order,
        limiting=limiting,
        predictor=predicted.order,
        stiff_order=min(stiff[0] + 1, stiff[1]) if len(stiff) == 2 else None,
        uniform=min(corrected.uniform or 0, (predicted.uniform or 0) + 1),
    )


def _newest_weight(row: Row) -> sp.Expr:
    """The weight of a corrector on the predicted value at z = 0, in the step ratios."""
    place = next(i for i, node in enumerate(row.nodes) if node.kind == "stage")
    weight = row.weights[place]
    expr = weight.numerator.as_expr() / sp.Mul(*(d.as_expr() for d in weight.differences))
    flat = {s: sp.Rational(1, sp.factorial(int(s.name[3:]))) for s in expr.free_symbols if s.name.startswith("phi")}
    flat |= {s: sp.Rational(1, int(s.name[2:]) + 1) for s in expr.free_symbols if s.name.startswith("mu")}
    return expr.subs(flat)


def _by_moments(row: Row, kernel: Kernel) -> SchemeProof:
    proved = row_order(row, kernel.rate)
    constants = {_derivative(k): str(c.as_expr()) for k, c in proved.constants}
    uniform = [(k, uniform_value(c)) for k, c in proved.constants]
    return SchemeProof(
        order=proved.order,
        stiff_order=proved.stiff_order,
        weak=None,
        engine=MOMENTS,
        limiting=_reason(proved, row),
        residual=str(proved.limiting),
        constant=(str(uniform[-1][1]), float(uniform[-1][1])) if uniform else ("0", 0.0),
        leading=" + ".join(f"{c} {_derivative(k)}" for k, c in uniform).replace("+ -", "- "),
        variable_grid=constants,
        function=str(error_function(row).as_expr()),
        uniform=uniform_order(row, kernel.rate),
        values=_values(len(row.nodes)),
        row=proved,
    )


def _by_trees(scheme: Scheme, kernel: Kernel, steps: int = 1) -> SchemeProof:
    """By bicoloured trees, or jets; ``steps``: grid steps that the scheme takes at once (a block), for the error of one."""
    rate = kernel.rate if kernel.closed else 0 * ONE
    ratios = tuple(ONE * f.numerator / f.denominator for f in PROBES[0])
    step = scheme.step(ratios, rate)
    tolerance = trees.bound(scheme.digits)
    found = trees.order(step, tolerance=tolerance)
    order, engine = found.order, TREES if scheme.digits is None else DECIMALS.format(scheme.digits - trees.GUARD)
    predictor = trees.order(_predicted(scheme, ratios, rate)).order if scheme.corrector is not None else None
    embedded = trees.order(trees.embedded(step), tolerance=tolerance).order if scheme.embedded is not None else None
    if not kernel.closed and scheme.digits is None:
        jets = certify_scheme(scheme, None)
        order, engine, predictor, embedded = jets.order, JETS, jets.predictor, jets.embedded
    failed = _error_terms(scheme, rate) if scheme.past else found.violated  # without history, ratios do not matter
    terms = [(str(c.tree), _number(c.error * steps ** (c.tree.order - 1))) for c in failed]
    stiff = stiff_order(step) if kernel.closed and kernel.rate != 0 else None
    first = next((c for c in found.violated if c.tree.order == order + 1), None)
    return SchemeProof(
        order=order,
        stiff_order=None if stiff is None else stiff.strong,
        weak=None if stiff is None else stiff.weak,
        engine=engine,
        limiting=str(first) if first else f"order {order + 1} fails for a kernel that is not constant",
        residual=shown(first.residual) if first else "",
        constant=_norm(terms),
        leading=_listed(terms),
        variable_grid={},
        predictor=predictor,
        embedded=embedded,
        values=_values(len(scheme.output.nodes)),
        steps=steps,
    )


def _on_circle(scheme: Scheme) -> SchemeProof:
    """Of steps of DDIM on v: exact - numerical in powers of the angle, beside the order by jets.

    ValueError where the two do not agree.
    """
    order, row = certify_scheme(scheme, None).order, scheme.output
    h = sp.Symbol("h")
    mean = sum((form.at_zero * at_ratios(n.theta, (ONE,) * 16) for n, form in zip(row.nodes, row.given)), start=0 * ONE)
    errors = {"x": 1 - sp.cos(h), "v": h - sp.sin(h), "v'": h**2 / 2 - h * sp.sin(h) * as_expr(mean)}
    series = {name: sp.Poly(sp.series(error, h, 0, 4).removeO(), h) for name, error in errors.items()}
    terms = [(name, c) for name, error in series.items() if (c := error.coeff_monomial(h ** (order + 1)))]
    if not terms or any(error.coeff_monomial(h**k) for error in series.values() for k in range(order + 1)):
        raise ValueError(f"{row.name}: order {order} by jets, but the error is {_listed(terms)}")
    return SchemeProof(
        order=order,
        stiff_order=None,
        weak=None,
        engine=JETS,
        limiting="the state enters with cos(h) instead of 1, h the angle of the step",
        residual=f"{-series['x'].coeff_monomial(h**2)}*h^2",
        constant=_norm(terms),
        leading=_listed(terms),
        values=_values(len(row.nodes)),
    )


def _predicted(scheme: Scheme, ratios: tuple[Any, ...], rate: Any) -> Step:
    return Scheme((), scheme.output).step(ratios, rate)


def _error_terms(scheme: Scheme, rate: Any) -> tuple[trees.Condition, ...]:
    """The conditions of the next order that fail on a uniform grid: the leading error, tree by tree."""
    step = scheme.step((ONE,) * 16, rate)
    return trees.order(step, tolerance=trees.bound(scheme.digits)).violated


def _norm(terms: Sequence[Term]) -> tuple[str, float]:
    """The Euclidean norm of the coefficients of the leading error (Hairer-Norsett-Wanner, II.5)."""
    root = sp.sqrt(sp.Add(*(error**2 for _, error in terms)))
    return str(root), float(root)


def _listed(terms: Sequence[Term]) -> str:
    shown = " + ".join(f"{error} {tree}" for tree, error in terms[:SHOWN]).replace("+ -", "- ")
    return shown + (f" + .. ({len(terms)} trees)" if len(terms) > SHOWN else "")


def _number(x: Any) -> sp.Expr:
    """An exact number as SymPy writes it; a very long one as a decimal."""
    return sp.Float(as_expr(x), 12) if is_long(x) else as_expr(x)


def global_order(tableau: Tableau, proofs: tuple[SchemeProof, ...], starter: SchemeProof | None) -> int:
    """min(p, q_start + 1, q_last + 1): a scheme of order q used O(1) times costs O(h^{q+1}) (zero-stable methods).

    A start by ramp uses every lower scheme once; a one-step method has none to make; ``lower_order`` ends with the first.
    """
    if tableau.table:
        return _of_table(tableau, proofs)
    p = proofs[-1].order
    lowest = min(proof.order for proof in proofs)
    start = p
    if starter is not None:
        start = starter.order + 1
    elif tableau.start != "exact" and tableau.steps > 1:
        start = lowest + 1
    if tableau.final != "lower_order":
        return min(p, start)
    last = min(proof.predictor or proof.order for proof in proofs)  # the last step is never corrected
    return min(p, start, last + 1)


def _values(count: int) -> str:
    """In words; nothing for a row that is there to combine none."""
    return f"{count} value{'s' if count > 1 else ''}" if count else ""


def principal(tableau: Tableau, proofs: Sequence[SchemeProof]) -> int:
    """The scheme whose order is the method's: the last one; of a table the weakest of its body.

    A table has so many steps and no more, hence no limit h -> 0 of its own. What is claimed is the order of the longer
    tables of the same shape: what comes before the body, the body again and again, what comes after it.
    """
    if not tableau.table:
        return len(proofs) - 1
    first, last = tableau.body
    found = [tableau.table[i] for i in tableau.results if first <= i <= last]
    return min(found, key=lambda k: proofs[k].order)


def _of_table(tableau: Tableau, proofs: Sequence[SchemeProof]) -> int:
    """A longer table of the same shape repeats its body: what comes before and after is used O(1) times."""
    first, last = tableau.body
    steps = tableau.results
    before = [proofs[tableau.table[i]].order for i in steps if i < first]
    after = [proofs[tableau.table[i]].order for i in steps if i > last]
    final = proofs[tableau.table[-1]]
    after.append(final.order if final.predictor is None else final.predictor)  # the last step is never corrected
    return min(proofs[principal(tableau, proofs)].order, *(q + 1 for q in (*before, *after)))


def _derivative(k: int) -> str:
    return "F" + "'" * k if k <= 3 else f"F^({k})"


def _reason(main: RowOrder, row: Row) -> str:
    """Why the order is not one more."""
    bad = main.limiting
    count = len(row.nodes)
    if bad.moment >= count:
        return f"{count} value{'s reproduce moments 0 to' if count > 1 else ' reproduces moment'} {count - 1} only"
    if bad.ratio is not None and bad.ratio != 1:
        return f"moment {bad.moment} is {bad.ratio} of the exact one"
    return f"moment {bad.moment} is not the exact one"


__all__ = ["SchemeProof", "global_order", "principal", "prove_scheme"]
