"""A catalogue of wrong specs: each with the exit code, the place, the key path and the words its message must have.

Cases are edits of :data:`GOOD`, so line numbers are those of that text. ``stage`` is ``read`` where the spec reader itself
finds the fault, ``resolve`` where the schedule, the method or the proof does: the whole pipeline has to report those.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

GOOD = """\
name: my_dpmpp_2m
description: "Second-order multistep"
problem:
  kind: diffusion
  schedule: {kind: vp_linear, beta_start: 0.1, beta_end: 20}
  prediction: noise
method:
  family: exponential_multistep
  steps: 2
  integrand: data
  variable: lambda
  weights: exact
  start: ramp
  final: lower_order
claims: {order: 2}
grid: {kind: karras, steps: 20}
backends: [torch]
references: ["arXiv:2211.01095"]
"""

Place = Literal["file", "missing", "folder", "pipe", "socket"]


@dataclass(frozen=True, slots=True)
class BadSpec:
    """A wrong spec. ``line`` 0: the message has no place in the text. ``beside``: files next to the spec."""

    name: str
    data: str | bytes
    exit_code: int = 2
    line: int = 1
    column: int = 1
    key: str = ""
    contains: tuple[str, ...] = ()
    stage: Literal["read", "resolve"] = "read"
    place: Place = "file"
    beside: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Puts the case (and what lies beside it) into ``folder``; returns the path of the spec."""
        for name, data in self.beside.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        path = folder / "spec.yaml"
        if self.place == "folder":
            path.mkdir()
        elif self.place == "pipe":
            os.mkfifo(path)
        elif self.place == "file":
            path.write_bytes(self.data if isinstance(self.data, bytes) else self.data.encode("utf-8", "surrogatepass"))
        return path


def edited(line: int, *new: str) -> str:
    """:data:`GOOD` with line ``line`` (1-based) replaced by the lines ``new``."""
    lines = GOOD.splitlines()
    return "\n".join([*lines[: line - 1], *new, *lines[line:]]) + "\n"


def without(*gone: int) -> str:
    """:data:`GOOD` without some lines."""
    return "\n".join(line for number, line in enumerate(GOOD.splitlines(), 1) if number not in gone) + "\n"


def at(name: str, line: int, new: str, column: int, key: str, *contains: str, **more: object) -> BadSpec:
    """A case in which line ``line`` reads ``new``."""
    return BadSpec(name, edited(line, *new.split("\n")), 2, line, column, key, contains, **more)  # type: ignore[arg-type]


def formula(name: str, text: str, offset: int, *contains: str, quote: str = '"') -> BadSpec:
    """A case with ``text`` as the formula of alpha; ``offset``: 1-based column within the formula, 0: the value itself."""
    line = f"  schedule: {{alpha: {quote}{text}{quote}, sigma: t, t: [1, 0]}}"
    column = 21 + (offset and offset - 1 + len(quote))
    return at(f"formula_{name}", 5, line, column, "problem.schedule.alpha", *contains)


def schedule(name: str, alpha: str, sigma: str, span: str, *contains: str) -> BadSpec:
    """A written-out schedule that reads well and is wrong: found when it is resolved."""
    line = f'  schedule: {{alpha: "{alpha}", sigma: "{sigma}", t: {span}}}'
    return at(f"schedule_{name}", 5, line, 13, "problem.schedule", *contains, stage="resolve")


def table(
    name: str, rows: str, *contains: str, column: int = 13, key: str = "problem.schedule", **more: object
) -> BadSpec:
    """A schedule given by ``alphas_cumprod: rows``."""
    line = f"  schedule: {{kind: table, alphas_cumprod: {rows}}}"
    return at(f"table_{name}", 5, line, column, key, *contains, **more)


# ------------------------------------------------------------------------------------------------------ the file itself

FILES = [
    BadSpec("missing_file", "", 3, 0, 0, "", ("No such file",), place="missing"),
    BadSpec("folder_for_a_file", "", 3, 0, 0, "", ("a folder",), place="folder"),
    BadSpec("named_pipe", "", 3, 0, 0, "", ("not a regular file",), place="pipe"),
    BadSpec("empty_file", "", 2, 1, 1, "", ("nothing", "name, description, problem")),
    BadSpec("blank_lines", "\n\n  \n", 2, 1, 1, "", ("nothing",)),
    BadSpec("comments_only", "# a\n# b\n", 2, 1, 1, "", ("nothing",)),
    BadSpec("mark_only", b"\xef\xbb\xbf", 2, 1, 1, "", ("nothing",)),
    BadSpec("document_start_only", "---\n", 2, 2, 1, "", ("a mapping",)),
    BadSpec("list_at_top", "- name: x\n- method: y\n", 2, 1, 1, "", ("a list", "a mapping with the keys")),
    BadSpec("scalar_at_top", "hello\n", 2, 1, 1, "", ("a single value", "a mapping")),
    BadSpec("number_at_top", "\n42\n", 2, 2, 1, "", ("a single value",)),
    BadSpec("null_at_top", "null\n", 2, 1, 1, "", ("a single value",)),
    BadSpec("one_megabyte", "# " + "x" * 1_000_000, 2, 1, 1, "", ("256 kB",)),
    BadSpec("one_megabyte_scalar", f"name: {'x' * 1_000_000}\n", 2, 1, 1, "", ("256 kB",)),
    BadSpec("large_list", "x: [" + "1," * 60_000 + "1]\n", 2, 1, 39995, "", ("20000",)),
    BadSpec("many_keys", "".join(f"k{i}: 1\n" for i in range(20_000)), 2, 9999, 8, "", ("20000",)),
    BadSpec("deep_list", "x: " + "[" * 100_000, 2, 1, 24, "x" + "[0]" * 20, ("deeper than 20",)),
    BadSpec("deep_mapping", "x: " + "{a: " * 50_000, 2, 1, 84, "x" + ".a" * 20, ("deeper than 20",)),
    BadSpec("deep_blocks", "".join(" " * i + "a:\n" for i in range(300)), 2, 22, 22, ".".join("a" * 21), ("deeper",)),
    BadSpec(
        "pickle_bytes", b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix", 2, 1, 1, "", ("0x80", "UTF-8")
    ),
    BadSpec("binary", bytes(range(256)), 2, 3, 115, "", ("0x80",)),
    BadSpec("png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", 2, 1, 1, "", ("0x89",)),
    BadSpec("zeros", b"\x00" * 100, 2, 1, 1, "", ("U+0000",)),
    BadSpec("utf16_with_mark", GOOD.encode("utf-16"), 2, 1, 1, "", ("UTF-16", "UTF-8")),
    BadSpec("utf16_without_mark", GOOD.encode("utf-16-le"), 2, 1, 2, "", ("U+0000",)),
    BadSpec("utf32", GOOD.encode("utf-32-le"), 2, 1, 2, "", ("U+0000",)),
    BadSpec("latin1", b'name: a\ndescription: "caf\xe9"\n', 2, 2, 18, "", ("0xe9", "UTF-8")),
    BadSpec("surrogate_bytes", b'name: "\xed\xa0\x80"\n', 2, 1, 8, "", ("0xed",)),
    BadSpec("overlong_bytes", b"name: \xc0\xaf\n", 2, 1, 7, "", ("0xc0",)),
    BadSpec("escape_character", "name: a\x1b[31m\n", 2, 1, 8, "", ("U+001B",)),
    BadSpec("hidden_line_break", "name: a # x\u2028method: b\n", 2, 1, 12, "", ("U+2028",)),
    BadSpec("next_line_character", "name: a\x85b: c\n", 2, 1, 8, "", ("U+0085",)),
    BadSpec("bidi_override", edited(2, 'description: "a\u202eb"'), 2, 2, 16, "", ("U+202E",)),
    BadSpec("bidi_isolate_in_comment", edited(2, "# \u2066 x"), 2, 2, 3, "", ("U+2066",)),
    BadSpec("mark_inside", edited(1, "na\ufeffme: x"), 2, 1, 3, "", ("U+FEFF",)),
    BadSpec("two_documents", GOOD + "---\nname: other\n", 2, 19, 1, "", ("second document",)),
    BadSpec("second_empty_document", GOOD + "---\n", 2, 19, 1, "", ("second document",)),
    BadSpec("yaml_directive", "%YAML 1.1\n---\n" + GOOD, 2, 1, 1, "", ("directive",)),
    BadSpec("tag_directive", "%TAG ! tag:example.com,2000:\n---\n" + GOOD, 2, 1, 1, "", ("directive",)),
    BadSpec("huge_yaml_version", f"%YAML {'9' * 5000}.1\n---\nx: 1\n", 2, 1, 1, "", ("not YAML",)),
]

