"""An audit hook that fails on what reading a spec must never do: run text, start a process, write a file, open a socket."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_BANNED = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.", "socket.", "os.remove", "os.rename",
           "os.mkdir", "os.rmdir", "os.chmod", "shutil.", "pickle.", "ctypes.", "urllib.", "builtins.input")  # fmt: skip
_seen: list[str] | None = None


def _from_text(source: object) -> bool:
    """Whether code comes from something other than a module's file."""
    name = str(getattr(source, "co_filename", source))
    return not name.endswith((".py", ".pyc")) and not name.startswith("<frozen")


def _hook(event: str, args: tuple[object, ...]) -> None:
    if _seen is None:
        return
    runs_text = (event == "exec" and _from_text(args[0])) or (event == "compile" and _from_text(args[1]))
    flags = args[2] if event == "open" and len(args) > 2 and isinstance(args[2], int) else 0
    if runs_text or flags & _WRITING or event.startswith(_BANNED):
        _seen.append(f"{event} {ascii(args)[:200]}")


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What happened inside the block that must not: empty, if all is well."""
    global _seen  # noqa: PLW0603  (a hook cannot be removed; the list switches it on and off)
    _seen = seen = []
    try:
        yield seen
    finally:
        _seen = None
