"""``python -m derive``, with a budget of processor time: the last line behind the limits on what a spec may say."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from derive.errors import Fault, PackageError, SpecError, package_missing

try:
    from derive.cli import main
except ModuleNotFoundError as error:
    if (lacks := package_missing(error.name)) is None:
        raise
    print(PackageError("python -m derive", lacks), file=sys.stderr)
    sys.exit(PackageError.exit_code)

BUDGET = 600
"""Seconds of processor time for one command; deriving a solver takes about one."""


def _exhausted(_number: int, _frame: FrameType | None) -> None:
    raise SpecError(Fault(f"not done after {BUDGET} s of processor time; allowed: a smaller spec"))


if __name__ == "__main__":
    if hasattr(signal, "SIGVTALRM"):
        signal.signal(signal.SIGVTALRM, _exhausted)
        signal.setitimer(signal.ITIMER_VIRTUAL, BUDGET)
    sys.exit(main())
