"""The symbolic type of a method: what rows, kernels and tableaus say about themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sympy import QQ

from derive.families.exponential_multistep import build
from derive.symbolic.forms import ONE, Form, phi
from derive.symbolic.moments import alphabet
from derive.tableau import Kernel, Node, Row, Scheme, Tableau, multistep_row, one

AB = alphabet()
DATA = Kernel(QQ(-1))


def stage_row(indices, end=ONE):
    """A row over x_n's value and the stages ``indices``; the i-th stage ends at 1/(i+1)."""
    nodes = (Node("history", 0, AB.ring.zero), *(Node("stage", j, AB.ring(QQ(1, j + 1))) for j in indices))
    exact = multistep_row(8, DATA).exact[: len(nodes) + 1]
    return Row("stages", nodes, exact[:-1], exact, end, (one(),))


def staged(count):
    """A scheme with stages at 1/2, 1/3, .., each reading all before it."""
    rows = [stage_row(range(1, i + 1), end=QQ(1, i + 2)) for i in range(count)]
    return Scheme(tuple(rows), stage_row(range(1, count + 1)))


def test_kernels_know_whether_they_are_closed():
    assert [str(Kernel(q)) for q in (None, QQ(0), QQ(-2))] == [
        "kernel with moments mu_k", "kernel 1", "kernel exp(-2*h*(1 - theta))",
    ]  # fmt: skip
    assert [Kernel(q).closed for q in (None, QQ(0), QQ(1))] == [False, True, True] and Kernel().rate is None


def test_the_newest_values_are_not_chosen():
    row = multistep_row(4, DATA)
    assert not row.chosen and not stage_row((1, 2)).chosen
    for indices, chosen in (((0, 1, 2), False), ((0, 2), True), ((1,), True), ((1, 0), True)):
        nodes = tuple(row.nodes[j] for j in indices)
        one_less = replace(row, nodes=nodes, moments=row.moments[: len(nodes)])
        assert one_less.chosen == chosen


def test_a_row_has_a_moment_for_each_node_and_one_exact_moment_more():
    row = multistep_row(3, DATA)
    assert (len(row.nodes), len(row.moments), len(row.exact)) == (3, 3, 4)
    assert row.name == "order 3" and row.end == 1 and row.x_history == (1,)
    assert [n.index for n in row.nodes] == [0, 1, 2] and {n.kind for n in row.nodes} == {"history"}
    assert row.thetas == (0, -AB.r[0], -AB.r[0] - AB.r[1])
    for changed in ({"moments": row.moments[:2]}, {"exact": row.exact[:3]}, {"moments": (*row.moments, row.exact[3])}):
        with pytest.raises(ValueError, match="need as many moments"):
            replace(row, **changed)
    assert replace(row, exact=(*row.exact, AB.phi[5])).nodes == row.nodes


def test_weights_are_the_solution_or_the_given_ones():
    """Two steps by hand: w_0 = phi_1 + phi_2/r0, w_1 = -phi_2/r0 (Hochbruck-Ostermann 2010, Eq. 2.42)."""
    row = multistep_row(2, DATA)
    first, second = row.weights
    assert first.numerator == AB.phi[2] + AB.r[0] * AB.phi[1] and first.denominator == AB.r[0]
    assert second.numerator == AB.phi[2] and second.denominator == -AB.r[0]
    given = (phi(1), Form())
    assert replace(row, given=given).forms((ONE,)) == given
    assert row.forms((QQ(3),)) == (phi(1) + phi(2, q=QQ(1, 3)), phi(2, q=QQ(-1, 3)))
    with pytest.raises(ValueError, match="2 nodes and 1 weights"):
        replace(row, given=given[:1])
    assert row.newton == (AB.phi[1], AB.phi[2])


