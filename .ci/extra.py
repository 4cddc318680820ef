"""The requirements of an extra of pyproject.toml, one a line: ``python .ci/extra.py docs | pip install -r /dev/stdin``."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
print("\n".join(project["optional-dependencies"][sys.argv[1]]))
