r"""The LaTeX of derivations as MathML, which browsers render without a script: one source for the file and the page.

The dialect is what :mod:`derive.derivation` and SymPy's printer write: fractions, roots, scripts, brackets that grow,
Greek letters, sums and integrals, functions, text. What is not in the tables is refused, not guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "varepsilon": "ε", "epsilon": "ϵ", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "ϕ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Phi": "Φ", "Psi": "Ψ", "Delta": "Δ",
    "Gamma": "Γ", "Omega": "Ω", "Lambda": "Λ", "Sigma": "Σ", "ell": "ℓ", "infty": "∞", "ldots": "…", "dots": "…",
    "cdots": "⋯", "bullet": "•",
}  # fmt: skip
OPERATORS = {
    "cdot": "⋅", "times": "×", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "to": "→",
    "pm": "±", "mp": "∓", "approx": "≈", "equiv": "≡", "in": "∈", "mid": "|", "ll": "≪", "gg": "≫", "quad": "", "partial": "∂",
}  # fmt: skip
LARGE = {"sum": "∑", "prod": "∏", "int": "∫"}
FUNCTIONS = (
    "log", "ln", "exp", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asin", "acos", "min", "max", "arctan",
)  # fmt: skip
ACCENTS = {
    "dot": "˙",
    "ddot": "¨",
    "tilde": "˜",
    "widetilde": "~",
    "hat": "^",
    "widehat": "^",
    "bar": "¯",
    "overline": "¯",
}
SPACES = {",": "0.17em", ":": "0.22em", ";": "0.28em", " ": "0.3em", "!": "-0.17em", "quad": "1em", "qquad": "2em"}
SIZES = ("big", "Big", "bigg", "Bigg", "bigl", "Bigl", "biggl", "Biggl", "bigr", "Bigr", "biggr", "Biggr")
FENCES = {
    "{": "{", "}": "}", "|": "‖", "langle": "⟨", "rangle": "⟩", "lvert": "|", "rvert": "|", "lfloor": "⌊", "rfloor": "⌋",
}  # fmt: skip
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)
_INTEGRAL = f"<mo>{LARGE['int']}</mo>"
_TALL = ("<mfrac", "<munder", "<msubsup", "<msqrt", "<mover")
_PLAIN = ("<mi", "<msub>", "<mfrac>")
_APPLY = "<mo>&#x2061;</mo>"


class TexError(ValueError):
    """Something that is not in the dialect."""


@dataclass(slots=True)
class _Reader:
    """The tokens of one formula, read from left to right."""

    tokens: list[str]
    display: bool
    at: int = 0
    applied: bool = False
    """Whether the next brackets hold the argument of a function."""

    def peek(self) -> str:
        """The next token that is not a space; the empty string at the end."""
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        found = self.take()
        if found != token:
            raise TexError(f"expected {token!r}, found {found!r}")

    def raw_group(self) -> str:
        """The text between braces, as it is."""
        self.expect("{")
        depth, first = 1, self.at
        while depth:
            if self.at >= len(self.tokens):
                raise TexError("a brace is not closed")
            depth += {"{": 1, "}": -1}.get(self.tokens[self.at], 0)
            self.at += 1
        return "".join(self.tokens[first : self.at - 1])

    def row(self, ends: tuple[str, ...]) -> list[str]:
        """Atoms up to one of ``ends``, which is left standing."""
        atoms: list[str] = []
        while self.peek() not in ends:
            if not self.peek():
                raise TexError(f"expected one of {ends}")
            atoms.append(self.scripted())
        return atoms

    def argument(self) -> str:
        """A group in braces, or one token: a digit of a number, a letter, a command."""
        if self.peek() == "{":
            self.take()
            atoms = self.row(("}",))
            self.take()
            return _one(atoms)
        token = self.peek()
        if len(token) > 1 and token[0].isdigit():
            self.tokens[self.at : self.at + 1] = list(token)
        return self.atom()

    def scripted(self) -> str:
        """An atom with what stands under, over and behind it."""
        large = self.peek()[1:] in LARGE and self.peek()[0] == "\\"
        limits = large and self.display and self.peek() != r"\int"
        base = self.atom()
        below = above = ""
        primes = 0
        while self.peek() in ("_", "^", "'"):
            mark = self.take()
            if mark == "_":
                below = self.argument()
            elif mark == "^":
                above = self.argument()
            else:
                primes += 1
        if above and base == _INTEGRAL:
            above = f'<mrow><mspace width="0.35em"></mspace>{above}</mrow>'  # beside the slanted top, in every font
        if primes:
            above = f"<mo>{'′' * primes}</mo>" + above
            above = above if above.count("<") == 2 else f"<mrow>{above}</mrow>"
        return _scripts(base, below, above, "munder" if limits else "msub")

    def atom(self) -> str:
        token = self.take()
        if not token:
            raise TexError("something is missing at the end")
        if token == "{":
            atoms = self.row(("}",))
            self.take()
            return _one(atoms)
        if token[0] == "\\":
            return self.command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{escape(token)}</mi>"
        if token in "}^_&#$%":
            raise TexError(f"unexpected {token!r}")
        if token == "|":
            return '<mo stretchy="false" lspace="0" rspace="0">|</mo>'
        return f'<mo stretchy="false">{token}</mo>' if token in "()[]" else f"<mo>{escape(_sign(token))}</mo>"

    def command(self, name: str) -> str:
        for table, form in ((LETTERS, "<mi>{}</mi>"), (LARGE, "<mo>{}</mo>")):
            if name in table:
                return form.format(table[name])
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"></mspace>'
        if name in OPERATORS:
            return f"<mo>{OPERATORS[name]}</mo>"
        if name in FUNCTIONS:
            return self.function(name)
        if name in ACCENTS:
            wide = "" if name.startswith(("wide", "over")) else ' stretchy="false"'
            return f'<mover accent="true">{self.argument()}<mo{wide}>{ACCENTS[name]}</mo></mover>'
        if name in SIZES:
            return f'<mo minsize="1.2em" maxsize="1.2em">{self.fence()}</mo>'
        if name in FENCES:
            return f'<mo stretchy="false">{FENCES[name]}</mo>'
        if name in _STRUCTURES:
            return _STRUCTURES[name](self)
        raise TexError(f"unknown command \\{name}")

    def function(self, name: str) -> str:
        """A name in upright letters; ``\\log{x}`` is a function applied to x."""
        head = f"<mi>{escape(name)}</mi>"
        if self.peek() != "{":
            return head
        self.applied = True
        return f"<mrow>{head}{_APPLY}{self.argument()}</mrow>"

    def fence(self) -> str:
        token = self.take()
        if token[:1] == "\\":
            if token[1:] not in FENCES:
                raise TexError(f"{token} is no bracket")
            return FENCES[token[1:]]
        return "" if token == "." else escape(token)

    def fraction(self) -> str:
        over = self.argument()
        return f"<mfrac>{over}{self.argument()}</mfrac>"

    def root(self) -> str:
        if self.peek() == "[":
            self.take()
            degree = _one(self.row(("]",)))
            self.take()
            return f"<mroot>{self.argument()}{degree}</mroot>"
        return f"<msqrt>{self.argument()}</msqrt>"

    def brackets(self) -> str:
        """Brackets that grow; around a single letter or fraction, after no function and under no exponent, they say nothing."""
        applied, self.applied = self.applied, False
        left, atoms = self.fence(), self.row((r"\right",))
        self.take()
        right = self.fence()
        if len(atoms) == 1 and (left, right) == ("(", ")") and not applied and self.peek() != "^":
            if atoms[0].startswith(_PLAIN):
                return atoms[0]
            if atoms[0] == "<mn>1</mn>" and (self.peek().isalpha() or self.peek() == r"\,"):
                return ""  # a factor 1 is not written
        inside = "".join(atoms)
        grows = "" if any(tall in inside for tall in _TALL) else ' stretchy="false"'
        return f"<mrow><mo{grows}>{left}</mo>{inside}<mo{grows}>{right}</mo></mrow>"

    def text(self) -> str:
        return f"<mtext>{escape(self.raw_group())}</mtext>"

    def named(self) -> str:
        return self.function(self.raw_group().replace("\\", ""))

    def upright(self) -> str:
        return f'<mi mathvariant="normal">{escape(self.raw_group())}</mi>'


_STRUCTURES = {
    "frac": _Reader.fraction,
    "tfrac": _Reader.fraction,
    "dfrac": _Reader.fraction,
    "sqrt": _Reader.root,
    "left": _Reader.brackets,
    "text": _Reader.text,
    "operatorname": _Reader.named,
    "mathrm": _Reader.upright,
    "mathtt": _Reader.text,
    "mathcal": _Reader.upright,
}


def _sign(token: str) -> str:
    return {"-": "−", "*": "⋅"}.get(token, token)


def _one(atoms: list[str]) -> str:
    return atoms[0] if len(atoms) == 1 else f"<mrow>{''.join(atoms)}</mrow>"


def _scripts(base: str, below: str, above: str, kind: str) -> str:
    """kind: ``msub`` beside the base, ``munder`` under and over it."""
    single, over, both = {"msub": ("msub", "msup", "msubsup"), "munder": ("munder", "mover", "munderover")}[kind]
    if below and above:
        return f"<{both}>{base}{below}{above}</{both}>"
    if below:
        return f"<{single}>{base}{below}</{single}>"
    return f"<{over}>{base}{above}</{over}>" if above else base


def mathml(tex: str, display: bool = False) -> str:
    """The ``<math>`` element of a formula; TexError if it is not in the dialect."""
    reader = _Reader(_TOKEN.findall(tex), display)
    atoms: list[str] = []
    while reader.peek():
        atoms.append(reader.scripted())
    block = ' display="block"' if display else ""
    return f"<math{block}><mrow>{''.join(atoms)}</mrow></math>"
