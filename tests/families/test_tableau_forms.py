"""Tableaux in LaTeX, and moments as linear forms: what is printed, what is read off, what is refused."""

from __future__ import annotations

import pytest
from sympy import QQ

from derive import tableau_text
from derive.expression import ExpressionError
from derive.symbolic.forms import ONE, ZERO, constant, phi
from derive.symbolic.moments import alphabet, exact_moments
from derive.tableau import Kernel, Node, Row, Scheme, Tableau, at_ratios, linear_form, multistep_row

AB = alphabet()
HALF = QQ(1, 2)
RATIOS = tuple(QQ(p, 7) for p in range(1, 9))


def test_every_row_of_a_scheme_has_its_line() -> None:
    first, second = Node("history", 0, ZERO), Node("stage", 1, HALF)
    stage = Row("stage", (first,), (), (), HALF, given=(phi(1, HALF, HALF),))
    output = Row("output", (first, second), (), (), ONE, given=(phi(1) - phi(2) * 2, phi(2, ONE, QQ(2))))
    embedded = Row("embedded", (first,), (), (), ONE, given=(phi(1),))
    tableau = Tableau("tried", Kernel(ONE), (Scheme((stage,), output, embedded=embedded),))
    lines = tableau.latex().split("$$")[1::2]
    assert [line.split(" = ")[0].strip() for line in lines] == ["X_{1}", "x_{n+1}", r"\tilde x_{n+1}"]
    assert lines[0].strip() == (
        r"X_{1} = \Phi_{1/2}\,x_n + C_{1/2}\,\Bigl[\left(\tfrac{1}{2}\,\varphi_{1}(\tfrac{1}{2} z)\right) F_n\Bigr]"
    )
    assert r"\left(2\,\varphi_{2}(z)\right) K_{1}\Bigr]" in lines[1]


def test_correctors_and_starters_are_printed_too() -> None:
    exact = exact_moments(3, True)
    corrector = Row(
        "corrector", (Node("stage", 1, AB.ring.one), *multistep_row(1, Kernel(ONE)).nodes), exact[:2], exact
    )
    starter = Scheme((), multistep_row(2, Kernel(ONE)))
    main = Scheme((), multistep_row(1, Kernel(ONE)), corrector)
    lines = Tableau("tried", Kernel(ONE), (main,), starter=starter).latex().split("$$")[1::2]
    heads = [line.split(" = ")[0].strip() for line in lines]
    assert heads == [r"\hat x_{n+1}", "x_{n+1}", "x_{n+1}"]
    assert r"\varphi_{1}" in lines[0] and r"F[\theta_0,\ldots,\theta_1]" in lines[2]


def test_moments_are_linear_forms() -> None:
    """mu_k is k! phi_{k+1}; ratios are numbers; a number is a constant."""
    element = AB.mu[2] * AB.r[0] + AB.phi[3] * QQ(5) - AB.r[1] ** 2 + QQ(1, 3)
    want = phi(3, ONE, 2 * RATIOS[0]) + phi(3, ONE, QQ(5)) + constant(QQ(1, 3) - RATIOS[1] * RATIOS[1])
    assert not linear_form(element, RATIOS) - want
    assert linear_form(AB.mu[0], RATIOS) == phi(1) and linear_form(AB.phi[0], RATIOS) == phi(0)
    assert linear_form(AB.mu[4], RATIOS) == phi(5, ONE, QQ(24)) and not linear_form(AB.ring.zero, RATIOS)
    for bad in (AB.phi[1] * AB.phi[2], AB.phi[1] ** 2, AB.mu[0] * AB.phi[1], AB.r[0] * AB.mu[1] ** 2):
        with pytest.raises(ValueError, match="is not linear in moments and phi functions"):
            linear_form(bad, RATIOS)


def test_numbers_at_step_ratios() -> None:
    element = AB.r[0] * AB.r[1] ** 2 * QQ(3) - AB.r[7] + QQ(2)
    assert at_ratios(element, RATIOS) == 3 * RATIOS[0] * RATIOS[1] * RATIOS[1] - RATIOS[7] + 2
    assert at_ratios(QQ(5), RATIOS) == 5 and at_ratios(AB.ring.zero, RATIOS) == 0
    for bad in (AB.phi[1], AB.mu[0] * AB.r[0]):
        with pytest.raises(ValueError, match="holds more than step ratios"):
            at_ratios(bad, RATIOS)


def test_a_row_of_a_stage_is_a_step_of_its_own() -> None:
    """Nodes in units of the row: theta/end, exactly; its weights are those of the nodes of a whole step."""
    exact = exact_moments(3, True)
    nodes = (Node("history", 0, AB.ring.zero), Node("history", 1, -AB.r[0]))
    for end in (QQ(1), QQ(1, 3), QQ(2, 7)):
        row = Row("row", nodes, exact[:2], exact, end)
        assert row.relative == (AB.ring.zero, AB.r[0] * (-1 / end))
        assert row.thetas == (AB.ring.zero, -AB.r[0])
        first, second = row.forms(RATIOS)
        back = RATIOS[0] / end
        assert not second - phi(2, end, -end / back) and not first + second - phi(1, end, end)


def test_an_expression_that_is_too_large_is_a_fault_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(self: object, depth: int) -> None:
        raise RecursionError

    monkeypatch.setattr(tableau_text._Parser, "sum", endless)
    with pytest.raises(ExpressionError, match="the expression is too large"):
        tableau_text.parse_entry("1")
