"""A tableau as phases: what happens between two calls of the network, for every shape of method.

* multistep: ``x' = a x + b0 m0 + b1 m[1] + ..``, one phase per order;
* stages: call 0 keeps x_n as ``y``, call i turns its output into ``k_i`` and moves from y to the next stage, the last
  one to x_{n+1};
* predictor-corrector (one call a step): the value at the prediction first corrects the step that led there,
  ``xc = ca y + cb0 m0 + cb1 m[1] + ..``, then predicts from xc; one phase per order of the corrector.

A table of decisions has one way per scheme, ``step_k``, and where steps are corrected one per pair that occurs, of the
corrector applied on entry and the predictor: ``step_q_p`` (0: none).

Where a table switches between integrands, a call converts the network's output to each of them that it reads or that
the history keeps (``m0``, ``n0``, ..), while state and output are at hand: a later step of another integrand then finds its
own values, and no step needs the states of the past or converts what it finds. What is kept is the same for every step.

Of an SDE every phase whose part of the step has a noise draws ``z`` and adds ``s z``. Where a later call builds on the same
noise, it is added to what that call starts from: ``yn = y + s z``, one path for the stages of a step and its end; the base
of a predictor-corrector is ``yn = a x + s z``, which the corrector takes as it is.

Weights that a tableau declares to be zero are not read. What a phase leaves is a prefix of what the next one finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from derive.problems import SemilinearProblem
from derive.program.ir import Combine, Draw, Evaluate, Keep, Line, Operation, Phase, Program
from derive.program.memory import LETTERS, integrands
from derive.program.memory import newest as newest_of
from derive.tableau import Node, Row, Scheme, Tableau

Term = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Shape:
    """What all phases of a program share.

    converts: of every integrand, whether the network's output has to be converted to it; scaled: whether the network sees
    a multiple of the state; history: how many past grid points stay; kept: the integrands in which they do; noisy: whether
    steps have noise.
    """

    converts: tuple[bool, ...]
    scaled: bool
    history: int
    kept: tuple[int, ...] = (0,)
    noisy: bool = False

    @property
    def letters(self) -> str:
        """The letters of the integrands that are kept."""
        return "".join(LETTERS[k] for k in self.kept)

    @property
    def most(self) -> int:
        """Values that a history has."""
        return self.history * len(self.kept)

    def evaluation(
        self, wanted: Sequence[int], call: int = 0, lasts: bool = False
    ) -> tuple[list[Operation], list[str]]:
        """The operations that make the newest value in each of the ``wanted`` integrands, and their names.

        lasts: whether later calls of the step read them. The network's own output stands for the value that it is; beside
        others that are kept it gets the name of that value.
        """
        node = f"n+c{call}" if call else "n"
        operations: list[Operation] = [Evaluate("raw", "x", node, "cin" if self.scaled else None)]
        lines, names = [], []
        for k in wanted:
            name = f"k{call}" if call else newest_of(k)
            if self.converts[k]:
                cx, cr = conversion(k)
                lines.append(Line(name, ((cx, "x"), (cr, "raw"))))
            elif len(self.converts) == 1 or call or not (lasts or k in self.kept):
                name = "raw"
            else:
                lines.append(Line(name, ((None, "raw"),)))
            names.append(name)
        return operations + ([Combine(tuple(lines))] if lines else []), names

    def past(self, points: int) -> tuple[str, ...]:
        """What the history holds of so many grid points."""
        return integrands(points, self.letters)


def conversion(integrand: int) -> tuple[str, str]:
    """The columns (cx, cr) with F = cx x + cr raw."""
    return (f"cx{integrand}", f"cr{integrand}") if integrand else ("cx", "cr")


def lower(tableau: Tableau, problem: SemilinearProblem, name: str, scaled: bool) -> Program:
    """The unfused program; ``scaled``: the network sees a multiple of the state."""
    converts = tuple(problem.of(k).to_integrand != (0, 1) for k in tableau.integrands)
    phases, columns = phases_of(tableau, converts, scaled, problem.noise is not None)
    history = tableau.steps if tableau.corrects else tableau.steps - 1
    found = ways(tableau)
    table = tuple(found.index(way) for way in _taken(tableau))
    kept = "".join(LETTERS[k] for k in tableau.kept)
    return Program(name, phases, columns, history, found, table, kept, tuple(tableau.results))


def phases_of(
    tableau: Tableau, converts: bool | tuple[bool, ...], scaled: bool, noisy: bool = False
) -> tuple[tuple[Phase, ...], tuple[str, ...]]:
    """All phases, those of lower order first, and the columns of their coefficients. converts: of every integrand; noisy:
    whether steps have noise."""
    converted = converts if isinstance(converts, tuple) else (converts,)
    shape = Shape(converted, scaled, tableau.steps - 1, tableau.kept, noisy)
    if tableau.corrects:
        phases = _correcting(tableau, shape)
    else:
        phases = [_single(shape)] if _starts_alone(tableau) else []
        for k, scheme in enumerate(tableau.schemes):
            phases += _calls(scheme, names(k, tableau), shape)
    if tableau.starter:
        phases += _calls(tableau.starter, begin_names(tableau), shape)
    return tuple(phases), _columns(tableau, shape)


def ways(tableau: Tableau) -> tuple[tuple[str, ...], ...]:
    """The ways to take a grid step: names of phases by call."""
    if tableau.table:
        return tuple(dict.fromkeys(_taken(tableau)))
    begin = (begin_names(tableau),) if tableau.starter else ()
    if tableau.corrects:
        return (*((name,) for name in _correcting_names(tableau)), *begin)
    single = (("start_1",),) if _starts_alone(tableau) else ()
    return (*single, *(names(k, tableau) for k in range(len(tableau.schemes))), *begin)


def _starts_alone(tableau: Tableau) -> bool:
    """Whether the method needs a step of order 1 that it has not among its own."""
    return bool(tableau.schemes[0].stages) and not tableau.table


def pairs(tableau: Tableau) -> tuple[tuple[int, int], ...]:
    """Of every grid step of a table, (scheme whose corrector is applied on entry, scheme), counted from 1; 0: none."""
    places = (0, *(k + 1 for k in tableau.table))
    return tuple(pairwise(places))


def _taken(tableau: Tableau) -> list[tuple[str, ...]]:
    """The way of every grid step of a table."""
    if tableau.corrects:
        return [(f"step_{q}_{p}",) for q, p in pairs(tableau)]
    return [names(k, tableau) for k in tableau.table]


def names(index: int, tableau: Tableau) -> tuple[str, ...]:
    """Names of a scheme's phases: ``start_k``, ``main``; with stages ``stage_1, .., main`` or ``start_k_1, start_k_2, ..``.

    Of a table ``step_k`` or ``step_k_1, step_k_2, ..``.
    """
    count = tableau.schemes[index].evaluations
    if tableau.table:
        name = f"step_{index + 1}"
        return (name,) if count == 1 else tuple(f"{name}_{i}" for i in range(1, count + 1))
    if index == len(tableau.schemes) - 1:
        return (*(f"stage_{i}" for i in range(1, count)), "main")
    if count == 1:
        return (f"start_{index + 1}",)
    return tuple(f"start_{index + 1}_{i}" for i in range(1, count + 1))


def begin_names(tableau: Tableau) -> tuple[str, ...]:
    """Names of the starter's phases."""
    return tuple(f"begin_{i}" for i in range(1, tableau.starter.evaluations + 1)) if tableau.starter else ()


