"""What one-step families share: how many stages a table may have."""

from __future__ import annotations

import pytest
from sympy import QQ

from derive.errors import SpecError
from derive.families import _one_step as shared
from derive.symbolic.forms import Form, constant, phi
from tests.families.limits import TYPED, listed, read


def test_sixteen_stages_are_the_most() -> None:
    """Exponential Euler in one long table; a spec with one stage more is refused."""
    c = [QQ(k, 15) for k in range(16)]
    a = [[phi(1, end, end), *[Form()] * (i - 1)] if i else [] for i, end in enumerate(c)]
    table = shared.table([constant(end) for end in c], a, [phi(1), *[Form()] * 15], None, "")
    assert len(shared.scheme(table).stages) == 15
    assert read("given", **TYPED).method.family == "given"
    for family in ("given", "runge_kutta"):
        with pytest.raises(SpecError, match=r"method\.c: "):
            read(family, **TYPED | {"c": listed(17, "0")})