# ----------------------------------------------------------------------------------------------------------- the syntax

SYNTAX = [
    at("tab_indent", 9, "\tsteps: 2", 1, "", "not YAML", "tabs"),
    BadSpec("tab_for_a_list", edited(17, "backends:", "\t- torch"), 2, 18, 1, "", ("not YAML", "tabs")),
    at("no_blank_after_colon", 9, "  steps:2", 3, "", "colon and blank"),
    at("no_colon", 13, "  start ramp", 3, "", "colon and blank"),
    at("unclosed_double_quote", 18, 'references: ["arXiv:2211.01095]', 14, "", "a quote that is not closed"),
    at("unclosed_single_quote", 18, "references: ['arXiv", 14, "", "a quote that is not closed"),
    at("unclosed_bracket", 17, "backends: [torch", 11, "", "not closed"),
    at("unclosed_brace", 15, "claims: {order: 2", 9, "", "not closed"),
    at("closing_brace_alone", 17, "backends: }", 11, "", "not YAML"),
    at("second_colon", 4, "  kind: diffusion: flow", 18, "", "a second ': '"),
    at("dedent_inside", 10, " integrand: data", 2, "", "indentation"),
    at("at_sign", 6, "  prediction: @noise", 15, "", "quote it"),
    at("backtick", 6, "  prediction: `noise`", 15, "", "quote it"),
    at("percent", 6, "  prediction: %noise", 15, "", "quote it"),
    at("bad_escape", 2, 'description: "a\\qb"', 17, "", "not YAML"),
    at("windows_path_in_quotes", 2, 'description: "C:\\Users"', 19, "", "not YAML"),
    at("huge_code_point", 2, 'description: "\\UFFFFFFFF"', 1, "", "not YAML"),
    at("alias_without_anchor", 6, "  prediction: *n", 15, "problem.prediction", "'*n'", "the value itself"),
    at("anchor", 6, "  prediction: &n noise", 15, "problem.prediction", "'&n'", "no anchors"),
    at("anchor_and_alias", 10, "  integrand: &q data\n  variable: *q", 14, "method.integrand", "'&q'"),
    at("merge_key", 16, "grid: {<<: {kind: karras}, steps: 20}", 8, "grid", "merge key"),
    at("python_object_tag", 6, "  prediction: !!python/object/apply:os.system [id]", 15, "problem.prediction", "tag"),
    at("python_name_tag", 9, "  steps: !!python/name:os.system", 10, "method.steps", "tag"),
    at("plain_tag", 9, "  steps: !!int 2", 10, "method.steps", "tag:yaml.org,2002:int", "no tags"),
    at("local_tag", 6, "  prediction: !noise", 15, "problem.prediction", "tag"),
    at("binary_tag", 1, "name: !!binary aGVsbG8=", 7, "name", "no tags"),
    at("set_tag", 17, "backends: !!set {torch}", 11, "backends", "no tags"),
    at("tagged_key", 15, "claims: {!!str order: 2}", 10, "claims", "plain keys"),
    at("list_as_key", 15, "claims: {[order]: 2}", 10, "claims", "plain keys"),
    BadSpec("mapping_as_key", edited(15, "claims:", "  ? {a: b}", "  : 2"), 2, 16, 5, "claims", ("plain keys",)),
    BadSpec("self_reference", "name: &a [*a]\n", 2, 1, 7, "name", ("'&a'",)),
    BadSpec(
        "list_bomb",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [" + ",".join([f"*{chr(97 + i)}"] * 9) + "]\n" for i in range(8)),
        2,
        1,
        4,
        "a",
        ("'&a'",),
    ),
    BadSpec(
        "merge_bomb",
        "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 30)),
        2,
        2,
        10,
        "a1",
        ("merge key",),
    ),
    BadSpec("duplicate_key", edited(9, "  steps: 2", "  steps: 3"), 2, 10, 3, "method.steps", ("twice", "line 9")),
    BadSpec("duplicate_top_key", edited(1, "name: a", "name: b"), 2, 2, 1, "name", ("twice", "line 1")),
    at("duplicate_in_flow", 15, "claims: {order: 2, order: 3}", 20, "claims.order", "twice"),
    at("duplicate_by_quotes", 15, 'claims: {order: 2, "order": 2}', 20, "claims.order", "twice"),
    at("lone_surrogate_escape", 2, 'description: "\\ud800"', 14, "description", "U+D800"),
    at("surrogate_pair_escapes", 2, 'description: "\\ud83d\\ude00"', 14, "description", "U+D83D"),
    at("surrogate_in_a_key", 15, 'claims: {"\\udc00": 2}', 10, "claims", "surrogate"),
]

