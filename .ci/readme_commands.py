"""Prints command N (1 or 2) of the first fenced block of README.md: what a stranger is told to type is what runs here.

    python .ci/readme_commands.py 1

A command may be continued with a backslash; comments, blank lines and a leading ``$ `` are dropped. Anything but
exactly two commands is an error.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def commands(text: str) -> list[str]:
    """The commands of the first fenced block of ``text``."""
    block = re.search(r"^```(?:bash|sh|shell|console)?[ \t]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    if block is None:
        raise SystemExit("README.md: no fenced block of commands")
    joined = re.sub(r"\\\n\s*", "", block.group(1))
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip().removeprefix("$ ") for line in joined.splitlines())
    return [line for line in lines if line]


def main() -> None:
    found = commands((Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8"))
    if len(found) != 2:
        raise SystemExit(
            f"README.md: the first block has {len(found)} commands; expected an install-and-run and a test command"
        )
    print(found[int(sys.argv[1]) - 1])


if __name__ == "__main__":
    main()