def test_interpolatory_rows_and_rows_that_are_not():
    assert multistep_row(3, DATA).interpolatory and multistep_row(3, DATA, {}).interpolatory
    off = multistep_row(3, DATA, {2: AB.phi[3]})
    assert not off.interpolatory and off.moments == (AB.phi[1], AB.phi[2], AB.phi[3])
    assert multistep_row(2, Kernel(None)).exact == AB.mu[:3]


def test_what_a_tableau_counts():
    tableau = build(DATA, 3, "exact", "exact", "keep")
    assert tableau.main is tableau.rows[2] and tableau.steps == 3 and tableau.stages == 1
    assert (tableau.start, tableau.final, tableau.references) == ("exact", "keep", ())
    default = Tableau("x", DATA, (Scheme((), multistep_row(1, DATA)),))
    assert (default.start, default.final, default.references) == ("ramp", "lower_order", ())
    with pytest.raises(ValueError, match="at least one scheme"):
        Tableau("x", DATA, ())


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_network_calls_are_one_and_the_stages(count):
    scheme = staged(count)
    assert scheme.evaluations == Tableau("stages", DATA, (scheme,)).stages == count + 1
    assert scheme.abscissae == (0, *(QQ(1, i + 2) for i in range(count))) and scheme.past == 0
    assert len(scheme.rows) == count + 1 and scheme.step((), DATA.rate).explicit


def test_a_row_that_reads_its_own_end_is_implicit():
    own = stage_row((1,), end=QQ(1, 3))
    assert not Scheme((own,), stage_row((1,))).step((), DATA.rate).explicit
    assert (
        not Scheme((stage_row((2,), end=QQ(1, 2)), stage_row((), end=QQ(1, 4))), stage_row((1,))).step((), 0).explicit
    )


def test_a_scheme_corrects_or_has_stages():
    with pytest.raises(ValueError, match="not both"):
        replace(staged(1), corrector=stage_row((1,)))
    corrected = Scheme((), multistep_row(2, DATA), stage_row((1,)))
    assert corrected.evaluations == 1 and Tableau("pec", DATA, (corrected,)).corrects
    step = corrected.step((QQ(2),), DATA.rate)
    assert step.thetas == (0, -2, 1) and step.known == 2 and step.explicit


def test_a_table_uses_its_schemes_and_no_others():
    schemes = (staged(0), staged(1))
    assert Tableau("x", DATA, schemes, table=(0, 1, 1)).table == (0, 1, 1)
    for table in ((0, 0), (0, 1, 2)):
        with pytest.raises(ValueError, match="uses every scheme, and no other"):
            Tableau("x", DATA, schemes, table=table)


def test_exactness_for_constants_is_the_zeroth_moment_of_every_row():
    good = Scheme((), multistep_row(2, DATA, {1: AB.phi[3]}))
    bad = Scheme((), multistep_row(2, DATA, {0: AB.phi[2]}))
    assert Tableau("x", DATA, (good, good)).exact_for_constants
    assert not Tableau("x", DATA, (bad, good)).exact_for_constants
    assert not Tableau("x", DATA, (good, bad)).exact_for_constants


def test_latex_writes_newton_form():
    text = build(DATA, 2, "exact", "ramp", "keep").latex()
    first, second = text.split("\n\n")
    assert first == r"$$ x_{n+1} = \Phi\,x_n + C\,\Bigl[\left(\varphi_{1}\right) F[\theta_0]\Bigr] $$"
    assert second == (
        r"$$ x_{n+1} = \Phi\,x_n + C\,\Bigl[\left(\varphi_{1}\right) F[\theta_0]"
        r" + \left(\varphi_{2}\right) F[\theta_0,\ldots,\theta_1]\Bigr] $$"
    )
    third = build(Kernel(None), 3, "exact", "ramp", "keep").latex().split("\n\n")[2]
    assert r"\mu_{2}" in third and "r_{0}" in third
    assert r"\varphi_{7}" in build(DATA, 7, "exact", "ramp", "keep").latex()
