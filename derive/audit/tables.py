r"""The audit of a tableau: its order by rooted trees, its row sums, and the coefficient that would make the claim true.

The order is proved (and the next one refuted) on the numbers as they are. Where the claim fails, rows that do not add up
to c_i phi_1(c_i z) are wrong by themselves; beyond these, every coefficient is tried alone: a condition that fails is
linear in most entries, so the value that meets it is one quotient, and it counts only if the whole claim then holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from derive.analysis import trees
from derive.analysis.stiff import stiff_order
from derive.audit.finding import Audit, Claim, Grid, Wrong
from derive.audit.nearest import differences
from derive.audit.table_file import Given
from derive.errors import Fault, SpecError
from derive.symbolic.forms import ONE, ZERO, Form, Step, constant, phi
from derive.tableau_text import entry_text

FACTORS = tuple(ONE * p / q for p, q in ((-1, 1), (1, 2), (2, 1), (1, 4), (4, 1), (3, 1), (1, 3), (3, 2), (2, 3)))
HIGHEST, COLOURED = 10, 6
"""Orders up to which trees are tried, in one colour and in two."""
TEXT = 100


def audit_table(given: Given, target: str) -> Audit:
    """The audit of a table against its own claims."""
    step, tolerance = given.step(), given.tolerance
    cap = _cap(step)
    for name, said in (("order", given.order), ("embedded_order", given.embedded_order)):
        if said is not None and said > cap:
            raise SpecError(Fault(f"got {said}; allowed up to {cap}: more trees are not tried", name, target))
    found = _order(given, step)
    sums = tuple(_sums(given))
    claims = [Claim("order", given.order, found.order, _because(found), "the table says so")]
    if given.embedded:
        lower = _embedded(given)
        claims.append(Claim("embedded order", given.embedded_order, lower.order, _because(lower)))
    if given.exponential and given.explicit and not given.c[0]:
        stiff = stiff_order(step)
        because = str(stiff.violated[0]) if stiff.violated else ""
        claims.append(Claim("stiff order", given.stiff_order, stiff.strong, because))
    wrong = [*sums]
    if not all(claim.holds for claim in claims):
        repaired = list(_repairs(given))
        wrong += repaired or differences(given)[1]
    failed = list(_conditions(found)) if given.order and found.order < given.order else []
    tables = (Grid("conditions that fail, by tree", ("tree", "value", "exact"), tuple(failed[:8])),) if failed else ()
    kind = ("exponential" if given.exponential else "Runge-Kutta") + (", explicit" if given.explicit else ", implicit")
    met = "exactly" if not tolerance else f"to {float(tolerance):.0e}"
    return Audit(
        target,
        f"{given.name}: {len(given.b)} stages, {kind}" + (f" [{given.reference}]" if given.reference else ""),
        f"{found.checked} rooted trees in {'two colours' if found.coloured else 'one colour'}; conditions are met {met}",
        tuple(claims),
        tuple(wrong),
        _failures(sums, found.order),
        _notes(claims),
        tables=tables,
        data={"order": found.order, "claimed": given.order},
    )


def _notes(claims: Sequence[Claim]) -> tuple[str, ...]:
    """A pair whose rows were taken for each other."""
    main, lower = claims[0], claims[1:2]
    if lower and lower[0].name == "embedded order" and not main.holds and (lower[0].found or 0) >= (main.claimed or 0):
        return (f"the embedded row has order {lower[0].found}: the rows may be exchanged",)
    return ()


def _failures(sums: Sequence[Wrong], order: int) -> tuple[str, ...]:
    """What is wrong whatever is claimed: a table of order 0 does not converge."""
    if order == 0:
        return (f"no convergence: {sums[0]}",) if sums else ("no convergence",)
    return ()


def _order(given: Given, step: Step) -> trees.TreeOrder:
    highest = (given.order or 0) + 1 if given.order else HIGHEST
    cap = _cap(step)
    if given.order and given.order > 5 and not trees.coloured(step):
        return _by_degrees(step, min(highest, cap), given.tolerance)
    return trees.order(step, min(max(highest, 4), cap), given.tolerance)


def _cap(step: Step) -> int:
    return COLOURED if trees.coloured(step) else HIGHEST


def _by_degrees(step: Step, highest: int, tolerance: Any) -> trees.TreeOrder:
    """A high claim usually fails early: few trees first, all of them after."""
    early = trees.order(step, 4, tolerance)
    return early if early.violated else trees.order(step, highest, tolerance)


def _embedded(given: Given) -> trees.TreeOrder:
    explicit = given.explicit and not given.c[0]
    step = given.step()
    if not explicit and len(given.embedded) > len(given.b):
        step = replace(step, a=(*((*r, Form()) for r in step.a), (*step.b, Form())), thetas=(*step.thetas, ONE))
    own = trees.embedded(step) if explicit else replace(step, b=given.embedded, embedded=None)
    return trees.order(own, max(4, (given.embedded_order or 0) + 1), given.tolerance)


def _because(found: trees.TreeOrder) -> str:
    if not found.violated:
        return "no condition fails up to there"
    first = found.violated[0]
    return _cut(f"order {found.order + 1} fails at {first.tree}: {_decimal(first.value)} instead of {first.exact}")


def _conditions(found: trees.TreeOrder) -> Iterator[tuple[str, str, str]]:
    for condition in found.violated:
        yield str(condition.tree), _cut(_decimal(condition.value)), str(condition.exact)


def _sums(given: Given) -> Iterator[Wrong]:
    """Rows that are not exact for a constant integrand: c_i phi_1(c_i z); at z = 0 where the table has no phi."""
    rows = [(f"a[{i}]", c, row) for i, (c, row) in enumerate(zip(given.c, given.a))]
    rows += [("b", ONE, given.b)]
    rows += [("embedded", ONE, given.embedded)] if given.embedded else []
    lawson = not any(k for _, _, row in rows for form in row for (k, c), _ in form.terms if c)
    for key, end, row in rows:
        total = Form()
        for form in row:
            total = total + form
        exact = phi(1, end, end)
        if lawson or not given.exponential:
            total, exact = constant(total.at_zero), constant(end)
        gap = total - exact
        if any(abs(float(q)) > float(given.tolerance) for _, q in gap.terms):
            yield Wrong(f"sum of {key}", _entry(total), _entry(exact), "the row is not exact for a constant")


def _repairs(given: Given) -> Iterator[Wrong]:
    """Single coefficients that make every claim true, each with the value that does; the first three."""
    count = 0
    for key, old, new, table in _changed(given):
        if count < 3 and _order(table, table.step()).order >= (given.order or 0) and _pair_holds(table):
            count += 1
            yield Wrong(key, _entry(old), _entry(new), "with it alone the claim holds")


def _pair_holds(given: Given) -> bool:
    return not given.embedded or not given.embedded_order or _embedded(given).order >= given.embedded_order


def _changed(given: Given) -> Iterator[tuple[str, Form, Form, Given]]:
    """The table with one coefficient changed: by the factors of slips, or to what meets the first condition that fails.

    In a table of exponentials the first weight of the row, which is usually written as what is left, follows.
    """
    for i, j in itertools.combinations(range(len(given.b)), 2):
        swapped = _with(_with(given, "b", 0, i, given.b[j]), "b", 0, j, given.b[i])
        if given.b[i] != given.b[j]:
            yield f"b[{i}], b[{j}] exchanged: b[{i}]", given.b[i], given.b[j], swapped
    places = [("a", i, j) for i, row in enumerate(given.a) for j, form in enumerate(row) if form]
    places += [("b", 0, j) for j in range(len(given.b))]
    places += [("embedded", 0, j) for j in range(len(given.embedded))]
    for kind, i, j in places:
        old = _row(given, kind, i)[j]
        for new in _candidates(given, kind, i, j, old):
            key = f"{kind}[{i}][{j}]" if kind == "a" else f"{kind}[{j}]"
            yield key, old, new, _with(given, kind, i, j, new)
            if given.exponential and j and _row(given, kind, i)[0]:
                first = _row(given, kind, i)[0] + old - new
                yield key, old, new, _with(_with(given, kind, i, j, new), kind, i, 0, first)


def _row(given: Given, kind: str, i: int) -> tuple[Form, ...]:
    return given.a[i] if kind == "a" else getattr(given, kind)


def _with(given: Given, kind: str, i: int, j: int, new: Form) -> Given:
    row = tuple(new if k == j else form for k, form in enumerate(_row(given, kind, i)))
    if kind == "a":
        return replace(given, a=(*given.a[:i], row, *given.a[i + 1 :]))
    return replace(given, **{kind: row})  # type: ignore[arg-type]


def _candidates(given: Given, kind: str, i: int, j: int, old: Form) -> Iterator[Form]:
    if given.exponential:
        yield from (old * factor for factor in FACTORS if old)
        return
    solved = _solved(given, kind, i, j, old)
    if solved is not None:
        yield constant(solved)


def _solved(given: Given, kind: str, i: int, j: int, old: Form) -> Any:
    """The value of one entry that meets the first condition that fails, if that is linear in it."""
    values = [old.at_zero + k for k in range(3)]
    tables = [_with(given, kind, i, j, constant(v)) for v in values]
    if kind == "embedded":
        found = _embedded(given)
        pick = [_value(t, found, _embedded_step) for t in tables]
    else:
        found = _order(given, given.step())
        pick = [_value(t, found, lambda table: table.step()) for t in tables]
    if not found.violated:
        return None
    slope = pick[1] - pick[0]
    if not slope or (pick[2] - pick[1] - slope if not given.digits else False):
        return None
    return values[0] - (pick[0] - found.violated[0].exact) / slope


def _embedded_step(table: Given) -> Step:
    step = table.step()
    return trees.embedded(step) if table.explicit and not table.c[0] else replace(step, b=table.embedded, embedded=None)


def _value(table: Given, found: trees.TreeOrder, made: Any) -> Any:
    """The value of the tree of the first condition that fails, in another table; 1/gamma where it holds there."""
    tree = found.violated[0].tree if found.violated else None
    for _, wrong in trees.failures(made(table), found.order + 1):
        for condition in wrong:
            if condition.tree == tree:
                return condition.value
    return found.violated[0].exact if found.violated else ZERO


def _decimal(value: Any) -> str:
    text = str(value)
    return text if len(text) < 30 else f"{float(value):.12g}"


def _entry(form: Form) -> str:
    text = entry_text(form)
    if len(text) > 30 and "sqrt" not in text and not any(c for (_, c), _ in form.terms):
        return f"{float(form.at_zero):.12g}"
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else text[: TEXT - 2] + ".."


__all__ = ["audit_table"]
