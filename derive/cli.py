"""The command line: ``python -m derive VERB ...``. The only module that prints or decides an exit code.

0 done; 1 does not hold, differs, or would overwrite somebody's work; 2 the spec or the usage is wrong; 3 the machine
refused; 4 our bug; 130 interrupted. Faults go to stderr, a line each; results to stdout; ``--json`` prints one object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from derive.errors import (
    DeriveError,
    Fault,
    InternalError,
    PackageError,
    RefusedError,
    SpecError,
    near_miss,
    package_missing,
    show,
)
from derive.listing import SECTIONS, alias_lines, aliases, entry_line, section
from derive.places import roots, solver_folder, solver_folders, spec_file

SHOWN_FAULTS = 3
STOPS = ("resolve", "pose", "derive", "prove", "lower")
LATEX_STOPS = ("pose", "derive", "prove")
WIDTH = 160
"""Longest line of a formula or proof on the screen of ``new-solver``; derivation.md has the whole of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb has to say: lines for people, data for ``--json``, and the exit code."""

    lines: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    code: int = 0


class _Parser(argparse.ArgumentParser):
    """Usage errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        place = self.prog.removeprefix("python -m derive").strip()
        raise SpecError(Fault(f"{message} (see: {self.prog} --help)", place))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = argparse.Namespace(debug="--debug" in arguments, json="--json" in arguments, quiet="--quiet" in arguments)
    try:
        options = _parse(arguments)
        answer = options.run(options)
        _say(answer, options)
        return answer.code
    except KeyboardInterrupt:
        _complain(["interrupted"], options)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has seen enough
        return 0
    except DeriveError as error:
        return _failed(error, _faults(error), error.exit_code, options)
    except OSError as error:
        return _failed(error, [f"{error.filename or 'file system'}: {error.strerror or error}"], 3, options)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (package := package_missing(error.name)):
            lacks = PackageError(f"python -m derive {getattr(options, 'verb', '')}".strip(), package)
            return _failed(error, _faults(lacks), lacks.exit_code, options)
        what = f"{type(error).__name__}: {ascii(str(error))[:200]}"
        return _failed(error, [f"internal error: {what}; please report this with the spec"], 4, options)


def _faults(error: DeriveError) -> list[str]:
    lines = [str(f) for f in error.faults] if isinstance(error, SpecError) else [_one_line(error)]
    if isinstance(error, InternalError):
        return [f"internal error: {lines[0]}; please report this with the spec"]
    more = len(lines) - SHOWN_FAULTS
    return lines[:SHOWN_FAULTS] + ([f"(and {more} more)"] if more > 0 else [])


def _one_line(error: DeriveError) -> str:
    """A report of many lines as one, ``; `` between them."""
    return "; ".join(" ".join(line.split()) for line in str(error).splitlines() if line.strip())


def _failed(error: BaseException, lines: list[str], code: int, options: argparse.Namespace) -> int:
    if options.debug:
        traceback.print_exception(error)
    _complain(lines, options, code)
    return code


def _complain(lines: list[str], options: argparse.Namespace, code: int = 130) -> None:
    for line in lines:
        print(line.encode("ascii", "backslashreplace").decode(), file=sys.stderr)
    if options.json:
        print(json.dumps({"ok": False, "exit_code": code, "faults": lines}))


