r"""A step that somebody wrote: step(f, t, x, h) for x' = f(t, x), or step(f, t, x, h, L) for x' = L x + f(t, x), L diagonal.

The order conditions are computed in fractions where the code takes these (:mod:`derive.audit.stepping_trees`): a proof. One
step from exact values, h halved: its error is c h^{p+1}. Numbers are mpmath's at 60 digits in NumPy arrays of objects
where the code takes these, so that the exponent is certain; else float64. A step with a linear part is tried on a real
spectrum and on one that turns, which shows coefficients that lost their imaginary part, and on a constant f its weight is
compared with phi_1(h L).
"""

from __future__ import annotations

import cmath
import inspect
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from derive.audit.finding import Audit, Claim, Grid, Wrong, not_run
from derive.audit.guard import tamed, thrown
from derive.audit.sampler import Unusable
from derive.audit.stepping_trees import HIGHEST, conditions

DIGITS = 60
LEVELS = 6
FIRST = 0.125
SPECTRA = {"real spectrum": (-1.0, -0.5, -2.0), "complex spectrum": (1j, -0.5 + 2j, -1.5j)}


def shape_of(function: Any) -> int:
    """4 for step(f, t, x, h), 5 with L, else 0."""
    try:
        names = [name for name, p in inspect.signature(function).parameters.items() if p.default is p.empty]
    except (TypeError, ValueError):
        return 0
    return len(names) if names[:4] == ["f", "t", "x", "h"] and len(names) in (4, 5) else 0


def claim(step: Any) -> int | None:
    """Its attribute ``order``, where that is a number."""
    found = getattr(step, "order", None)
    return found if isinstance(found, int) else None


def audit_step(step: Callable[..., Any], target: str, claimed: int | None) -> Audit:
    """The audit of a step against the claimed order."""
    linear = shape_of(step) == 5
    kind = "a semilinear equation, by step(f, t, x, h, L)" if linear else "an ordinary equation, by step(f, t, x, h)"

    def guarded(*given: Any) -> Any:
        with tamed():
            return step(*given)

    try:
        return _audited(guarded, target, claimed, kind, linear)
    except Unusable as error:
        return not_run(target, f"one step of {kind}", "one step", claimed, f"a step {error}", f"it {error}")
    except (Exception, SystemExit) as error:  # foreign code: whatever it throws is a finding
        return not_run(target, f"one step of {kind}", "one step", claimed, f"a step throws {thrown(error)}")


def _audited(step: Callable[..., Any], target: str, claimed: int | None, kind: str, linear: bool) -> Audit:
    claims, wrong, tables = [], [], []
    proof = None if linear else _proved(step, claimed)
    for name, spectrum in SPECTRA.items() if linear else (("", None),):
        found, errors, how = _order(step, spectrum)
        because = f"one step: h^{found + 1}"
        if proof is not None and proof[2] and proof[0] <= found:
            found, (tree, value, exact) = proof[0], proof[2][0]
            because = f"order {found + 1} fails at {tree}: {value} instead of {exact}"
        claims.append(Claim(f"order, {name}" if name else "order", claimed, found, because))
        rows = tuple((f"{h:.5g}", f"{float(e):.3e}", p) for h, e, p in errors)
        tables.append(Grid(f"error of one step{', ' + name if name else ''} ({how})", ("h", "error", "exponent"), rows))
        if spectrum is not None:
            wrong += _constant(step, spectrum)
    data = {"order": min(c.found or 0 for c in claims), "claimed": claimed}
    how = "errors of one step from exact values, h halved"
    if proof is not None:
        how = f"{proof[1]} rooted trees, exactly: the code was run on the equations of trees in fractions; {how}"
        if claims[0].claimed and not claims[0].holds:
            cells = tuple((tree, str(value), str(exact)) for tree, value, exact in proof[2][:8])
            tables.insert(
                0, Grid("conditions that fail, by tree (t: a leaf that is the time)", ("tree", "value", "exact"), cells)
            )
            wrong += [
                Wrong(f"weight of {tree}", value, exact, "an order condition") for tree, value, exact in cells[:3]
            ]
    return Audit(target, f"one step of {kind}", how, tuple(claims), tuple(wrong), tables=tuple(tables), data=data)


def _proved(step: Callable[..., Any], claimed: int | None) -> tuple[int, int, list[Any]] | None:
    """The order conditions in fractions; None if the code does not take these."""
    try:
        return conditions(step, min(max(claimed or 0, 3) + 1, HIGHEST))
    except (Exception, SystemExit):  # foreign code on numbers that are no floats
        return None