def column(node: Node) -> str:
    """The column of a node's weight."""
    return f"{'b' if node.kind == 'history' else 'd'}{node.index}"


def _single(shape: Shape) -> Phase:
    """Order 1 in one call, for methods that have no such scheme of their own: where an end of the domain asks for it."""
    operations, (newest,) = shape.evaluation((0,))
    operations += _stepped("x", (("b0", newest),), shape.noisy)
    operations.append(Keep((newest,)[: shape.history], shape.history))
    return Phase("start_1", (), tuple(operations))


def _stepped(state: str, terms: Sequence[Term], draws: bool) -> list[Operation]:
    """x' = a x + .., with s z where the step has noise."""
    if not draws:
        return [Combine((Line("x'", (("a", state), *terms)),))]
    return [Draw("z", "normal"), Combine((Line("x'", (("a", state), *terms, ("s", "z"))),))]


def _calls(scheme: Scheme, called: tuple[str, ...], shape: Shape) -> list[Phase]:
    """One phase per call of the scheme."""
    rows = (*scheme.stages, scheme.output)
    return [_call(scheme, row, i, name, shape) for i, (row, name) in enumerate(zip(rows, called, strict=True))]


def _call(scheme: Scheme, row: Row, call: int, name: str, shape: Shape) -> Phase:
    past = shape.past(scheme.past)
    own = scheme.integrand
    found = tuple(sorted({*((own,) if row.nodes else ()), *shape.kept}))
    lasts = call < len(scheme.stages)
    operations, newest = shape.evaluation((own,) if call else found, call, lasts)
    here = {k: newest_of(k) for k in found} if call else dict(zip(found, newest, strict=True))
    values = (*(f"k{i}" for i in range(1, call)), *newest) if call else ()
    terms: list[Term] = []
    for node in _read(row):
        terms.append((column(node), values[node.index - 1] if node.kind == "stage" else _at(node.index, own, here)))
    base = "y" if call else "x"
    draws = shape.noisy and scheme.advances(call)
    if draws and lasts:
        operations += [Draw("z", "normal"), Combine((Line("yn", ((None, base), ("s", "z"))),))]
        base, draws = "yn", False
    operations += _stepped(base, terms, draws)
    if lasts:
        kept = (base, *here.values(), *values, *past)
        carried = max(0, shape.most - len(shape.kept) - len(past))  # the step itself adds its own to the history
        operations.append(Keep(kept, len(kept) + carried))
    else:
        operations.append(Keep((*(here[k] for k in shape.kept), *past)[: shape.most], shape.most))
    before = ("y", *map(newest_of, found), *(f"k{i}" for i in range(1, call)), *past)
    return Phase(name, before if call else past, tuple(operations))


