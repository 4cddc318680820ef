"""DPM-Solver++(2M) on the continuous linear VP schedule, written out by hand: what emission is tested on.

The module and the program are the ones a derivation would hand over (arXiv:2211.01095, Algorithm 2), so that these
tests need nothing of the derivation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sympy as sp

from derive.program.coefficients import Assign, CoefficientModule, Function
from derive.program.ir import Combine, Evaluate, Keep, Line, Phase, Program
from derive.symbolic.alphabet import expm1, log1p

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"

t, s = sp.symbols("t s", real=True)
h0, h1 = sp.symbols("h[0] h[1]", real=True)
s_alpha, s_sigma, t_alpha, t_sigma = sp.symbols("s.alpha s.sigma t.alpha t.sigma", positive=True)
p1, p2, c, r0, dl, l_s, l_t, la = sp.symbols("p1 p2 c r0 dl l_s l_t la", real=True)
call = sp.Function


def functions() -> tuple[Function, ...]:
    """The functions of the sample's coefficients.py."""
    slope, offset = sp.Rational(199, 10), sp.Rational(1, 5)
    la_t = call("log_alpha")(t)
    la_s = call("log_alpha")(s)
    gap = dl - log1p(-sp.exp(2 * la_s) * expm1(2 * dl) / -expm1(2 * la_s)) / 2
    to_integrand = (1 / s_alpha, -s_sigma / s_alpha)
    rise = -(t - s) * ((t + s) * slope + offset) / 4
    return (
        Function("log_alpha", ("t",), "log alpha(t) = -(beta_1 - beta_0) t^2/4 - beta_0 t/2.", (),
                 (-t * (t * slope + offset) / 4,)),
        Function("alpha", ("t",), "", (), (sp.exp(la_t),)),
        Function("sigma", ("t",), "sqrt(1 - alpha^2).", (), (sp.sqrt(-expm1(2 * la_t)),)),
        Function("rho", ("t",), "", (), (call("sigma")(t) / call("alpha")(t),)),
        Function("dlambda", ("t", "s"), "lambda(t) - lambda(s).", (Assign(("dl",), rise),), (gap,)),
        Function("chart", ("t",), "chi = lambda.", (), (sp.log(call("alpha")(t) / call("sigma")(t)),)),
        Function("span", ("s", "t"), "chi(t) - chi(s) for two nodes.", (),
                 (call("dlambda")(sp.Symbol("t.t"), sp.Symbol("s.t")),)),
        Function("start_1", ("s", "t", "h"), "Order 1.", (Assign(("p1",), None, "phis", (1, -h0)),),
                 (t_sigma / s_sigma, t_alpha * h0 * p1, sp.Integer(0), *to_integrand)),
        Function("main", ("s", "t", "h"), "Order 2.",
                 (Assign(("r0",), h1 / h0, comment="step ratio"), Assign(("p1", "p2"), None, "phis", (2, -h0)),
                  Assign(("c",), t_alpha * h0)),
                 (t_sigma / s_sigma, c * (p1 + p2 / r0), -c * p2 / r0, *to_integrand)),
        Function("last", ("s", "t", "h"), "The limit sigma_t = 0.", (),
                 (sp.Integer(0), t_alpha, sp.Integer(0), *to_integrand)),
        Function("denoised", ("s",), "x0 = dx x + dr raw.", (), to_integrand),
        Function("time", ("t",), "What the network is fed.", (), (t,)),
    )  # fmt: skip


def module(**changes: Any) -> CoefficientModule:
    """The hand-made module, with some fields replaced."""
    constants = (
        ("SCHEMA", 2, ""),
        ("STEPS", 2, "integrand values that a full row combines"),
        ("COLUMNS", ("a", "b0", "b1", "cx", "cr"), ""),
        ("DOMAIN", (1.0, 0.0), "noise end, data end"),
        ("NOISE_END", "regular", "regular | alpha_zero"),
        ("DATA_END", "sigma_zero", "regular | sigma_zero"),
        ("CHART_FINITE", {"alpha_zero": False, "sigma_zero": False}, ""),
        ("START", "ramp", "ramp | exact"),
        ("FINAL", "lower_order", "keep | lower_order | denoise"),
        ("INPUT", "time", ""),
        ("GRID", {"kind": "uniform", "variable": "t", "steps": 20}, ""),
        ("WARP", None, ""),
    )
    tuples = MappingProxyType({
        "ROWS": ("start_1", "main"), "CORRECTORS": (), "BEGIN": (), "ERROR": (),
        "TO_SIGMA_ZERO": ("last",), "FROM_SIGMA_ZERO": (), "FROM_ALPHA_ZERO": (), "TO_ALPHA_ZERO": (),
    })  # fmt: skip
    zero = (sp.Integer(0),)
    fields: dict[str, Any] = {
        "constants": constants, "node": (("alpha", "alpha"), ("sigma", "sigma")), "functions": functions(),
        "tuples": tuples, "numbers": {"ABSCISSAE": (zero, zero), "BEGIN_ABSCISSAE": ()}, "tables": {},
    }  # fmt: skip
    return CoefficientModule(**fields | changes)


def program() -> Program:
    """x' = a x + b0 m0 + b1 m[1], m0 = cx x + cr raw."""
    convert = Line("m0", (("cx", "x"), ("cr", "raw")))
    first = Combine((convert, Line("x'", (("a", "x"), ("b0", "m0")))))
    full = Combine((convert, Line("x'", (("a", "x"), ("b0", "m0"), ("b1", "m[1]")))))
    evaluate, keep = Evaluate("raw", "x", "n"), Keep(("m0",), 1)
    phases = (Phase("start_1", (), (evaluate, first, keep)), Phase("main", ("m[1]",), (evaluate, full, keep)))
    return Program("sample_dpmpp_2m", phases, ("a", "b0", "b1", "cx", "cr"), 1)


@dataclass(frozen=True)
class FakeSpec:
    """The little that emission reads of a spec."""

    name: str = "sample_dpmpp_2m"
    backends: tuple[str, ...] = ("torch",)
    references: tuple[str, ...] = ("arXiv:2211.01095",)
    sha256: str = "5c" * 32
    text: str = "name: sample_dpmpp_2m\n"

    def canonical(self) -> str:
        return self.text


@dataclass(frozen=True)
class FakeDerived:
    """A derivation as emission sees it."""

    spec: FakeSpec = field(default_factory=FakeSpec)
    claims: dict[str, Any] = field(
        default_factory=lambda: {
            "schema": 1, "name": "sample_dpmpp_2m", "spec_sha256": "5c" * 32, "order": 2, "global_order": 2,
            "stiff_order": 1, "error_constant": {"exact": Fraction(-5, 12)}, "references": ["arXiv:2211.01095"],
        }
    )  # fmt: skip
    program: Program = field(default_factory=program)
    module: CoefficientModule = field(default_factory=module)
    derivation: tuple[str, ...] = ("# sample_dpmpp_2m", "", "$$x' = a x + b_0 m_0 + b_1 m_1$$")