# ---------------------------------------------------------------------------------------------------- ambiguous scalars

AMBIGUOUS = [
    at(f"ambiguous_{name}", 9, f"  steps: {text}", 10, "method.steps", repr(text)[1:-1], said)
    for name, text, said in (
        ("yes", "yes", "quote it"), ("no", "No", "quote it"), ("on", "on", "quote it"), ("off", "OFF", "quote it"),
        ("y", "y", "quote it"), ("n", "N", "quote it"), ("true_capital", "True", "small letters"),
        ("null_capital", "NULL", "small letters"), ("tilde", "~", "write null"), ("octal", "010", "leading zeros"),
        ("octal_nine", "09", "leading zeros"), ("octal_new", "0o17", "decimal"), ("hexadecimal", "0x1F", "decimal"),
        ("binary", "0b11", "decimal"), ("underscore", "1_0", "underscores"), ("sexagesimal", "1:30", "base-60"),
        ("date", "2024-01-01", "date"), ("bad_date", "2024-13-45", "date"), ("timestamp", "2024-01-01T00:00:00Z", "date"),
        ("infinity", ".inf", "finite"), ("minus_infinity", "-.Inf", "finite"), ("nan", ".NaN", "finite"),
        ("leading_zero_float", "01.5", "leading zeros"), ("equals", "=", "quote it"),
    )
]  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------- names

NAMES = [
    at(f"name_{name}", 1, f"name: {text}", 7, "name", *said)
    for name, text, *said in (
        ("capital", "Solver", "small letter"), ("dash", "my-solver", "small letter"), ("digit_first", "2m", "small letter"),
        ("underscore_first", "_x", "small letter"), ("blank", "my solver", "small letter"), ("empty", '""', "small letter"),
        ("null", "null", "null", "small letter"), ("number", "42", "42"), ("true", "true", "small letter"),
        ("too_long", "a" * 48 + "b", "47"), ("one_megabyte_like", "a" * 10_000, "..."),
        ("traversal", "../../x", "'../../x'"), ("absolute", "/etc/x", "'/etc/x'"), ("windows_absolute", r"C:\x", "small letter"),
        ("dot", "a.b", "small letter"), ("dots", '".."', "small letter"), ("home", '"~/x"', "small letter"),
        ("trailing_newline", r'"solver\n"', "small letter"),
        ("injection", r'"x\nimport os"', "small letter"), ("nul", r'"a\0b"', "small letter"),
        ("quote", "\"a'b\"", "small letter"), ("template", '"{{7*7}}"', "small letter"), ("comment_end", '"a*/b"', "small letter"),
        ("cookie", '"coding: utf-7"', "small letter"), ("homoglyph", "s\u043elver", "U+043E"), ("ligature", "\ufb01eld", "U+FB01"),
        ("bold", "\U0001d41e\U0001d42f\U0001d41a\U0001d425", "U+1D41E"), ("full_width", "\uff45val", "U+FF45"),
        ("dotless", "s\u0131gma", "U+0131"), ("arabic_digit", "a\u0663", "U+0663"), ("zero_width", "a\u200bb", "U+200B"),
        ("bidi_escape", r'"a\u202eb"', "U+202E"), ("list", "[a]", "a list"), ("mapping", "{a: b}", "a mapping"),
        ("keyword", "lambda", "Python keyword"), ("keyword_class", "class", "Python keyword"),
        ("soft_keyword", "match", "Python keyword"), ("soft_keyword_type", "type", "Python"), ("builtin", "eval", "builtin"),
        ("builtin_print", "print", "builtin"), ("stdlib_random", "random", "standard library"), ("stdlib_os", "os", "standard library"),
        ("torch", "torch", "uses"), ("numpy", "numpy", "uses"), ("triton", "triton", "uses"), ("yaml", "yaml", "uses"),
        ("runtime", "runtime", "of this project"), ("derive", "derive", "of this project"), ("generated", "generated", "of this project"),
        ("c_keyword", "double", "C or C++"), ("c_register", "register", "C or C++"), ("device_con", "con", "Windows"),
        ("device_com1", "com1", "Windows"), ("device_nul", "nul", "Windows"),
    )
]  # fmt: skip

# ------------------------------------------------------------------------------------------ missing and misspelled keys

KEYS = [
    BadSpec("missing_name", without(1), 2, 1, 1, "name", ("missing",)),
    BadSpec("missing_problem", without(3, 4, 5, 6), 2, 1, 1, "problem", ("missing", "kind, schedule, prediction")),
    BadSpec("missing_method", without(*range(7, 15)), 2, 1, 1, "method", ("missing", "family")),
    BadSpec("missing_kind", without(4), 2, 4, 3, "problem.kind", ("missing", "diffusion")),
    BadSpec("missing_schedule", without(5), 2, 4, 3, "problem.schedule", ("missing", "vp_linear")),
    BadSpec("missing_prediction", without(6), 2, 4, 3, "problem.prediction", ("missing", "velocity")),
    BadSpec("missing_family", without(8), 2, 8, 3, "method.family", ("missing", "exponential_multistep")),
    BadSpec("missing_steps", without(9), 2, 8, 3, "method.steps", ("missing", "1 to 6", "exponential_multistep")),
    BadSpec("missing_integrand", without(10), 2, 8, 3, "method.integrand", ("missing", "data, ")),
    BadSpec("only_a_name", "name: x\n", 2, 1, 1, "problem", ("missing",)),
    at("misspelled_top_key", 16, "gird: karras", 1, "gird", "unknown key", "did you mean 'grid'?"),
    at(
        "misspelled_problem_key",
        6,
        "  predicton: noise",
        3,
        "problem.predicton",
        "unknown key",
        "did you mean 'prediction'?",
    ),
    at(
        "misspelled_method_key",
        11,
        "  varible: lambda",
        3,
        "method.varible",
        "allowed: family, steps",
        "did you mean 'variable'?",
    ),
    at(
        "misspelled_schedule_key",
        5,
        "  schedule: {kind: vp_linear, beta_strat: 1}",
        31,
        "problem.schedule.beta_strat",
        "kind vp_linear",
        "did you mean 'beta_start'?",
    ),
    at(
        "misspelled_claim",
        15,
        "claims: {oder: 2}",
        10,
        "claims.oder",
        "order, global_order, stiff_order, embedded_order",
        "did you mean 'order'?",
    ),
    at("misspelled_grid_key", 16, "grid: {kind: karras, expnent: 7}", 22, "grid.expnent", "did you mean 'exponent'?"),
    at(
        "claim_that_is_not_proved",
        15,
        "claims: {reversible: true}",
        10,
        "claims.reversible",
        "unknown key",
        "stiff_order",
    ),
    at(
        "key_of_another_schedule",
        5,
        "  schedule: {kind: flow, beta_start: 1}",
        26,
        "problem.schedule.beta_start",
        "kind flow",
    ),
    at(
        "network_input_of_an_integrand",
        10,
        "  integrand: {kind: data, input: index}",
        27,
        "method.integrand.input",
        "unknown key",
    ),
    at("key_on", 16, "on: 1", 1, "on", "unknown key"),
    at("number_as_key", 16, "3: 1", 1, "3", "unknown key"),
    at("empty_key", 16, '"": 1', 1, "''", "unknown key"),
    at("key_with_newline", 16, r'"a\nb": 1', 1, r"'a\nb'", "unknown key"),
    at("key_with_homoglyph", 16, "gr\u0456d: karras", 1, r"'gr\u0456d'", "unknown key", "did you mean 'grid'?"),
    at("braces_without_quotes", 11, "  variable: {lambda}", 13, "method.variable", "a mapping", "lambda, rho"),
    at(
        "schedule_without_kind", 5, "  schedule: {beta_start: 0.1}", 13, "problem.schedule.kind", "missing", "vp_linear"
    ),
    at(
        "schedule_half_written_out",
        5,
        "  schedule: {alpha: 1-t, t: [1, 0]}",
        13,
        "problem.schedule.sigma",
        "missing",
        "expression",
    ),
    at("prediction_half_written_out", 6, "  prediction: {x0: 1}", 15, "problem.prediction.eps", "missing"),
    at("no_schedule_keys", 5, "  schedule: {}", 13, "problem.schedule", "a mapping {}", "vp_linear"),
]