def _constant(step: Callable[..., Any], spectrum: tuple[complex, ...]) -> list[Wrong]:
    """The weight of a constant f beside phi_1(h L)."""
    h, L = 0.5, np.array(spectrum)
    x = np.zeros(len(L), dtype=complex)
    got = np.asarray(step(lambda t, y: np.ones(len(L), dtype=complex), 0.0, x, h, L)) / h
    out = []
    for value, rate in zip(got, L):
        z = h * complex(rate)
        exact = (cmath.exp(z) - 1) / z
        if abs(value - exact) > 1e-10:
            out.append(Wrong(f"phi_1({z:.3g})", f"{complex(value):.6g}", f"{exact:.6g}", "the weight of a constant f"))
    return out


def _field(t: Any, x: Any) -> Any:
    """A coupled, non-autonomous polynomial of the state: what any kind of number can do."""
    a, b, c = x
    s = 1 + t / 2 - t * t / 3
    third = type(a)(1) / 3 if not isinstance(a, complex) else 1 / 3
    return np.array([s * b - a * c * third, a * a * third - b * s + t, third * (a * b - c) + s * t], dtype=x.dtype)


def _order(
    step: Callable[..., Any], spectrum: tuple[complex, ...] | None
) -> tuple[int, list[tuple[float, Any, str]], str]:
    for wide in (True, False) if spectrum is None else (False,):
        try:
            errors = [(FIRST / 2**m, _error(step, FIRST / 2**m, spectrum, wide)) for m in range(LEVELS)]
            break
        except (TypeError, AttributeError, ValueError):
            if not wide:
                raise
    rows, last = [], 0.0
    for m, (h, e) in enumerate(errors):
        p = float(mpmath.log(errors[m - 1][1] / e, 2)) if m and e > (0 if wide else 1e-14) else None
        last = p if p is not None else last
        rows.append((h, e, "-" if p is None else f"{p:.3f}"))
    return max(round(last) - 1, 0), rows, f"{DIGITS} digits" if wide else "float64"


def _error(step: Callable[..., Any], h: float, spectrum: tuple[complex, ...] | None, wide: bool) -> Any:
    with mpmath.workdps(DIGITS):
        start = [mpmath.mpf(1) / 2, mpmath.mpf(-1) / 3, mpmath.mpf(3) / 4]
        exact = _taylor(start, mpmath.mpf(h), spectrum)
        if wide:
            x, t, width = np.array(start, dtype=object), mpmath.mpf(0), mpmath.mpf(h)
            found = step(_field, t, x, width)
        elif spectrum is None:
            found = step(_field, 0.0, np.array([float(v) for v in start]), h)
        else:
            x = np.array([complex(v) for v in start])
            found = step(_field, 0.0, x, h, np.array(spectrum))
        gaps = [abs(mpmath.mpmathify(_plain(a)) - b) for a, b in zip(_state(found, len(exact)), exact)]
        if not all(mpmath.isfinite(gap) for gap in gaps):
            raise Unusable("returns a state that is not finite")
        return max(gaps)


def _state(found: Any, count: int) -> list[Any]:
    """The entries of what a step returned. Unusable where these are not as many as it was given."""
    if found is None:
        raise Unusable("returns no state")
    if not hasattr(found, "__iter__"):
        raise Unusable(f"returns a {type(found).__name__} for a state")
    entries = list(found)
    if len(entries) != count:
        raise Unusable(f"returns a state of {len(entries)} entries for one of {count}")
    return entries


def _plain(value: Any) -> Any:
    return value if isinstance(value, (mpmath.mpf, mpmath.mpc)) else complex(value)


def _taylor(start: list[Any], h: Any, spectrum: tuple[complex, ...] | None, count: int = 60) -> list[Any]:
    """x(h) of x' = L x + field: Taylor coefficients by recurrence."""
    rates = [mpmath.mpmathify(v) for v in spectrum or (0, 0, 0)]
    x = [[v] for v in start]
    s = [mpmath.mpf(1), mpmath.mpf(1) / 2, mpmath.mpf(-1) / 3]

    def product(u: list[Any], v: list[Any], n: int) -> Any:
        return sum((u[i] * v[n - i] for i in range(n + 1) if i < len(u) and n - i < len(v)), mpmath.mpf(0))

    for n in range(count):
        a, b, c = x
        one = mpmath.mpf(1) if n == 1 else mpmath.mpf(0)
        st = s[n - 1] if 1 <= n <= 3 else mpmath.mpf(0)
        right = [
            product(s, b, n) - product(a, c, n) / 3,
            product(a, a, n) / 3 - product(s, b, n) + one,
            (product(a, b, n) - c[n]) / 3 + st,
        ]
        for row, rate, value in zip(x, rates, right):
            row.append((rate * row[n] + value) / (n + 1))
    return [sum((c * h**n for n, c in enumerate(row)), mpmath.mpf(0)) for row in x]


__all__ = ["audit_step", "claim", "shape_of"]
