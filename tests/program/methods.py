"""Tableaus of every shape, made by hand, and their programs: what the program, its passes and its backends are tested on."""

from __future__ import annotations

from sympy import QQ

from derive.program.ir import Program
from derive.program.passes import optimise
from derive.program.phases import phases_of, ways
from derive.symbolic.forms import Form, constant, phi
from derive.symbolic.moments import alphabet, history_nodes
from derive.tableau import Kernel, Node, Row, Scheme, Tableau, multistep_row

KERNEL = Kernel(QQ(-1))
HALF = QQ(1, 2)


def given(name: str, end: object, history: int, stages: tuple[object, ...], weights: tuple[Form, ...]) -> Row:
    """A typed row over ``history`` values of grid points and the stages at ``stages``."""
    nodes = tuple(Node("history", j, QQ(-j)) for j in range(history))
    nodes += tuple(Node("stage", i, theta) for i, theta in enumerate(stages, 1))
    return Row(name, nodes, (), (), end=end, given=weights)


def multistep(order: int) -> Scheme:
    return Scheme((), multistep_row(order, KERNEL))


def corrected(order: int) -> Scheme:
    """Predictor of the order, and a corrector over one node more: that at the end of the step."""
    full = multistep_row(order + 1, KERNEL)
    nodes = (Node("stage", 1, alphabet().ring(1)),)
    nodes += tuple(Node("history", j, theta) for j, theta in enumerate(history_nodes(order)))
    return Scheme((), multistep_row(order, KERNEL), Row(f"corrector {order}", nodes, full.moments, full.exact))


EULER = given("stage 1", HALF, 1, (), (phi(1, HALF, HALF),))
ETDRK3 = Scheme(  # Cox and Matthews 2002, (23)-(25)
    (EULER, given("stage 2", QQ(1), 1, (HALF,), (-phi(1), phi(1) * 2))),
    given("output", QQ(1), 1, (HALF, QQ(1)), (phi(1) - phi(2) * 3 + phi(3) * 4, phi(2) * 4 - phi(3) * 8, phi(3) * 4 - phi(2))),
)  # fmt: skip
RK4 = Scheme(  # the classical weights: each stage reads the one before, the output reads all
    (
        given("stage 1", HALF, 1, (), (constant(HALF),)),
        given("stage 2", HALF, 1, (HALF,), (Form(), constant(HALF))),
        given("stage 3", QQ(1), 1, (HALF, HALF), (Form(), Form(), constant(QQ(1)))),
    ),
    given("output", QQ(1), 1, (HALF, HALF, QQ(1)), tuple(constant(QQ(q, 6)) for q in (1, 2, 2, 1))),
)
HEUN3 = Scheme(  # the output does not read stage 1
    (
        given("stage 1", QQ(1, 3), 1, (), (constant(QQ(1, 3)),)),
        given("stage 2", QQ(2, 3), 1, (QQ(1, 3),), (Form(), constant(QQ(2, 3)))),
    ),
    given("output", QQ(1), 1, (QQ(1, 3), QQ(2, 3)), (constant(QQ(1, 4)), Form(), constant(QQ(3, 4)))),
)
GENERAL = Scheme(  # one stage over two past values, output over all: an exponential general linear method
    (given("stage 1", HALF, 3, (), (phi(1), phi(2), phi(3))),),
    given("output", QQ(1), 3, (HALF,), (phi(1), phi(2), phi(3), phi(2))),
)
WIDE = Scheme(  # more terms than a line holds
    (given("stage 1", QQ(1), 6, (), tuple(phi(k) for k in range(1, 7))),),
    given("output", QQ(1), 6, (QQ(1),), tuple(phi(k) for k in range(1, 8))),
)
MIDPOINT = Scheme((EULER,), given("output", QQ(1), 1, (HALF,), (phi(1) - phi(2) * 2, phi(2) * 2)))

TABLEAUS = {
    **{f"ab{k}": Tableau("m", KERNEL, tuple(map(multistep, range(1, k + 1)))) for k in (1, 2, 3, 4)},
    "midpoint": Tableau("m", KERNEL, (MIDPOINT,)),
    "etdrk3": Tableau("m", KERNEL, (multistep(1), ETDRK3)),
    "singlestep": Tableau("m", KERNEL, (multistep(1), MIDPOINT, ETDRK3)),
    "rk4": Tableau("m", KERNEL, (multistep(1), RK4)),
    "heun3": Tableau("m", KERNEL, (multistep(1), HEUN3)),
    "general": Tableau("m", KERNEL, (multistep(1), multistep(2), GENERAL)),
    **{f"pec{k}": Tableau("m", KERNEL, tuple(map(corrected, range(1, k + 1)))) for k in (1, 2, 3, 6)},
    "wide": Tableau("m", KERNEL, (*map(multistep, range(1, 6)), WIDE)),
    "pec_begun": Tableau("m", KERNEL, tuple(map(corrected, (1, 2, 3))), start="singlestep", starter=ETDRK3),
    "begun": Tableau("m", KERNEL, (multistep(1), multistep(2)), start="singlestep", starter=ETDRK3),
    "begun4": Tableau("m", KERNEL, tuple(map(multistep, (1, 2, 3, 4))), start="pseudo_rk4", starter=RK4),
}


def raw_program(name: str, converts: bool = True, scaled: bool = False) -> Program:
    """As it is lowered."""
    tableau = TABLEAUS[name]
    phases, columns = phases_of(tableau, converts, scaled)
    history = tableau.steps if tableau.corrects else tableau.steps - 1
    return Program(name, phases, columns, history, ways(tableau))


def program(name: str, converts: bool = True, scaled: bool = False) -> Program:
    """After all passes."""
    return optimise(raw_program(name, converts, scaled))
