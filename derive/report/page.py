"""The page: sections in order, the verdict above them, one HTML file that needs nothing else.

What was proved, what was measured and what is assumed stand in three boxes and never in one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from markupsafe import Markup

from derive.html import environment
from derive.lookup import names
from derive.report.material import Material, Section, claim, tag
from derive.report.prose import inline

Build = Callable[[Material], Section | None]


def page(material: Material) -> str:
    """The HTML text."""
    spec = material.derived.spec
    made = environment()
    return made.get_template("report/page.html.jinja").render(
        name=spec.name,
        description=" ".join(spec.description.split()),
        facts=_facts(material),
        verdict=Markup(verdict(material)),
        boxes=[(name, title, Markup("".join(lines))) for name, title, lines in boxes(material)],
        sections=[(s.name, s.title, Markup(s.body), s.wide) for s in sections(material)],
        style=Markup(made.get_template("report/style.css.jinja").render()),
        sha256=spec.sha256,
    )


def sections(material: Material) -> Iterator[Section]:
    """What every file of this folder builds, by its PLACE."""
    modules = [import_module(f"derive.report.{name}") for name in names("derive.report")]
    for module in sorted(modules, key=lambda m: m.PLACE):
        section = module.build(material)
        if section is not None:
            yield section


def _facts(material: Material) -> list[tuple[str, str]]:
    spec = material.derived.spec
    method = spec.method.parameters
    return [
        ("schedule", spec.problem.schedule.kind),
        ("network returns", spec.problem.prediction.kind),
        ("method", spec.method.family),
        ("interpolates", f"{' and '.join(q.kind for q in material.derived.integrands)} in {method['variable']}"),
    ]


def verdict(material: Material) -> str:
    """One line."""
    claims = material.claims
    if material.derived.proof.law:
        return f"{material.derived.proof.law[0].upper()}{material.derived.proof.law[1:]}; no order."
    measured = [f"{fit.order_estimate:.2f}" for fit, _ in material.orders.values()]  # exact start, then its own
    keys = ["order", "global_order"][: 1 + (claims["global_order"] != claims["order"])]
    parts = [f"order {claim(key, claims[key])} proved" for key in keys]
    parts = [f"{part}, {value} measured" for part, value in zip(parts, measured)] or parts
    line = "; with its start and last steps ".join(parts) + "."
    if claims["weak_order"] is not None:
        return f"{_stochastic(claims)} proved. Its mean: {line}"
    return "O" + line[1:]


def _stochastic(claims: Any) -> str:
    """Both orders of a run with noise."""
    weak, strong = (claim(key, claims[key]) for key in ("weak_order", "strong_order"))
    return f"Weak order {weak} and strong order {strong}"


def boxes(material: Material) -> list[tuple[str, str, list[str]]]:
    """(class, title, paragraphs) of what was proved, measured and assumed."""
    return [
        ("proved", "Proved", [_list(_proved(material))]),
        ("measured", "Measured", [_list(_measured(material))]),
        ("assumed", "Assumed", [_list(map(inline, _assumed(material)))]),
    ]


def _finite_ends(material: Material) -> list[bool]:
    """Whether the variable is finite at each end of the schedule that has alpha = 0 or sigma = 0."""
    problem = material.derived.problem
    ends = (problem.schedule.noise_end, problem.schedule.data_end)
    return [problem.finite[end] for end in ends if end in problem.finite]


def _list(items: Any) -> str:
    return tag("ul", *(tag("li", item) for item in items))


def _proved(material: Material) -> Iterator[str]:
    claims, main = material.claims, material.derived.proof.main
    if material.derived.proof.law:
        yield f"{claim('law', claims['law'])}."
        yield f"By {inline(claims['proof'])}."
        return
    grids = "for all step ratios" if claims["history"] else "for every step"
    if claims["weak_order"] is not None:
        yield f"{_stochastic(claims)} of a whole run with its noise; the rest of this list is about its mean."
    yield f"Order {claim('order', claims['order'])} {grids}, and not {claims['order'] + 1}: {inline(main.because)}."
    rules = inline("start `{start}` and final `{final}`".format_map(claims))
    yield f"Order {claim('global_order', claims['global_order'])} of a whole run, with {rules}."
    if material.derived.proof.body is not None:
        yield inline(_repeated(*material.derived.proof.body))
    if claims["stiff_order"] is not None:
        yield f"Order {claim('stiff_order', claims['stiff_order'])} uniformly in the stiffness."
    leading = claim("error_constant.leading", claims["error_constant"]["leading"])
    where = "at rational step ratios" if main.steps > 1 and main.uniform is not None else "on equal steps"
    yield f"Leading error {tag('code', leading)} {where}{', of a grid step' if main.steps > 1 else ''}."
    if claims["zero_stable"]:
        yield "Zero-stable" + (" on every grid." if claims["history"] else ": a one-step method.")
    yield f"By {inline(claims['proof'])}."


def _repeated(first: int, last: int) -> str:
    """What the orders of a table are about."""
    steps = f"steps {first} to {last}" if last > first else f"step {first}"
    return f"Orders, leading error and stability are those of longer tables of this shape, which repeat {steps}."


def _measured(material: Material) -> Iterator[str]:
    for label, (fit, proved) in material.orders.items():
        decided = "" if fit.decided else ", exponents not settled"
        yield f"Order {fit.order_estimate:.3f} {inline(label)} (proved: {proved}{decided})."
    for line in (*material.checks, *material.notes):
        yield inline(line[:1].upper() + line[1:] + ".")


def _assumed(material: Material) -> Iterator[str]:
    claims, tableau = material.claims, material.derived.tableau
    if material.derived.proof.law:
        yield "The network is a consistency model: what it says at $s$ leads along the flow to $u$. Its own error is not part of this."
        return
    k = claims["order"] + 1
    yield f"The integrand $F$ has {k} continuous derivatives in the variable along the path, with Lipschitz dependence on $x$."
    yield "Order is about small steps, all of which tend to 0 in the variable."
    if not all(_finite_ends(material)):
        yield "Where the variable is infinite at an end, the step that touches it is outside that statement."
    yield "Errors are those of the solver against the exact flow of the network as it is; the network's own error is not part of them."
    if claims["history"]:
        yield "Step ratios stay between two positive bounds."
    if not all(tableau.kernel_of(scheme).closed for scheme in tableau.schemes):
        yield "Nothing of the kernel beyond smoothness: its moments come from quadratures that are checked to 24 digits."
    if "wrong with" in str(claims["proof"]):
        yield "Random points of a finite field stand for identities (the probability of error is stated with the proof)."


__all__ = ["boxes", "page", "sections", "verdict"]