def _say(answer: Answer, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"ok": answer.code == 0, **answer.data}, default=str))
    elif not options.quiet:
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        for line in answer.lines:
            print(line.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def _busy(text: str, options: argparse.Namespace) -> None:
    """A line that says what is going on, on a terminal only; empty text wipes it."""
    if sys.stderr.isatty() and not options.quiet and not options.json:
        sys.stderr.write("\r\033[K" + text)
        sys.stderr.flush()


# --- the verbs ---


def _new_solver(options: argparse.Namespace) -> Answer:
    from derive import pipeline

    _busy(f"deriving {options.spec} ...", options)
    try:
        result = pipeline.new_solver(options.spec, options.out, tuple(options.backend) or None, options.force)
    finally:
        _busy("", options)
    derived, folder = result.derived, Path(result.folder)
    name = derived.spec.name
    files = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    lines = [*map(_cut, str(derived.tableau).splitlines()), "", *map(_cut, str(derived.proof).splitlines()), ""]
    lines += [*map(str, result.checked.get("lines", ())), ""]
    lines += [f"{folder}/: {', '.join(files)}", f"written: {', '.join(result.written) or 'nothing, it was up to date'}"]
    lines += [f"next: python -m derive verify {_shown_folder(folder)}"]
    data = {"name": name, "folder": str(folder), "files": files, "written": list(result.written)}
    holds = bool(result.checked.get("ok", True))
    return Answer(lines, {**data, "claims": dict(derived.claims), "checked": dict(result.checked)}, 0 if holds else 1)


def _cut(line: str) -> str:
    mark = " ... (see derivation.md)"
    return line if len(line) <= WIDTH else line[: WIDTH - len(mark)].rstrip() + mark


def _shown_folder(folder: Path) -> str:
    default = Path("generated") / folder.name
    return folder.name if folder.resolve() == default.resolve() else str(folder)


def _verify(options: argparse.Namespace) -> Answer:
    folder = solver_folder(options.target)
    from derive import pipeline

    _busy(f"verifying {folder} ...", options)
    try:
        found = pipeline.verify(folder)
    finally:
        _busy("", options)
    lines = [f"{folder.name}: {'holds' if found.ok else 'does not hold'}", *(f"  {line}" for line in found.lines)]
    return Answer(lines, {"name": folder.name, "holds": found.ok, "lines": list(found.lines)}, 0 if found.ok else 1)


def _regenerate(options: argparse.Namespace) -> Answer:
    place = options.out or next((root for root in roots() if root.is_dir()), Path("generated"))
    folders = solver_folders([place])
    if not folders:
        raise SpecError(Fault(f"no solver in {show(str(place))}: nothing there holds a spec.yaml", "regenerate"))
    lines: list[str] = []
    outcome: dict[str, list[str]] = {}
    refused: list[str] = []
    for number, folder in enumerate(folders, 1):
        _busy(f"[{number}/{len(folders)}] {folder.name}", options)
        try:
            outcome[folder.name] = _differences(folder) if options.check else _replayed(folder, options.force)
        except RefusedError as error:
            refused.append(str(error))
    _busy("", options)
    if refused:
        raise RefusedError("; ".join(refused))
    word = "differs" if options.check else "written"
    for name, changes in outcome.items():
        lines += [f"{name}: {'up to date' if not changes else f'{word}: ' + ', '.join(changes)}"]
    drift = options.check and any(outcome.values())
    return Answer(lines, {"check": options.check, "solvers": outcome}, 1 if drift else 0)


def _differences(folder: Path) -> list[str]:
    from derive import emit, gate, pipeline
    from derive.spec import read_spec

    derived = pipeline.derive(read_spec(folder / "spec.yaml"))
    files = emit.render(derived)
    gate.check(files, derived)
    return emit.compare(files, folder)


def _replayed(folder: Path, force: bool) -> list[str]:
    from derive import pipeline

    return list(pipeline.new_solver(folder / "spec.yaml", folder.parent, None, force).written)


def _explain(options: argparse.Namespace) -> Answer:
    if options.latex and options.stop not in (None, *LATEX_STOPS):
        allowed = ", ".join(LATEX_STOPS)
        raise SpecError(Fault(f"got {show(options.stop)}; allowed with --latex: {allowed}", "explain: --stop"))
    from derive import pipeline
    from derive.spec import read_spec

    derived = pipeline.derive(read_spec(spec_file(options.target)))
    stops = (options.stop,) if options.stop else STOPS
    parts = {"latex": pipeline.explain(derived, options.stop or "", latex=True)} if options.latex else {
        stop: pipeline.explain(derived, stop) for stop in stops
    }  # fmt: skip
    headed = len(parts) > 1
    lines: list[str] = []
    for stop, text in parts.items():
        lines += [*([f"== {stop}"] if headed else []), *text.splitlines(), *([""] if headed else [])]
    return Answer(lines, {"name": derived.spec.name, **parts})


def _list(options: argparse.Namespace) -> Answer:
    if options.schema:
        from derive.spec import schema

        text = schema()
        return Answer(json.dumps(text, indent=2).splitlines(), {"schema": text})
    if options.aliases:
        return Answer(alias_lines(), {"aliases": aliases()})
    sections = {name: section(name) for name in ([options.what] if options.what else SECTIONS)}
    lines: list[str] = []
    for name, entries in sections.items():
        lines += [name, *(entry_line(e) for e in entries), *(["  none yet"] if not entries else []), ""]
    return Answer(lines[:-1], sections)


def _cite(options: argparse.Namespace) -> Answer:
    from derive import lookup
    from derive.references import bibtex, identifiers
    from derive.spec import read_spec

    spec = read_spec(spec_file(options.target))
    parts = [
        lookup.load("derive.families", spec.method.family),
        lookup.load("derive.schedules", spec.problem.schedule.kind),
        lookup.load("derive.predictions", spec.problem.prediction.kind),
    ]
    texts = [*spec.references, *(str(getattr(part, "REFERENCE", "")) for part in parts)]
    entries = bibtex(texts)
    return Answer(entries.splitlines(), {"name": spec.name, "references": list(identifiers(texts)), "bibtex": entries})


def _report(options: argparse.Namespace) -> Answer:
    from derive import reporting

    try:
        path, derived = reporting.report(options.target, options.output, lambda text: _busy(text, options))
    finally:
        _busy("", options)
    return Answer([f"written: {path}"], {"name": derived.spec.name, "file": str(path), "claims": dict(derived.claims)})


def _compare(options: argparse.Namespace) -> Answer:
    from derive import comparing
    from derive.progress import progress

    asked = comparing.request(options.names, options.problem, options.nfe, options.grid, options.output, options.csv)
    shown = not options.quiet and not options.json
    return Answer(*comparing.compare(asked, lambda runs, total: progress(runs, total, "comparing", shown)))


def _audit(options: argparse.Namespace) -> Answer:
    from derive import auditing

    if options.all is not None:
        alone = not (options.target or options.config or options.order or options.html)
        try:
            lines, data, holds = auditing.audit_all(options.all, alone, lambda text: _busy(text, options))
        finally:
            _busy("", options)
        return Answer(lines, data, 0 if holds else 1)
    asked = auditing.request(options.target, options.config, options.order, options.html)
    try:
        found = auditing.audit(asked, lambda text: _busy(text, options))
    finally:
        _busy("", options)
    written = [f"  written: {asked.page}"] if asked.page else []
    return Answer([*found.lines(), *written], found.as_dict(), 0 if found.holds else 1)


def _import_config(options: argparse.Namespace) -> Answer:
    from derive import importing

    asked = importing.asked(
        options.mu, options.image_size, options.sequence_length, options.sigmas, options.gamma, options.tau
    )
    found = importing.import_config(options.config, options.steps, options.name, asked)
    data = {"name": found.spec.name, "class": found.kind, "notes": list(found.notes), "sample": found.call}
    if options.output is None:
        return Answer(found.text.splitlines(), {**data, "spec": found.text})
    written = importing.write(found.text, options.output, options.force)
    lines = [
        f"{options.output}: {'written' if written else 'up to date'}",
        *(f"  note: {note}" for note in found.notes),
    ]
    lines += [f"next: python -m derive new-solver {options.output}"]
    return Answer(lines, {**data, "file": str(options.output), "written": written})


# --- the parser ---


def _parse(arguments: list[str]) -> argparse.Namespace:
    if not arguments:
        raise SpecError(Fault(f"no verb; one of: {', '.join(VERBS)} (see: python -m derive --help)"))
    first = arguments[0]
    if not first.startswith("-") and first not in VERBS:
        raise SpecError(Fault(f"got {show(first)}; verbs: {', '.join(VERBS)}" + near_miss(first, VERBS)))
    return _parser().parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m derive",
        description="Derive, prove and generate solvers from a spec.",
        epilog="exit codes: 0 done; 1 differs or would overwrite; 2 spec or usage; 3 file system; 4 our bug",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        sub = verbs.add_parser(
            name, help=verb.help, description=verb.help, epilog=_examples(verb),
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        )  # fmt: skip
        verb.options(sub)
        sub.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        sub.add_argument("--quiet", action="store_true", help="print nothing but faults")
        sub.add_argument("--debug", action="store_true", help="print the traceback of a failure")
        sub.set_defaults(run=verb.run)
    return parser


def _examples(verb: Verb) -> str:
    return "examples:\n" + "\n".join(f"  python -m derive {line}" for line in verb.examples)


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: what it does, how it is called, what it takes."""

    run: Callable[[argparse.Namespace], Answer]
    help: str
    examples: tuple[str, ...]
    options: Callable[[argparse.ArgumentParser], None]


def _new_solver_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="SPEC.yaml", help="what to derive")
    parser.add_argument(
        "-o", "--out", metavar="DIR", default="generated", help="write DIR/<name>/ (default: ./generated)"
    )
    parser.add_argument("--backend", metavar="B", action="append", default=[], help="a backend, may be repeated")
    parser.add_argument("--force", action="store_true", help="replace edited or foreign files, keeping each as .orig")


def _verify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="NAME|PATH", help="a generated solver")


def _regenerate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if anything differs")
    parser.add_argument("--force", action="store_true", help="replace edited or foreign files, keeping each as .orig")
    parser.add_argument("-o", "--out", metavar="DIR", type=Path, help="the folder of solvers (default: ./generated)")


def _explain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="NAME|SPEC", help="a generated solver or a spec file")
    parser.add_argument("--stop", choices=STOPS, help="one intermediate result (default: all of them)")
    parser.add_argument(
        "--latex", action="store_true", help=f"in LaTeX: the derivation, or one of {', '.join(LATEX_STOPS)}"
    )


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="?", choices=SECTIONS, metavar="|".join(SECTIONS), help="one section (default: all)"
    )
    parser.add_argument(
        "--aliases", action="store_true", help="the names of our solvers in diffusers, A1111, ComfyUI and k-diffusion"
    )
    parser.add_argument("--schema", action="store_true", help="the JSON Schema of a spec, for editors")


def _report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="NAME|SPEC", help="a generated solver or a spec file")
    parser.add_argument("-o", "--output", metavar="FILE.html", help="where to write it (default: NAME.html here)")


def _compare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="generated solvers, by name or path")
    parser.add_argument(
        "--problem", metavar="P", action="append", default=[], help="gaussian, mixture, digits (default: all of them)"
    )
    parser.add_argument("--nfe", metavar="5,10,20", help="network calls (default: 5,10,20,40)")
    parser.add_argument("--grid", metavar="GRID", help="one time grid for all (default: each solver's own)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the plot: .svg, .png or .pdf")
    parser.add_argument("--csv", metavar="FILE", help="write every run as a line of CSV")


def _audit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="TARGET", nargs="?", help="FILE.yaml, FILE.json, diffusers:CLASS or MODULE:NAME"
    )
    parser.add_argument("--all", metavar="PACKAGE", help="instead of a target: diffusers or k-diffusion as installed")
    parser.add_argument(
        "--config", metavar="K=V", action="append", default=[], help="a setting of the target, may be repeated"
    )
    parser.add_argument("--order", metavar="P", type=int, help="the claimed order, where the target does not say it")
    parser.add_argument("--html", metavar="FILE.html", help="write the page")


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="scheduler_config.json", help="what a scheduler of diffusers was saved as")
    parser.add_argument("-o", "--output", metavar="SPEC.yaml", help="write it there (default: print it)")
    parser.add_argument("--steps", metavar="N", type=int, help="steps of the spec's grid (default: 20)")
    parser.add_argument("--name", metavar="NAME", help="name of the solver (default: from the class)")
    parser.add_argument("--mu", metavar="X", type=float, help="of use_dynamic_shifting: the mu of set_timesteps")
    parser.add_argument("--image-size", metavar="WxH", help="instead: the picture, 16 x 16 pixels a token")
    parser.add_argument("--sequence-length", metavar="L", type=int, help="instead: the number of tokens")
    parser.add_argument(
        "--gamma", metavar="X", type=float, help="of TCD: what the pipeline passes as eta (default: 0.3)"
    )
    parser.add_argument("--tau", metavar="X", type=float, help="of SA-Solver: what tau_func returns at every step")
    parser.add_argument(
        "--sigmas", choices=("scheduler", "pipeline"), default="scheduler",
        help="of a flow: the scheduler's own levels (default), or 1 - i/N, which pipelines like Flux's pass to it",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace another file that is there")


def _cite_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="NAME|SPEC", help="a generated solver or a spec file")


VERBS: Mapping[str, Verb] = {
    "new-solver": Verb(
        _new_solver, "derive a solver from a spec, prove its order and write its files",
        ("new-solver spec.yaml", "new-solver spec.yaml -o my_solvers --backend torch"), _new_solver_options),
    "verify": Verb(
        _verify, "re-derive a generated solver, compare its bytes, re-prove its claims, measure its order",
        ("verify sd15_dpmpp_2m", "verify generated/sd15_dpmpp_2m --json"), _verify_options),
    "regenerate": Verb(
        _regenerate, "replay the spec of every generated solver",
        ("regenerate", "regenerate --check"), _regenerate_options),
    "explain": Verb(
        _explain, "print the intermediate results of a derivation",
        ("explain spec.yaml", "explain sd15_dpmpp_2m --stop derive", "explain spec.yaml --latex"), _explain_options),
    "report": Verb(
        _report, "one HTML page: formula, proof, coefficients, stability, measured convergence, cost",
        ("report dpmpp_3m", "report spec.yaml -o report.html"), _report_options),
    "compare": Verb(
        _compare, "error against network calls on problems with a known solution: table, plot, CSV",
        ("compare ddim dpmpp_2m dpmpp_3m", "compare dpmpp_2m edm_ab2 --problem mixture --nfe 5,10,20 -o curves.svg",
         "compare dpmpp_2m dpmpp_3m --grid karras --csv errors.csv"), _compare_options),
    "audit": Verb(
        _audit, "the order of a solver that this project did not write, and its first wrong coefficient",
        ("audit tableau.yaml", "audit diffusers:DPMSolverMultistepScheduler --config solver_order=3",
         "audit k_diffusion.sampling:sample_dpmpp_2m --html audit.html", "audit --all k-diffusion"), _audit_options),
    "import-config": Verb(
        _import_config, "the spec of a scheduler of diffusers, from its scheduler_config.json",
        ("import-config scheduler_config.json", "import-config scheduler_config.json -o spec.yaml --steps 30"),
        _import_options),
    "list": Verb(
        _list, "what exists, a line each with the reference",
        ("list", "list schedules --json", "list --aliases", "list --schema > spec.schema.json"), _list_options),
    "cite": Verb(
        _cite, "BibTeX of what a solver is built on", ("cite sd15_dpmpp_2m",), _cite_options),
}  # fmt: skip
