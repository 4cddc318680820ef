"""The formulas of published code, over an exact field: what rows of tableaus are compared with.

UniPC: wl-zhao/UniPC ``uni_pc.py`` (multistep_uni_pc_bh_update, multistep_uni_pc_vary_update). DEIS: diffusers
``scheduling_deis_multistep.py`` (log rho). iPNDM_v: diff-sampler ``solvers.py``, ComfyUI ``k_diffusion/sampling.py``.
A step is returned as its weights w.r.t. C h: C = alpha_t and z = -h for the data prediction, -sigma_t and z = +h for noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from typing import Any

from sympy import QQ

from tests.families.exact_field import RATIOS, E, H, K, solve

HALF = K(QQ(1, 2))


def nodes(order: int) -> list[Any]:
    """(lambda_prev_i - lambda_prev_0)/h: 0, -r0, -(r0 + r1), .."""
    out = [K.zero]
    for r in RATIOS[: order - 1]:
        out.append(out[-1] - r)
    return out


def unipc_bh(order: int, variant: str, data: bool, corrects: bool) -> tuple[list[Any], list[Any]]:
    """(nodes, weights) of UniP-order or UniC-order with B(h) = h or e^h - 1."""
    rks = [*nodes(order)[1:], K.one]
    hh = -H if data else H
    h_phi_1 = (1 / E if data else E) - 1
    h_phi_k = h_phi_1 / hh - 1
    b_h = hh if variant == "bh1" else h_phi_1
    matrix, b, factorial_i = [], [], 1
    for i in range(1, order + 1):
        matrix.append([rk ** (i - 1) if i > 1 else K.one for rk in rks])
        b.append(h_phi_k * factorial_i / b_h)
        factorial_i *= i + 1
        h_phi_k = h_phi_k / hh - K(QQ(1, factorial_i))
    if corrects:
        rhos = [HALF] if order == 1 else solve(matrix, b)
    elif order == 2:
        rhos = [HALF]
    else:
        rhos = solve([row[:-1] for row in matrix[:-1]], b[:-1])
    scale = -1 if data else 1
    own = [*nodes(order)[1:], *([K.one] if corrects else [])]
    differences = [scale * b_h * rho / H / theta for rho, theta in zip(rhos, own, strict=True)]
    first = scale * h_phi_1 / H - sum(differences, start=K.zero)
    return [K.zero, *own], [first, *differences]


def unipc_vary_corrector(order: int, full: bool = False) -> tuple[list[Any], list[Any]]:
    """(nodes, weights) of the data-prediction corrector of variant "vary_coeff"; ``full``: with the sum over all rows."""
    rks = [*nodes(order)[1:], K.one]
    count = len(rks)
    columns = [[rk**k / factorial(k + 1) if k else K.one for k in range(count)] for rk in rks]
    a_c = [solve(columns, [K.one if i == j else K.zero for i in range(count)]) for j in range(count)]
    a_c = [[a_c[j][k] for j in range(count)] for k in range(count)]
    h_phi_ks, h_phi_k, factorial_k = [], 1 / E - 1, 1
    for k in range(1, count + 2):
        h_phi_ks.append(h_phi_k)
        h_phi_k = h_phi_k / -H - K(QQ(1, factorial_k))
        factorial_k *= k + 1
    found = [K.zero] * count
    if full:
        for k in range(count):
            found = [w - h_phi_ks[k + 1] * a for w, a in zip(found, a_c[k])]
    else:
        k = 0
        for k in range(count - 1):
            found = [*(w - h_phi_ks[k + 1] * a for w, a in zip(found[:-1], a_c[k][:-1])), found[-1]]
        found[-1] = found[-1] - h_phi_ks[count] * a_c[k][-1]
    differences = [w / H / theta for w, theta in zip(found, rks)]
    first = -(1 / E - 1) / H - sum(differences, start=K.zero)
    return [K.zero, *rks], [first, *differences]


def deis_log_rho_3() -> list[Any]:
    """Weights w.r.t. -sigma_t h; rho = e^{-lambda}, lambda = 0 at the start of the step."""

    def antiderivative(rho: Any, log: Any, b: Any, c: Any, d: Any) -> Any:
        numerator = rho * (c * (d - log + 1) - d * log + d + log**2 - 2 * log + 2)
        return numerator / ((b - c) * (b - d))

    logs = [-theta * H for theta in nodes(3)]
    out = []
    for b, c, d in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        args = logs[b], logs[c], logs[d]
        coefficient = antiderivative(1 / E, -H, *args) - antiderivative(K.one, K.zero, *args)
        out.append(coefficient / (-H / E))
    return out


def ipndm_v(order: int, ratios: Sequence[Any]) -> list[Any]:
    """Weights of the newest value, the one before, ..; ratios h_{n-1}/h_n, h_{n-2}/h_{n-1}, h_{n-3}/h_{n-2} as step lengths."""
    h_n, h_n_1, h_n_2, h_n_3 = (1, *ratios)
    temp1 = (1 - h_n / (3 * (h_n + h_n_1)) * (h_n * (h_n + h_n_1)) / (h_n_1 * (h_n_1 + h_n_2))) / 2
    if order == 3:
        coeff1 = (2 + (h_n / h_n_1)) / 2 + temp1
        coeff2 = -(h_n / h_n_1) / 2 - (1 + h_n_1 / h_n_2) * temp1
        return [coeff1, coeff2, temp1 * h_n_1 / h_n_2]
    temp2 = (
        ((1 - h_n / (3 * (h_n + h_n_1))) / 2 + (1 - h_n / (2 * (h_n + h_n_1))) * h_n / (6 * (h_n + h_n_1 + h_n_2)))
        * (h_n * (h_n + h_n_1) * (h_n + h_n_1 + h_n_2))
        / (h_n_1 * (h_n_1 + h_n_2) * (h_n_1 + h_n_2 + h_n_3))
    )
    deep = h_n_1 * (h_n_1 + h_n_2) / (h_n_2 * (h_n_2 + h_n_3))
    coeff1 = (2 + (h_n / h_n_1)) / 2 + temp1 + temp2
    coeff2 = -(h_n / h_n_1) / 2 - (1 + h_n_1 / h_n_2) * temp1 - (1 + (h_n_1 / h_n_2) + deep) * temp2
    coeff3 = temp1 * h_n_1 / h_n_2 + ((h_n_1 / h_n_2) + deep * (1 + h_n_2 / h_n_3)) * temp2
    return [coeff1, coeff2, coeff3, -temp2 * deep * h_n_1 / h_n_2]


__all__ = ["deis_log_rho_3", "ipndm_v", "nodes", "unipc_bh", "unipc_vary_corrector"]
