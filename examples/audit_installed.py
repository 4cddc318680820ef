"""Audits the schedulers of diffusers and the samplers of k-diffusion as they are installed; prints a page in Markdown.

    python examples/audit_installed.py > docs/audit/installed.md

Takes a few minutes. What is not installed is left out; ``python -m derive audit --all PACKAGE`` shows one package.
"""

from __future__ import annotations

from derive.audit.installed import PACKAGES, markdown, package, rows
from derive.errors import SpecError

HEAD = """# Audits of installed packages

Written by `examples/audit_installed.py`. `python -m derive audit` and the first cell is the command of a row;
`python -m derive audit --all PACKAGE` audits all of them. Bold: lower than what is claimed. Exact: leading terms were
read off exact numbers instead of float64; r_j = h_(n-1-j)/h_n are the step ratios.
"""


def main() -> None:
    """Prints the page."""
    print(HEAD)
    for name in PACKAGES:
        try:
            chosen = package(name)
        except SpecError:
            continue
        print("\n".join(markdown(chosen, list(rows(chosen)))))


if __name__ == "__main__":
    main()