# ---------------------------------------------------------------------------------------------------------------- kinds

KINDS = [
    at("problem_ode", 4, "  kind: ode", 9, "problem.kind", "'ode'", "allowed consistency, diffusion, sde"),
    at("problem_pde", 4, "  kind: pde", 9, "problem.kind", "'pde'", "diffusion"),
    at("problem_splitting", 4, "  kind: splitting", 9, "problem.kind", "'splitting'", "diffusion"),
    at("problem_misspelled", 4, "  kind: difusion", 9, "problem.kind", "did you mean 'diffusion'?"),
    at("schedule_unknown", 5, "  schedule: vp_cosin", 13, "problem.schedule", "did you mean 'vp_cosine'?"),
    at(
        "schedule_kind_unknown",
        5,
        "  schedule: {kind: vp_liner}",
        20,
        "problem.schedule.kind",
        "did you mean 'vp_linear'?",
    ),
    at("schedule_traversal", 5, "  schedule: ../parameters", 13, "problem.schedule", "vp_linear"),
    at("schedule_dunder", 5, "  schedule: __init__", 13, "problem.schedule", "vp_linear"),
    at("schedule_dotted", 5, "  schedule: os.path", 13, "problem.schedule", "vp_linear"),
    at("prediction_unknown", 6, "  prediction: nosie", 15, "problem.prediction", "did you mean 'noise'?"),
    at("prediction_epsilon", 6, "  prediction: epsilon", 15, "problem.prediction", "noise"),
    at(
        "family_unknown",
        8,
        "  family: exponential_multstep",
        11,
        "method.family",
        "did you mean 'exponential_multistep'?",
    ),
    at("family_module_name", 8, "  family: os", 11, "method.family", "exponential_multistep"),
    at("grid_unknown", 16, "grid: karas", 7, "grid", "did you mean 'karras'?"),
    at("grid_of_the_module", 16, "grid: time_of", 7, "grid", "allowed beta,"),
    at("backend_unknown", 17, "backends: [tourch]", 12, "backends[0]", "did you mean 'torch'?"),
    at("backend_helper", 17, "backends: [printer]", 12, "backends[0]", "torch"),
    at("backend_twice", 17, "backends: [torch, torch]", 19, "backends[1]", "twice"),
    at("weights_unknown", 12, "  weights: mitpoint", 12, "method.weights", "did you mean 'midpoint'?"),
    at("start_unknown", 13, "  start: rampe", 10, "method.start", "did you mean 'ramp'?"),
    at("final_unknown", 14, "  final: lowerorder", 10, "method.final", "did you mean 'lower_order'?"),
]

# --------------------------------------------------------------------------------------------------------------- values

STEPS = [
    at(f"steps_{name}", 9, f"  steps: {text}", 10, "method.steps", *said)
    for name, text, *said in (
        ("zero", "0", "got 0", "1 to 6 for family exponential_multistep"), ("minus_one", "-1", "got -1", "1 to 6"),
        ("ninety_nine", "99", "got 99", "1 to 6"), ("million", "1000000", "got 1000000"), ("float", "2.0", "got 2.0", "an integer"),
        ("half", "2.5", "an integer"), ("exponent", "2e0", "got 2e0", "an integer"), ("true", "true", "got true", "an integer"),
        ("quoted", '"2"', "got '2'", "an integer"), ("word", "two", "got 'two'", "an integer"), ("nan", "nan", "got 'nan'"),
        ("inf", "inf", "got 'inf'"), ("null", "null", "got null"), ("ratio", "4/2", "got '4/2'"),
        ("huge", "9" * 5000, "5000 digits"), ("long_float", "0." + "1" * 5000, "digits"), ("overflow", "1e400", "1e400", "exponents"),
        ("big_exponent", "1e999999999", "exponents"), ("tiny", "1e-99999999999999999999", "exponents"), ("list", "[2]", "a list of 1"),
        ("mapping", "{two: 2}", "a mapping"), ("code", "__import__('os')", "an integer"), ("formula", "1+1", "got '1+1'"),
    )
]  # fmt: skip