def _at(ago: int, integrand: int, newest: Mapping[int, str]) -> str:
    """The value of an integrand so many grid points ago."""
    return f"{LETTERS[integrand]}[{ago}]" if ago else newest[integrand]


def _read(row: Row) -> list[Node]:
    """Nodes with a weight, the history before the stages."""
    used = [n for i, n in enumerate(row.nodes) if not row.given or row.given[i]]
    return sorted(used, key=lambda node: (node.kind, node.index))


def _correcting_names(tableau: Tableau) -> tuple[str, ...]:
    count = len(tableau.schemes)
    enter = ("enter",) if tableau.start != "ramp" and tableau.steps > 1 else ()
    return (*enter, *(f"start_{q}" for q in range(1, count + 1)), "main")


def _correcting(tableau: Tableau, shape: Shape) -> list[Phase]:
    """By the order of the corrector on entry: none, 1, 2, ..; ``enter``: none, but the history is there; tables: by pair."""
    if any(scheme.corrector is None for scheme in tableau.schemes):
        raise ValueError("every order of a predictor-corrector method has its corrector")
    phases = []
    if tableau.table:
        for q, p in dict.fromkeys(pairs(tableau)):
            before = tableau.schemes[q - 1].corrector if q else None
            alone = q == 0 and tableau.start == "ramp"
            phases.append(_corrected(f"step_{q}_{p}", before, tableau.schemes[p - 1].output, tableau, shape, alone))
        return phases
    for name in _correcting_names(tableau):
        if name == "enter":
            phases.append(_corrected(name, None, tableau.main, tableau, shape))
            continue
        order = len(tableau.schemes) if name == "main" else int(name.removeprefix("start_")) - 1
        corrector = tableau.schemes[order - 1].corrector if order else None
        predictor = tableau.schemes[min(order, len(tableau.schemes) - 1)].output
        phases.append(_corrected(name, corrector, predictor, tableau, shape, alone=name == "start_1"))
    return phases


def _corrected(
    name: str, corrector: Row | None, predictor: Row, tableau: Tableau, shape: Shape, alone: bool = False
) -> Phase:
    """One call; ``alone``: nothing before it belongs to the history."""
    ahead = _read(predictor)
    behind = _read(corrector) if corrector else []
    found = tuple(sorted({*shape.kept, predictor.integrand}))
    operations, newest = shape.evaluation(found)
    here = dict(zip(found, newest, strict=True))
    past = shape.past(max((*(n.index for n in ahead), *(n.index + 1 for n in behind if n.kind == "history"))))
    state = "x"
    if corrector:
        state = "xc"
        order = sorted(behind, key=lambda node: (node.kind != "stage", node.index))
        ago = {node: 0 if node.kind == "stage" else node.index + 1 for node in order}
        terms = [(_corrector_column(n), _at(ago[n], corrector.integrand, here)) for n in order]
        operations.append(Combine((Line("xc", ((None if shape.noisy else "ca", "y"), *terms)),)))
    weights = tuple((column(n), _at(n.index, predictor.integrand, here)) for n in ahead)
    if shape.noisy:
        base = Line("yn", (("a", state), ("s", "z")))
        operations += [Draw("z", "normal"), Combine((base, Line("x'", ((None, "yn"), *weights))))]
        state = "yn"
    else:
        operations += _stepped(state, weights, False)
    most = 1 + tableau.steps * len(shape.kept)
    kept = (state, *(here[k] for k in shape.kept), *past)[:most]
    operations.append(Keep(kept, len(kept) if alone else most))
    return Phase(name, ("y", *past) if corrector else past, tuple(operations))


def _corrector_column(node: Node) -> str:
    return "cb0" if node.kind == "stage" else f"cb{node.index + 1}"


def _columns(tableau: Tableau, shape: Shape) -> tuple[str, ...]:
    """``a``, the weights of m0, m[1], .., of the stages, of the corrector, the conversion, the scale."""
    schemes = (*tableau.schemes, *((tableau.starter,) if tableau.starter else ()))
    nodes = [n for s in schemes for row in (*s.stages, s.output) for n in row.nodes]
    past = max((n.index for n in nodes if n.kind == "history"), default=0)
    stages = max((n.index for n in nodes if n.kind == "stage"), default=0)
    columns = ["a", *(f"b{j}" for j in range(past + 1)), *(f"d{i}" for i in range(1, stages + 1))]
    if tableau.corrects:
        known = [n.index for s in schemes if s.corrector for n in s.corrector.nodes if n.kind == "history"]
        count = 2 + max(known, default=-1)
        columns += [*(() if shape.noisy else ("ca",)), *(f"cb{j}" for j in range(count))]
    for k, converts in enumerate(shape.converts):
        columns += conversion(k) if converts else ()
    columns += ["s"] if shape.noisy else []
    return (*columns, *(("cin",) if shape.scaled else ()))


__all__ = ["begin_names", "column", "conversion", "lower", "names", "pairs", "phases_of", "ways"]
