"""The eight stops from a spec to a checked solver, as eight calls.

read -> resolve -> pose -> derive -> prove -> lower -> emit -> check
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from derive import emit, gate
from derive.analysis.claims import Claims, prove, refute
from derive.derivation import derivation
from derive.errors import Fault, InternalError, PackageError, SpecError, package_missing
from derive.lookup import load
from derive.predictions import Prediction, input_kind, network_scale, network_time
from derive.problems import PoseError, SemilinearProblem
from derive.problems.diffusion import on_path
from derive.program.coefficients import CoefficientModule
from derive.program.ir import Program
from derive.program.lower import coefficients
from derive.program.passes import optimise, streams
from derive.program.phases import lower
from derive.program.verify import verify as verify_program
from derive.schedules import Schedule
from derive.spec import Chosen, Spec, read_spec
from derive.symbolic.surds import number_words, sign
from derive.tableau import Tableau


@dataclass(frozen=True, slots=True)
class Derived:
    """Everything between a spec and its files; every field prints.

    proof: the claims as an object; claims: the content of claims.json.
    """

    spec: Spec
    schedule: Schedule
    prediction: Prediction
    integrand: Prediction
    problem: SemilinearProblem
    tableau: Tableau
    proof: Claims
    program: Program
    module: CoefficientModule
    derivation: tuple[str, ...] = field(repr=False)

    @property
    def integrands(self) -> tuple[Prediction, ...]:
        """Everything that is interpolated, the method's own first."""
        return (self.integrand, *(other.integrand for other in self.problem.others))

    @property
    def claims(self) -> Mapping[str, Any]:
        return self.proof.as_dict(self.spec.name, self.spec.sha256, self.spec.references)