VALUES = [
    at("steps_without_value", 9, "  steps:", 9, "method.steps", "got nothing"),
    at("number_word", 5, "  schedule: {kind: vp_linear, beta_start: small}", 43, "problem.schedule.beta_start", "'small'", "a number"),
    at("number_nan", 5, "  schedule: {kind: vp_linear, beta_start: nan}", 43, "problem.schedule.beta_start", "'nan'", "1/3"),
    at("number_zero", 5, "  schedule: {kind: vp_linear, beta_start: 0}", 43, "problem.schedule.beta_start", "got 0", "above 0"),
    at("number_negative", 5, "  schedule: {kind: vp_linear, beta_start: -.1}", 43, "problem.schedule.beta_start", "got -.1", "above 0"),
    at("number_too_large", 5, "  schedule: {kind: vp_linear, beta_end: 1e9}", 41, "problem.schedule.beta_end", "got 1e9", "up to 1000"),
    at("number_ratio_by_zero", 5, '  schedule: {kind: vp_linear, beta_end: "1/0"}', 41, "problem.schedule.beta_end", "'1/0'"),
    at("number_formula", 5, '  schedule: {kind: vp_linear, beta_end: "2*10"}', 41, "problem.schedule.beta_end", "'2*10'"),
    at("number_list", 5, "  schedule: {kind: vp_linear, beta_end: [20]}", 41, "problem.schedule.beta_end", "a list of 1"),
    at("number_true", 5, "  schedule: {kind: vp_linear, beta_end: true}", 41, "problem.schedule.beta_end", "got true"),
    at("steps_of_a_table", 5, "  schedule: {kind: vp_scaled_linear, steps: 5000}", 45, "problem.schedule.steps", "got 5000", "4096"),
    at("span_word", 5, "  schedule: {alpha: 1-t, sigma: t, t: [1, zero]}", 43, "problem.schedule.t[1]", "'zero'", "a finite number"),
    at("span_infinite", 5, "  schedule: {alpha: 1-t, sigma: t, t: [.inf, 0]}", 40, "problem.schedule.t[0]", ".inf", "finite"),
    at("span_scalar", 5, "  schedule: {alpha: 1-t, sigma: t, t: 1}", 39, "problem.schedule.t", "got 1", "a list of"),
    at("claims_list", 15, "claims: [order]", 9, "claims", "a list of 1", "order, global_order"),
    at("claims_number", 15, "claims: 2", 9, "claims", "got 2", "a mapping"),
    at("claim_zero", 15, "claims: {order: 0}", 17, "claims.order", "got 0", "1 to 16"),
    at("claim_float", 15, "claims: {order: 2.0}", 17, "claims.order", "got 2.0", "an integer"),
    at("claim_million", 15, "claims: {global_order: 1000000}", 24, "claims.global_order", "1 to 16"),
    at("grid_steps_zero", 16, "grid: {kind: karras, steps: 0}", 29, "grid.steps", "got 0", "1 to 10000", "kind karras"),
    at("grid_steps_huge", 16, "grid: {kind: karras, steps: 100000000}", 29, "grid.steps", "1 to 10000"),
    at("grid_flag_as_number", 16, "grid: {kind: karras, final_zero: 1}", 34, "grid.final_zero", "got 1", "true, false"),
    at("grid_number_as_text", 16, "grid: {kind: karras, exponent: seven}", 32, "grid.exponent", "'seven'"),
    at("grid_variable_unknown", 16, "grid: {kind: uniform, variable: lamda}", 33, "grid.variable", "did you mean 'lambda'?"),
    at("grid_list", 16, "grid: [karras]", 7, "grid", "a list of 1", "karras"),
    at("backends_word", 17, "backends: torch", 11, "backends", "'torch'", "a list such as [torch]"),
    at("backends_empty", 17, "backends: []", 11, "backends", "an empty list"),
    at("backends_null", 17, "backends: [null]", 12, "backends[0]", "got null"),
    at("references_word", 18, 'references: "arXiv:2211.01095"', 13, "references", "a list of at most 32"),
    at("references_number", 18, "references: [2211.01095]", 14, "references[0]", "2211.01095", "text"),
    at("reference_too_long", 18, f'references: ["{"x" * 301}"]', 14, "references[0]", "301 characters", "300"),
    at("reference_two_lines", 18, r'references: ["a\nb"]', 14, "references[0]", "one line"),
    at("reference_nul", 18, r'references: ["a\0b"]', 14, "references[0]", "one line"),
    at("reference_twice", 18, "references: [a, a]", 17, "references[1]", "twice"),
    at("too_many_references", 18, f"references: [{', '.join(f'r{i}' for i in range(33))}]", 13, "references", "at most 32"),
    at("description_number", 2, "description: 3", 14, "description", "got 3", "text"),
    at("description_list", 2, "description: [a]", 14, "description", "a list of 1"),
    at("description_null", 2, "description: null", 14, "description", "got null"),
    at("description_too_long", 2, f"description: {'x' * 2001}", 14, "description", "2001 characters", "2000"),
    at("description_nul", 2, r'description: "a\0b"', 14, "description", "U+0000"),
    at("description_date", 2, "description: 2024-01-01", 14, "description", "quote it"),
    at("moments_number", 12, "  weights: {moments: 3}", 12, "method.weights", "a mapping with 'moments'", "midpoint"),
    at("moments_empty", 12, "  weights: {moments: {}}", 12, "method.weights", "exact, midpoint"),
    at("moments_misspelled", 12, '  weights: {moment: {1: "1/2"}}', 12, "method.weights", "{moments: {k:"),
    at("moment_key_word", 12, '  weights: {moments: {one: "1/2"}}', 23, "method.weights.moments.one", "'one'", "0 to 5"),
    at("moment_key_large", 12, '  weights: {moments: {99: "1/2"}}', 23, "method.weights.moments.99", "'99'", "0 to 5"),
    at("moment_key_negative", 12, '  weights: {moments: {-1: "1/2"}}', 23, "method.weights.moments.'-1'", "0 to 5"),
    at("moment_key_huge", 12, f'  weights: {{moments: {{{"9" * 100}: "1/2"}}}}', 23,
       "method.weights.moments." + repr("9" * 100)[:57] + "...", "0 to 5"),
    at("moment_name", 12, '  weights: {moments: {1: "phi99/2"}}', 27, "method.weights.moments.1", "unknown name 'phi99'", "phi1, phi2"),
    at("moment_not_a_polynomial", 12, '  weights: {moments: {1: "exp(phi1)"}}', 26, "method.weights.moments.1",
       "a polynomial in phi1", "rational"),
    at("moment_ratio", 12, '  weights: {moments: {1: "1/phi1"}}', 26, "method.weights.moments.1", "a polynomial"),
    at("moment_irrational", 12, '  weights: {moments: {1: "pi*phi1"}}', 26, "method.weights.moments.1", "rational coefficients"),
    at("moment_expansion_bomb", 12, '  weights: {moments: {1: "(phi1+phi2+phi3+mu0+mu1)**20"}}', 27, "method.weights.moments.1",
       "degree 20 in 5 names"),
    at("integrand_expansion_bomb", 10, '  integrand: {x0: "(alpha+sigma+t+rho+lambda)**12", eps: 1}', 20, "method.integrand.x0",
       "degree 12 in 5 names"),
    at("moment_value", 12, "  weights: {moments: {1: [1]}}", 26, "method.weights.moments.1", "a list of 1"),
    at("variable_unknown", 11, "  variable: lamda", 13, "method.variable", "lambda, rho", "did you mean 'lambda'?"),
    at("variable_number", 11, "  variable: true", 13, "method.variable", "got true", "lambda, rho"),
    at("integrand_number", 10, "  integrand: 2", 14, "method.integrand", "got 2", "noise"),
    at("integrand_name", 10, '  integrand: {x0: "1", eps: "kappa"}', 30, "method.integrand.eps", "unknown name 'kappa'", "alpha"),
    BadSpec("problem_word", without(4, 5, 6).replace("problem:", "problem: diffusion"), 2, 3, 10, "problem",
            ("'diffusion'", "a mapping with kind, schedule, prediction")),
    BadSpec("method_word", without(*range(8, 15)).replace("method:", "method: dpmpp_2m"), 2, 7, 9, "method",
            ("'dpmpp_2m'", "a mapping with family")),
    BadSpec("method_nothing", without(*range(8, 15)), 2, 7, 8, "method", ("got nothing", "a mapping with family")),
]  # fmt: skip

