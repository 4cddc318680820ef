r"""Given tableau: an explicit exponential Runge-Kutta method whose coefficients are typed into the spec.

    X_i = e^{c_i z} x_n + C h sum_{j<i} a_ij(z) F_j,    x_{n+1} = e^z x_n + C h sum_j b_j(z) F_j    (Hochbruck-Ostermann 2010, Eq. 2.22)

An entry is linear in phi_k(c z) and e^{c z} with rational numbers and square roots: ``phi1(z) - 3*phi2(z) + 4*phi3(z)``,
``exp(z/2)/3``, ``(4 - sqrt(6))/10``. The first abscissa is 0 and the first row of a is []. Row sums are checked here,
the order is proved like that of every other method.
"""

from __future__ import annotations

from collections.abc import Sequence

from derive.families import _one_step as shared
from derive.families.exponential_multistep import variable
from derive.parameters import Entries, Parameters, Quantity
from derive.symbolic.forms import Form
from derive.tableau import Kernel, Tableau

PARAMETERS: Parameters = {
    "integrand": Quantity(doc="the quantity whose values the weights multiply: any prediction"),
    "variable": variable("the variable in which a step has length h, and z = q h"),
    "c": Entries(functions=False, longest=shared.MAX_STAGES, doc="abscissae: 0, then numbers above 0 up to 1"),
    "a": Entries(rows=True, longest=shared.MAX_STAGES, doc="a row for each abscissa: [], then 1, 2, .. weights"),
    "b": Entries(longest=shared.MAX_STAGES, doc="the output row: a weight for each abscissa"),
    "embedded": Entries(
        default=None,
        longest=shared.MAX_STAGES + 1,
        doc="output row of lower order, for an error estimate; its last weight may be that of the value at the end",
    ),
    "final": shared.final("lower_order"),
}

REFERENCE = "doi:10.1017/S0962492910000048 (Sec. 2.3)"


def build(
    kernel: Kernel,
    c: Sequence[Form],
    a: Sequence[Sequence[Form]],
    b: Sequence[Form],
    final: str,
    embedded: Sequence[Form] | None = None,
) -> Tableau:
    """The typed tableau. Raises PoseError at the key where it is not explicit or not consistent."""
    given = shared.table(c, a, b, embedded, "method.")
    shared.check(given, kernel, "method.")
    return shared.one_step("given", kernel, shared.scheme(given), final)
