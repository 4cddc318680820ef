"""The C++ sources of programs, and the solvers that ship one."""

from __future__ import annotations

from functools import cache

import pytest

from derive import emit, pipeline
from derive.backends import cuda
from derive.program.ir import Program
from derive.program.passes import optimise
from tests.claims.shipped import DETERMINISTIC, FOLDER, STOCHASTIC, spec_of

FUSED = tuple(name for name in DETERMINISTIC if (FOLDER / name / cuda.FILE).is_file())
DRAWING = tuple(name for name in STOCHASTIC if (FOLDER / name / cuda.FILE).is_file())
OFTEN = (
    "ddim", "deis_tab2", "dpmpp_2m", "dpmpp_3m", "dpmpp_3s", "edm_heun", "flow_ssprk3", "unipc_2",
)  # fmt: skip
"""One of every kind: multistep, stages, a corrector, an input's scale, kept outputs; the others are slow tests."""
EACH = [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in FUSED]


@cache
def program_of(name: str) -> Program:
    """The program of a shipped solver, without its proof."""
    spec = spec_of(name)
    schedule, prediction, integrands = pipeline.resolve(spec)
    problem = pipeline.pose(spec, schedule, prediction, integrands)
    tableau = pipeline.tabulate(spec, problem, integrands)
    scaled = pipeline.network_scale(prediction.network) is not None
    return optimise(pipeline.lower(tableau, problem, spec.name, scaled))


def text_of(program: Program) -> str:
    """``step_cuda.cu`` without its first comment."""
    return emit.environment().get_template(cuda.TEMPLATE).render(doc=[], **cuda.context(program))