# ------------------------------------------------------------------------------------------------------------- formulas

FORMULAS = [
    formula("import", "__import__('os')", 12, "got \"'\""),
    formula("eval", "eval(t)", 1, "unknown function 'eval'", "exp, log, sqrt"),
    formula("open", "open(t)", 1, "unknown function 'open'"),
    formula("attribute", "t.__class__", 2, "got '.'"),
    formula("subscript", "t[0]", 2, "got '['", "brackets are ( )"),
    formula("lambda_payload", "(lambda: t)()", 8, "got ':'"),
    formula("comprehension", "[t for t in t]", 1, "got '['"),
    formula("string", "t + 'x'", 5, "got \"'\""),
    formula("format_string", "f'{t}'", 2, "got \"'\""),
    formula("walrus", "(t := 1)", 4, "got ':'"),
    formula("comparison", "t > 0", 3, "got '>'"),
    formula("conditional", "t if t else 1", 3, "right behind 't'"),
    formula("not_operator", "not t", 1, "unknown name 'not'"),
    formula("boolean", "True", 1, "unknown name 'True'", "t, pi, e"),
    formula("none", "None", 1, "unknown name 'None'"),
    formula("imaginary", "1j*t", 2, "a product is written with *"),
    formula("imaginary_unit", "I*t", 1, "unknown name 'I'"),
    formula("infinity", "oo", 1, "unknown name 'oo'"),
    formula("zoo", "zoo", 1, "unknown name 'zoo'"),
    formula("nan", "nan*t", 1, "unknown name 'nan'"),
    formula("factorial", "factorial(10**8)", 1, "unknown function 'factorial'"),
    formula("gamma", "gamma(10**6)", 1, "unknown function 'gamma'"),
    formula("sum", "Sum(1/k**2, (k, 1, 10**8))", 1, "unknown function 'Sum'"),
    formula("integral", "integrate(exp(sin(t)), t)", 1, "unknown function 'integrate'"),
    formula("factor_integer", "factorint(10**80+7)", 1, "unknown function 'factorint'"),
    formula("binomial", "binomial(10**7, 5*10**6)", 1, "unknown function 'binomial'"),
    formula("near_function", "coss(t)", 1, "did you mean 'cos'?"),
    formula("near_name", "1 - tt", 5, "unknown name 'tt'", "allowed: t, pi, e"),
    formula("ln", "ln(t)", 1, "did you mean 'log'?"),
    formula("arctan", "arctan(t)", 1, "did you mean 'atan'?"),
    formula("caret", "t^2", 2, "a power is written **"),
    formula("implicit_product", "2t", 2, "a product is written with *"),
    formula("implicit_brackets", "(1-t)(1+t)", 6, "a product is written with *"),
    formula("two_numbers", "1 2", 3, "a product is written with *"),
    formula("keyword_behind_number", "1if 1 else 2", 2, "right behind '1'"),
    formula("empty", "", 1, "got nothing"),
    formula("blank", "   ", 4, "got nothing"),
    formula("open_bracket", "exp(-t", 4, "a '(' without its ')'"),
    formula("close_bracket", "exp(-t))", 8, "a ')' without its '('"),
    formula("dangling_operator", "1 -", 4, "got the end"),
    formula("double_operator", "1 */ t", 4, "got '/'"),
    formula("no_argument", "exp()", 4, "one argument"),
    formula("two_arguments", "exp(t, 2)", 6, "one argument"),
    formula("keyword_argument", "exp(x=t)", 6, "got '='"),
    formula("star_argument", "exp(*t)", 5, "got '*'"),
    formula("bare_function", "1 - exp", 5, "exp(...)"),
    formula("statement", "t; t", 2, "got ';'"),
    formula("assignment", "x = t", 3, "right-hand side"),
    formula("comment_sign", "t # x", 3, "got '#'"),
    formula("backslash", "t \\\\ 2", 3, "got '\\\\'"),
    formula("template", "{{t}}", 1, "got '{'"),
    formula("dollar", "$t", 1, "got '$'"),
    formula("cookie", "coding: utf-7", 7, "got ':'"),
    formula("comment_end", "t */ 1", 4, "got '/'"),
    formula("greek", "\u03b1 + t", 1, "U+03B1", "ASCII"),
    formula("homoglyph", "\u0435xp(t)", 1, "U+0435"),
    formula("full_width", "\uff45xp(t)", 1, "U+FF45"),
    formula("bold", "\U0001d41e\U0001d42f\U0001d41a\U0001d425(t)", 1, "U+1D41E"),
    formula("minus_sign", "1 \u2212 t", 3, "U+2212"),
    formula("times_sign", "2\u00d7t", 2, "U+00D7"),
    formula("superscript", "t\u00b2", 2, "U+00B2"),
    formula("no_break_blank", "1\u00a0- t", 2, "U+00A0"),
    formula("zero_width", "t\u200b", 2, "U+200B"),
    formula("arabic_digit", "\u0663*t", 1, "U+0663"),
    formula("power_tower", "9**9**9**9", 7, "exponents are rationals"),
    formula("big_power", "2**(10**9)", 4, "up to 64"),
    formula("ten_million_zeros", "10**(10**7)", 5, "up to 64"),
    formula("power_of_power", "((t**64)**64)**64", 2, "degree"),
    formula("expansion_bomb", "((1+t)**60)**60", 1, "degree"),
    formula("bits_bomb", "(1+1e-150)**64", 13, "4096 bits"),
    formula("irrational_exponent", "t**pi", 4, "rationals p/q"),
    formula("exponent_out_of_range", "t**65", 4, "up to 64"),
    formula("sine_of_tower", "sin(exp(10**9))", 5, "exp of 1e+09 is too large"),
    formula("hidden_constant_tower", "sin(exp(t + 10**9*pi - t))", 5, "too large"),
    formula("large_argument", "cos(10**16)", 5, "up to 1e+15"),
    formula("exp_overflow", "exp(exp(10))", 1, "too large"),
    formula("long_digits", "9" * 1000, 1, "1000 digits", "154"),
    formula("number_overflow", "1e400", 1, "exponents"),
    formula("number_huge_exponent", "1e999999999", 1, "exponents"),
    formula("number_underflow", "1e-400*t", 1, "exponents"),
    formula("too_long", "+".join(["t"] * 1500), 1, "2999 characters", "2000"),
    formula("too_many_terms", "+".join(["t"] * 900), 1, "at most 1000"),
    formula("too_deep", "(" * 60 + "t" + ")" * 60, 41, "deeper than 40"),
    formula("thousand_brackets", "(" * 1000, 41, "deeper than 40"),
    formula("deep_calls", "exp(" * 45 + "t" + ")" * 45, 164, "deeper than 40"),
    formula("deep_signs", "-" * 500 + "t", 42, "deeper than 40"),
    formula("deep_powers", "**".join(["t"] * 60), 124, "deeper than 40"),
    formula("division_by_zero", "1/0", 3, "division by zero"),
    formula("division_by_hidden_zero", "1/(t-t)", 3, "division by zero"),
    formula("division_by_sine_zero", "1/sin(pi)", 3, "division by zero"),
    formula("negative_power_of_zero", "0**-1", 1, "division by zero"),
    formula("log_of_zero", "log(0)", 1, "not a real number"),
    formula("root_of_negative", "sqrt(-1)", 1, "not a real number"),
    formula("cube_root_of_negative", "(-8)**(1/3)", 1, "not a real number"),
    formula("log_of_negative", "log(-2)*t", 1, "not a real number"),
    formula("negative_base", "(-2)**t", 1, "not positive"),
    formula("zero_base", "0**t", 1, "not positive"),
    formula("pole", "tan(pi/2)", 1, "finite"),
    formula("absolute_value", "sqrt(t**2)", 1, "Abs"),
    formula("wrong_variable", "cos(pi*x/2)", 8, "unknown name 'x'", "t, pi, e"),
    formula("symbol_of_another_field", "sigma", 1, "unknown name 'sigma'"),
    formula("unquoted", "cos(pi*x/2)", 8, "unknown name 'x'", quote=""),
    formula("single_quotes", "cos(pi*x/2)", 8, "unknown name 'x'", quote="'"),
    formula("list", "[t]", 0, "a list of 1", "an expression in t", quote=""),
    formula("mapping", "{t}", 0, "a mapping", "an expression in t", quote=""),
    formula("null", "null", 0, "got null", quote=""),
    formula("true", "true", 0, "got true", quote=""),
    formula("date", "2024-01-01", 0, "date", "quote it", quote=""),
    at("formula_cut_at_hash", 5, "  schedule: # {alpha: 1-t, sigma: t, t: [1, 0]}", 12, "problem.schedule", "got nothing"),
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------------- tables

_ROWS_AT = 43
_PATH = "problem.schedule.alphas_cumprod"

TABLES = [
    table("one_row", "[0.5]", "1 numbers", "2 to 4096", column=_ROWS_AT, key=_PATH),
    table("no_rows", "[]", "0 numbers", "2 to 4096", column=_ROWS_AT, key=_PATH),
    table("too_many_rows", "[" + "0.5, " * 4096 + "0.5]", "4097 numbers", "4096", column=_ROWS_AT, key=_PATH),
    table("word_in_rows", "[0.9, half]", "'half'", "a finite number", column=49, key=_PATH + "[1]"),
    table("nan_in_rows", "[0.9, .nan]", "finite", column=49, key=_PATH + "[1]"),
    table("row_above_one", "[1.5, 0.5]", "got 1.5", "up to 1", column=44, key=_PATH + "[0]"),
    table("negative_row", "[0.5, -0.5]", "got -0.5", "from 0", column=49, key=_PATH + "[1]"),
    table("nested_rows", "[[0.9], [0.5]]", "a list of 1", column=44, key=_PATH + "[0]"),
    table("mapping", "{0: 0.9}", "a mapping", "a list of", column=_ROWS_AT, key=_PATH),
    table("number", "0.9", "got 0.9", "a JSON file", column=_ROWS_AT, key=_PATH),
    table("file_absolute", "/etc/passwd", "'/etc/passwd'", "in or below the folder", column=_ROWS_AT, key=_PATH),
    table("file_traversal", "../x.json", "'../x.json'", "in or below the folder", column=_ROWS_AT, key=_PATH),
    table("file_windows_path", r"'..\x.json'", "in or below the folder", column=_ROWS_AT, key=_PATH),
    table("file_home", '"~/../../etc/passwd"', "in or below the folder", column=_ROWS_AT, key=_PATH),
    table("file_nul", r'"a\0.json"', "in or below the folder", column=_ROWS_AT, key=_PATH),
    table("file_not_json", "a.json", "not a JSON list", column=_ROWS_AT, key=_PATH, beside={"a.json": b"hello"}),
    table("file_object", "a.json", "not a JSON list of numbers", column=_ROWS_AT, key=_PATH, beside={"a.json": b'{"a": 1}'}),
    table("file_texts", "a.json", "not a JSON list", column=_ROWS_AT, key=_PATH, beside={"a.json": b'["0.9", "0.5"]'}),
    table("file_nan", "a.json", "not a JSON list", "NaN", column=_ROWS_AT, key=_PATH, beside={"a.json": b"[0.9, NaN]"}),
    table("file_infinity", "a.json", "Infinity", column=_ROWS_AT, key=_PATH, beside={"a.json": b"[0.9, -Infinity]"}),
    table("file_true", "a.json", "not a JSON list", column=_ROWS_AT, key=_PATH, beside={"a.json": b"[0.9, true]"}),
    table("file_deep", "a.json", "not a JSON list", column=_ROWS_AT, key=_PATH, beside={"a.json": b"[" * 100_000}),
    table("file_digits", "a.json", "5000 digits", column=_ROWS_AT, key=_PATH, beside={"a.json": b"[" + b"9" * 5000 + b"]"}),
    table("file_large", "a.json", "256 kB", column=_ROWS_AT, key=_PATH, beside={"a.json": b"[" + b" " * 300_000 + b"]"}),
    table("file_utf16", "a.json", "not a JSON list", column=_ROWS_AT, key=_PATH, beside={"a.json": b"\x80\x04pickle"}),
    table("file_pickle", "a.pkl", "not a JSON list", column=_ROWS_AT, key=_PATH, beside={"a.pkl": b"\x80\x04\x95\x00."}),
    table("file_range", "a.json", "got 1.5", column=_ROWS_AT, key=_PATH + "[1]", beside={"a.json": b"[0.9, 1.5]"}),
    table("file_one_row", "a.json", "1 numbers", column=_ROWS_AT, key=_PATH, beside={"a.json": b"[0.9]"}),
    BadSpec("table_file_missing", edited(5, "  schedule: {kind: table, alphas_cumprod: gone.json}"), 3, 5, _ROWS_AT, _PATH,
            ("gone.json", "No such file")),
    BadSpec("table_file_is_a_folder", edited(5, "  schedule: {kind: table, alphas_cumprod: sub}"), 3, 5, _ROWS_AT, _PATH,
            ("a folder",), beside={"sub/x": b""}),
]  # fmt: skip

# -------------------------------------------------------------------------------- found when the spec is worked out

RESOLVE = [
    schedule("sigma_negative", "1-t", "-t", "[1, 0]", "sigma"),
    schedule("alpha_negative", "t-2", "t", "[1, 0]", "alpha"),
    schedule("alpha_zero_inside", "1-2*t", "t", "[1, 0]", "alpha"),
    schedule("sigma_zero_inside", "1-t/2", "(t-1/2)**2", "[1, 0]", "sigma"),
    schedule("complex", "sqrt(t-1/2)", "t", "[1, 0]", "alpha"),
    schedule("log_of_negative", "1", "log(t)", "[1, 0.5]", "sigma"),
    schedule("pole_inside", "1/(t-1/2)**2", "t", "[1, 0]", "alpha"),
    schedule("pole_at_end", "1", "1/t", "[1, 0]", "sigma"),
    schedule("snr_not_monotone", "1", "1+sin(6*t)/2", "[1, 0]", "monotone"),
    schedule("snr_falls_backwards", "t", "1-t", "[1, 0]", "noise"),
    schedule("snr_constant", "1", "2", "[1, 0]", "monotone"),
    schedule("snr_constant_ratio", "1-t/2", "2-t", "[1, 0]", "monotone"),
    schedule("both_zero", "1-t", "1-t", "[1, 0]", "sigma"),
    schedule("empty_interval", "1-t", "t", "[1, 1]", "t"),
    schedule("identically_zero", "t-t", "t", "[1, 0]", "alpha"),
    at("schedule_betas_reversed", 5, "  schedule: {kind: vp_linear, beta_start: 20, beta_end: 0.1}", 13, "problem.schedule",
       "beta_start", stage="resolve"),
    at("schedule_sigmas_reversed", 5, "  schedule: {kind: ve, sigma_min: 50, sigma_max: 1}", 13, "problem.schedule",
       "sigma_min", stage="resolve"),
    table("repeats", "[0.9, 0.5, 0.5, 0.1]", "0.5", stage="resolve"),
    table("rises", "[0.9, 0.5, 0.7, 0.1]", "alphas_cumprod", stage="resolve"),
    table("all_zero", "[0, 0]", "alphas_cumprod", stage="resolve"),
    at("table_of_neither", 5, "  schedule: {kind: table}", 13, "problem.schedule", "alphas_cumprod", "sigmas", stage="resolve"),
    at("prediction_is_the_state", 6, '  prediction: {x0: alpha, eps: sigma}', 15, "problem.prediction", "proportional",
       stage="resolve"),
    at("integrand_is_the_state", 10, '  integrand: {x0: alpha, eps: sigma}', 14, "method.integrand", "proportional",
       stage="resolve"),
    at("prediction_is_zero", 6, '  prediction: {x0: 0, eps: 0}', 15, "problem.prediction", "proportional", stage="resolve"),
    at("claim_too_high", 15, "claims: {order: 3}", 17, "claims.order", "provable", stage="resolve"),
    at("claim_sixteen", 15, "claims: {order: 16}", 17, "claims.order", "provable", stage="resolve"),
    at("global_claim_too_high", 15, "claims: {global_order: 5}", 24, "claims.global_order", "provable", stage="resolve"),
    at("moment_beyond_the_steps", 12, '  weights: {moments: {4: "phi1"}}', 12, "method.weights", "moment 4", stage="resolve"),
    BadSpec("named_weights_for_other_steps", edited(9, "  steps: 3").replace("exact", "midpoint"), 2, 12, 12,
            "method.weights", ("midpoint",), stage="resolve"),
    schedule("overflow", "1", "exp(exp(10*t))", "[1, 0]", "sigma", "above 1e150"),
]  # fmt: skip


# ------------------------------------------------------------------------------------- every wrong type for every key

_SLOTS = {
    "name": (1, "name: ", ("text",)),
    "description": (2, "description: ", ("text",)),
    "problem.kind": (4, "  kind: ", ()),
    "problem.schedule": (5, "  schedule: ", ()),
    "problem.prediction": (6, "  prediction: ", ()),
    "method.family": (8, "  family: ", ()),
    "method.steps": (9, "  steps: ", ("3",)),
    "method.integrand": (10, "  integrand: ", ()),
    "method.variable": (11, "  variable: ", ("3", "2.5", "text")),
    "method.weights": (12, "  weights: ", ()),
    "method.start": (13, "  start: ", ()),
    "method.final": (14, "  final: ", ()),
    "claims.order": (15, "claims: {order: ", ("3",)),
    "claims": (15, "claims: ", ("{}",)),
    "grid": (16, "grid: ", ()),
    "grid.steps": (16, "grid: {kind: karras, steps: ", ("3",)),
    "grid.final_zero": (16, "grid: {kind: karras, final_zero: ", ("true",)),
    "backends": (17, "backends: ", ()),
    "references": (18, "references: ", ("[]",)),
}
_WRONG = ("3", "2.5", "true", "null", "text", "[]", "{}")

TYPES = [
    at(f"type_{key}_{text}", line, start + text + ("}" if "{" in start else ""), len(start) + 1, key, "got ", "allowed")
    for key, (line, start, right) in _SLOTS.items()
    for text in _WRONG
    if text not in right
]

CASES: list[BadSpec] = [
    *FILES, *SYNTAX, *AMBIGUOUS, *NAMES, *KEYS, *KINDS, *STEPS, *VALUES, *FORMULAS, *TABLES, *TYPES, *RESOLVE,
]  # fmt: skip
"""Every case; names are unique."""