@dataclass(frozen=True, slots=True)
class Integrands:
    """What is interpolated: one quantity, or several where the entries of a table choose.

    quantities: by the first key of the spec that names each, the method's own first; places: which of them a key names.
    """

    quantities: Mapping[str, Prediction]
    places: Mapping[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        """For texts: their kinds, numbered where two are of one kind."""
        kinds = [quantity.kind for quantity in self.quantities.values()]
        return tuple(k if kinds.count(k) == 1 else f"{k} {kinds[: i + 1].count(k)}" for i, k in enumerate(kinds))


@dataclass(frozen=True, slots=True)
class Result:
    """A solver on disk: what was derived, where it is, which files changed, what the check measured."""

    derived: Derived
    folder: Path
    written: tuple[str, ...]
    checked: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a generated folder is what its spec says, with a line per check."""

    ok: bool
    lines: tuple[str, ...]


def new_solver(
    spec_path: str | Path, out_dir: str | Path, backends: tuple[str, ...] | None = None, force: bool = False
) -> Result:
    """Read a spec, derive, prove, emit and check a solver; write ``out_dir/<name>/``.

    Raises SpecError (exit 2), RefusedError (1), FileSystemError (3) or InternalError (4); on any of them nothing is written.
    """
    spec = read_spec(spec_path)
    if backends:
        spec = spec.with_backends(backends)
    derived = derive(spec)
    files = emit.render(derived)
    gate.check(files, derived)
    folder = Path(out_dir) / spec.name
    checked = check(files, spec.name)
    if not checked["ok"]:
        raise InternalError(
            "what was generated fails its own check; nothing is written\n" + "\n".join(checked["lines"])
        )
    if checked.get("grid"):
        raise SpecError(spec.fault("grid", f"no solve can begin on it: {checked['grid']}"))
    written = emit.write(files, folder, force, Path(spec_path))
    return Result(derived, folder, tuple(written), checked)


def derive(spec: Spec) -> Derived:
    """Stops 2 to 6: everything symbolic. Raises SpecError with the place in the spec."""
    schedule, prediction, integrands = resolve(spec)
    problem = pose(spec, schedule, prediction, integrands)
    schedule = problem.schedule  # with the tables of the problem
    tableau = tabulate(spec, problem, integrands)
    scale = network_scale(prediction.network)
    scale = None if scale is None else on_path(scale, schedule)
    program = optimise(lower(tableau, problem, spec.name, scale is not None))
    verify_program(program)
    proof = prove(tableau, cost(program), problem)
    faults = refute(proof, spec.claims)
    if faults:
        raise SpecError(*(spec.fault(f.key, f.message) for f in faults))
    constants: tuple[tuple[str, Any, str], ...] = (
        ("INPUT", input_kind(prediction.network, schedule), "what the network is fed"),
        ("GRID", _plain(spec.grid), "the default grid"),
    )
    if prediction.network.inner_input is not None:
        constants += (("INNER_INPUT", prediction.network.inner_input, "the same between grid points, at stages"),)
    if proof.main.embedded is not None:
        constants += (("EMBEDDED_ORDER", proof.main.embedded, "of the output that the error is estimated with"),)
    fed = _fed(spec, prediction, schedule)
    module = coefficients(tableau, problem, program, fed, scale, constants)
    text = derivation(spec.name, problem, tableau, proof, spec.references)
    return Derived(spec, schedule, prediction, problem.integrand, problem, tableau, proof, program, module, text)


def cost(program: Program) -> tuple[int, int, int]:
    """(kernels, reads, writes) of one full step, all its network calls together."""
    moved = [streams(phase) for phase in program.repeated]
    return sum(p.kernels for p in program.repeated), sum(r for r, _ in moved), sum(w for _, w in moved)


def resolve(spec: Spec) -> tuple[Schedule, Prediction, Integrands]:
    """Stop 2: names -> objects, by folder lookup: the schedule, what the network returns, what is interpolated."""
    faults: list[Fault] = []
    schedule = _build(spec, "derive.schedules", spec.problem.schedule, "problem.schedule", faults)
    prediction = _build(spec, "derive.predictions", spec.problem.prediction, "problem.prediction", faults)
    quantities = {
        key: _build(spec, "derive.predictions", chosen, key, faults) for key, chosen in _quantities(spec).items()
    }
    if not faults:
        faults += _unfit_grid(spec, schedule)
    if faults:
        raise SpecError(*faults)
    return schedule, prediction, _integrands(spec, quantities)


def _quantities(spec: Spec) -> dict[str, Chosen]:
    """Every place of the spec that says what is interpolated."""
    found = {"method.integrand": spec.method.parameters["integrand"]}
    for i, entry in enumerate(_entries(spec)):
        if "integrand" in entry:
            found[f"method.table[{i}].integrand"] = entry["integrand"]
    return found


def _entries(spec: Spec) -> tuple[Mapping[str, Any], ...]:
    """The entries of a table of decisions; no other family has one."""
    return tuple(spec.method.parameters.get("table", ()))


def _integrands(spec: Spec, quantities: Mapping[str, Prediction]) -> Integrands:
    """Each quantity once; the method's own first, unless no entry of a table keeps it."""
    entries = _entries(spec)
    keys = list(quantities)
    if entries and all("integrand" in entry for entry in entries):
        own = _pair(quantities[keys[0]])
        keys = sorted(keys[1:], key=lambda key: _pair(quantities[key]) != own)
    found: dict[tuple[Any, Any], str] = {}
    for key in keys:
        found.setdefault(_pair(quantities[key]), key)
    order = list(found)
    return Integrands(
        {key: quantities[key] for key in found.values()}, {key: order.index(_pair(quantities[key])) for key in keys}
    )


def _pair(quantity: Prediction) -> tuple[Any, Any]:
    """What a quantity is, whatever it is called."""
    return quantity.c0, quantity.c1


INDEX_GRIDS = ("linspace", "leading", "trailing", "simple", "spaced", "spread", "origin")
"""Grids of training steps: without them, no solve would begin."""


def _unfit_grid(spec: Spec, schedule: Schedule) -> list[Fault]:
    """What is wrong with a default grid of training steps."""
    if spec.grid is None or spec.grid.kind not in INDEX_GRIDS:
        return []
    if spec.grid.kind == "spread" and spec.grid.parameters.get("t_end") is not None:
        return []  # between times that are given
    noise, steps = schedule.noise, spec.grid.parameters.get("steps") or 1
    if schedule.data != -1 or noise != int(noise):
        what = f"{spec.grid.kind} has training steps, and {schedule.kind} here has none (its time is {noise} to"
        return [spec.fault("grid.kind", f"{what} {schedule.data}); allowed: any grid but {', '.join(INDEX_GRIDS)}")]
    if steps > int(noise) + 1 and spec.grid.parameters.get("rounded") is not False:
        return [spec.fault("grid.steps", f"got {steps}; allowed: 1 to {int(noise) + 1}, the schedule's training steps")]
    return []


def _fed(spec: Spec, prediction: Prediction, schedule: Schedule) -> Any:
    try:
        return network_time(prediction.network, schedule)
    except ValueError as error:
        raise SpecError(spec.fault("problem.prediction", str(error))) from error


def _build(spec: Spec, folder: str, chosen: Chosen, key: str, faults: list[Fault]) -> Any:
    try:
        return load(folder, chosen.kind).build(**chosen.parameters)
    except ValueError as error:
        faults.append(spec.fault(key, str(error)))
        return None


def pose(spec: Spec, schedule: Schedule, prediction: Prediction, integrands: Integrands) -> SemilinearProblem:
    """Stop 3: the semilinear problem in the method's variable, in every integrand."""
    problem = load("derive.problems", spec.problem.kind)
    variable = spec.method.parameters["variable"]
    posed = []
    for place, integrand in integrands.quantities.items():
        try:
            posed.append(problem.pose(schedule, prediction, integrand, variable, **spec.problem.parameters))
        except PoseError as error:
            key = place if error.key == "method.integrand" else error.key
            raise SpecError(spec.fault(key, str(error))) from error
    whole = replace(posed[0], others=tuple(posed[1:]))
    if spec.method.parameters.get("transfer") is None:
        return whole
    try:
        if spec.problem.kind != "diffusion":
            raise PoseError("method.transfer", f"got ddim for problem {spec.problem.kind}; allowed: with diffusion")
        carried: SemilinearProblem = problem.ddim(whole)
    except PoseError as error:
        raise SpecError(spec.fault(error.key, str(error))) from error
    return carried


def tabulate(spec: Spec, problem: SemilinearProblem, integrands: Integrands) -> Tableau:
    """Stop 4: the family's tableau for the kernel of the posed problem."""
    family = load("derive.families", spec.method.family)
    own = {k: v for k, v in spec.method.parameters.items() if k not in ("integrand", "variable")}
    if "table" in own:
        own["table"] = [
            {**entry, "integrand": integrands.places.get(f"method.table[{i}].integrand", 0)}
            for i, entry in enumerate(own["table"])
        ]
        own["kernels"] = dict(zip(integrands.names, (problem.kernel, *(other.kernel for other in problem.others))))
    try:
        tableau = family.build(problem.kernel, **own)
    except ValueError as error:
        raise SpecError(spec.fault(getattr(error, "key", "method.weights"), str(error))) from error
    if problem.noise is not None:
        _check_noise(spec, problem, tableau)
    steps = spec.grid.parameters.get("steps") if spec.grid else None
    if tableau.table and steps not in (None, len(tableau.table)):
        raise SpecError(
            spec.fault("grid.steps", f"got {steps}; allowed: {len(tableau.table)}, the entries of the table")
        )
    return tableau


def _check_noise(spec: Spec, problem: SemilinearProblem, tableau: Tableau) -> None:
    """SpecError where a step of the method has no noise of its own."""
    schemes = [*tableau.schemes, *([tableau.starter] if tableau.starter else [])]
    where = "problem.kind"
    if tableau.others:
        what = f"sde with {1 + len(tableau.others)} integrands, each of which has a noise of its own"
        raise SpecError(spec.fault(where, f"{what}; allowed: one integrand"))
    if tableau.table and any(s.stages or s.output.back or not s.output.nodes for s in schemes):
        what = "sde with an entry that has order 0, back or an implicit corrector"
        raise SpecError(
            spec.fault(where, f"{what}; allowed in a table of an SDE: order from 1, nodes, taylor, weights")
        )
    if any(scheme.embedded is not None for scheme in schemes):
        raise SpecError(
            spec.fault(
                "method.embedded",
                "a stochastic step has no error estimate; allowed with sde: tables without, such as c, a, b",
            )
        )
    for scheme in schemes:
        ends = [*scheme.abscissae, scheme.output.end]
        if any(sign(b - a) < 0 for a, b in pairwise(ends)):
            got = ", ".join(map(number_words, scheme.abscissae))
            raise SpecError(
                spec.fault(where, f"abscissae {got} turn back; allowed with sde: stages in the order of time")
            )
    if problem.noise is not None and problem.noise.segment is not None and (tableau.steps > 1 or tableau.stages > 1):
        what = f"a consistency model has one value a step; got {tableau.steps} steps"
        raise SpecError(spec.fault("method.steps", f"{what}; allowed: 1"))
    if problem.noise is not None and problem.noise.excess is not None and (tableau.steps > 1 or tableau.stages > 1):
        what = f"DDIM's eta is another tau in every step, which has order 1; got {tableau.steps} steps"
        raise SpecError(spec.fault("problem.eta", f"{what}; allowed: steps 1, or tau"))


def _plain(chosen: Chosen | None) -> dict[str, Any]:
    if chosen is None:
        return {}
    number = {
        k: (v if isinstance(v, (int, str, bool)) else float(v)) for k, v in chosen.parameters.items() if v is not None
    }
    return {"kind": chosen.kind, **number}


def check(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Stop 8: in a fresh process, import the very bytes, compare them with the oracle and the interpreter, measure the order."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="phiforge-") as scratch:
        folder = Path(scratch) / "generated" / name
        folder.mkdir(parents=True)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        return check_folder(folder)


def check_folder(folder: Path) -> dict[str, Any]:
    """The same for a folder on disk."""
    roots = os.pathsep.join(dict.fromkeys([str(Path(__file__).resolve().parent.parent), *filter(None, sys.path)]))
    command = [sys.executable, "-B", "-m", "derive.check", str(folder.resolve())]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": roots}, check=False)
    answer = done.stdout.strip().splitlines()
    if done.returncode not in (0, 1) or not answer:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        found = re.fullmatch(r"ModuleNotFoundError: No module named '([\w.]+)'", last)
        if found and (package := package_missing(found[1])):
            raise PackageError("the check of the generated code", package)
        raise InternalError(f"the check of the generated code failed: {last}")
    report: dict[str, Any] = json.loads(answer[-1])
    return report


def verify(path: str | Path) -> Verification:
    """Re-derive from the spec beside the generated files, compare bytes, re-prove the claims, measure the order."""
    folder = Path(path)
    derived = derive(read_spec(folder / "spec.yaml"))
    files = emit.render(derived)
    gate.check(files, derived)
    differences = emit.compare(files, folder)
    lines = [f"differs: {d}" for d in differences] or [f"{len(files)} files are byte for byte what the spec gives"]
    lines += str(derived.proof).splitlines()
    if differences:
        return Verification(False, tuple(lines))
    report = check_folder(folder)
    return Verification(bool(report["ok"]), (*lines, *report["lines"]))


def explain(derived: Derived, stop: str, latex: bool = False) -> str:
    """The intermediate result of a stop as text; in LaTeX that of pose, derive or prove, or of all ("")."""
    if latex and stop == "derive":
        return derived.tableau.latex()
    if latex:
        return _section(derived.derivation, {"": "", "pose": "## The problem", "prove": "## The proof"}[stop])
    stops: dict[str, str] = {
        "resolve": "\n".join(map(_listing, (derived.schedule, derived.prediction, *derived.integrands))),
        "pose": str(derived.problem),
        "derive": str(derived.tableau),
        "prove": str(derived.proof),
        "lower": str(derived.program),
    }
    return stops[stop]


def _section(lines: tuple[str, ...], heading: str) -> str:
    """The text under a heading of the derivation, with it; all of the text without one."""
    first = lines.index(heading) if heading else 0
    later = (i for i in range(first + 1, len(lines)) if heading and lines[i].startswith("## "))
    return "\n".join(lines[first : next(later, len(lines))])


def _listing(thing: Any) -> str:
    fields = [f for f in thing.__dataclass_fields__ if getattr(thing, f) not in (None, (), {})]
    return "\n".join([type(thing).__name__.lower(), *(f"  {f:<12} {getattr(thing, f)}" for f in fields)])
