"""``step_torch.py`` is read back: what is not the program is refused, token by token."""

from __future__ import annotations

import re

import pytest

from derive import emit
from derive.backends import torch as backend
from derive.backends._steps import check_steps
from derive.errors import InternalError
from derive.gate import check_python
from derive.program.ir import Program
from derive.store import seal
from tests.program.methods import TABLEAUS, program


def text_of(made: Program) -> str:
    return emit.environment().get_template(backend.TEMPLATE).render(doc=[], **backend.context(made))


def read(made: Program, text: str) -> None:
    name = "step_torch.py"
    check_steps(name, check_python(name, seal(name, text, "0" * 64)), made, backend.buffers(made))


@pytest.mark.parametrize("converts", [True, False], ids=["converts", "integrand"])
@pytest.mark.parametrize("name", TABLEAUS)
def test_what_is_written_is_what_is_read(name: str, converts: bool) -> None:
    made = program(name, converts)
    read(made, text_of(made))


CHANGES = {
    r"\bcx\b": "cr", r"\bb0\b": "a", r"\bd1\b": "d2", r"\bcb1\b": "cb0", r"\by\b": "x", r"\bm1\b": "m0", r"\braw\b": "x",
    r"m\[-1\]": "x", r"\[2:\]": "[1:]", r":-1\]": ":]", r"\bx_new\b": "x", r" \+ ": " * ", r"mul_": "add_",
    r"addcmul_": "mul_", r"\bk1\b": "m0", r"(?<=: )[0-9]\b": "7", r"RING = [0-9]": "RING = 9",
    r'"main"': '"start_1"', r"\bmain_,": "main,",
}  # fmt: skip


@pytest.mark.parametrize("name", ["ab3", "etdrk3", "pec2", "begun", "general"])
def test_every_changed_token_is_seen(name: str) -> None:
    """Each occurrence in turn of each token that can be another one; the docstrings and comments aside."""
    made = program(name)
    text = text_of(made)
    seen = 0
    for pattern, other in CHANGES.items():
        for match in re.finditer(pattern, text):
            line = text[: match.start()].rsplit("\n", 1)[-1]
            if '"""' in line or "#" in line or line.startswith("def "):
                continue
            seen += 1
            with pytest.raises(InternalError):
                read(made, text[: match.start()] + other + text[match.end() :])
    assert seen > 40


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return x, m\n", "    return x, (*m, x)\n"),
        ("    x.mul_(a).addcmul_(m0, b0)\n", "    x.mul_(a).addcmul_(m0, b0)\n    raw.mul_(a)\n"),
        ("    x.mul_(a).addcmul_(m0, b0)\n", "    x.mul_(a).addcmul_(m0, b0).addcmul_(m0, b0, value=1)\n"),
        ("    x.mul_(a).addcmul_(m0, b0)\n", "    x.mul_(a).sin_()\n"),
        ("    m0 = cx * x + cr * raw\n", "    m0 = cx * x - cr * raw\n"),
        ("    m0 = cx * x + cr * raw\n", "    m0 = cx * x + cr * raw + 0\n"),
        ("def main_(x, raw, m, c)", "def main_(raw, x, m, c)"),
        ("RING = 1", "RING = 1\nMORE = 2"),
        ("STEPS_ =", "\n\ndef more(x):\n    return x\n\n\nSTEPS_ ="),
    ],
)
def test_what_is_never_written_is_refused(old: str, new: str) -> None:
    made = program("ab1")
    text = text_of(made)
    assert old in text
    with pytest.raises(InternalError):
        read(made, text.replace(old, new, 1))
