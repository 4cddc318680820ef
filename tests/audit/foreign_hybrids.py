"""Hybrids of stages and past values, and multistep methods, of RES4LYF 1.1.0, as its loop runs them.

A coefficient is (e, p2, p3, ..) in e exp(-(c - 1/2) h) + p2 phi_2(-c h) + p3 phi_3(-c h) + .., c the abscissa of its row.
Three slips are in all of them: past values are read one place too early, so that the newest one stands twice; functions
of the j-th past value are taken at its distance and not at h; the j-th function of a stage lacks its factor c^j. Then the
weights are those of equal steps. ``right=True`` is without the three, and of its order on equal steps.
"""

from __future__ import annotations

import math

import torch

from tests.audit.foreign import _data_steps, _interpolatory, _phi

HALF = 1 / 2
EQUAL_3 = ((0, -2, -2), (0, 1 / 2, 1))
EQUAL_4 = ((0, -3, -5, -3), (0, 3 / 2, 4, 3), (0, -1 / 3, -1, -1))
EQUAL_5 = (
    (0, -4, -26 / 3, -9, -4), (0, 3, 19 / 2, 12, 6), (0, -4 / 3, -14 / 3, -7, -4), (0, 1 / 4, 11 / 12, 3 / 2, 1),
)  # fmt: skip
CORRECTOR_4 = ((0, -1, 1, 3), (0, 1 / 6, 0, -1))
NEW_4 = (0, 1 / 3, 1, 1)


def _lawson(past, last, weights, new):
    """Generalised Lawson: the four stages of the classical method, its weights of past values e/2, e/2, e, ``weights``.

    last: e of the past values in the last stage; new: the weight of the last stage.
    """
    half = [tuple(row) for row in past]
    lowered = [(e / 2, *row[1:]) for e, row in zip(last, past)]
    full = [(e, *row[1:]) for e, row in zip(last, past)]
    third, own = (1 / 3,), ([], [()], [(), (HALF,)], [(), (), (1,)])
    return (0, HALF, HALF, 1), own, ([], half, lowered, full), [(), third, third, new], weights


TABLES = {
    "abnorsett3_2h2s": ((0, 1), ([], [()]), ([], EQUAL_3), [(), ()], EQUAL_3),
    "pec423_2h2s": ((0, 1), ([], [()]), ([], EQUAL_3), [(), NEW_4], CORRECTOR_4),
    "pec433_2h3s": (
        (0, 1, 1), ([], [()], [(), NEW_4]), ([], EQUAL_3, CORRECTOR_4), [(), (), NEW_4], CORRECTOR_4,
    ),
    "lawson42_1h4s": _lawson([(0, -1)], [1 / 2], [(1 / 12, -1 / 2, 1)], (-1 / 4, 1 / 2, 1)),
    "lawson43_2h4s": _lawson(
        EQUAL_3, [5 / 4, -3 / 8], [(5 / 24, -1, 1, 3), (-1 / 24, 1 / 6, 0, -1)], (-5 / 24, 1 / 3, 1, 1)
    ),
    "lawson44_3h4s": _lawson(
        EQUAL_4, [35 / 16, -21 / 16, 5 / 16],
        [(35 / 96, -3 / 2, 1 / 2, 6, 6), (-7 / 48, 1 / 2, 1 / 3, -3, -4), (5 / 192, -1 / 12, -1 / 12, 1 / 2, 1)],
        (-35 / 192, 1 / 4, 11 / 12, 3 / 2, 1),
    ),
    "lawson45_4h4s": _lawson(
        EQUAL_5, [105 / 32, -189 / 64, 45 / 32, -35 / 128],
        [(495 / 944, -116 / 59, -34 / 177, 519 / 59, 964 / 59, -600 / 59),
         (-577 / 1888, 57 / 59, 121 / 118, -342 / 59, -846 / 59, 600 / 59),
         (25 / 236, -56 / 177, -76 / 177, 112 / 59, 364 / 59, -300 / 59),
         (-181 / 11328, 11 / 236, 49 / 708, -33 / 118, -61 / 59, 60 / 59)],
        (-157 / 944, 12 / 59, 50 / 59, 105 / 59, 120 / 59, -60 / 59),
    ),
}  # fmt: skip
"""Abscissae; a and u by stage; b; v."""


def _phis(highest, z):
    """phi_2 .. phi_highest: the last one by its series where |z| < 1/2, the others from it."""
    if not abs(z) < 1 / 2:
        return [_phi(k, z) for k in range(2, highest + 1)]
    found = 0 * z
    for n in range(13, -1, -1):
        found = found * z / (highest + n + 1) + 1 / math.factorial(highest)
    out = [found]
    for k in range(highest - 1, 1, -1):
        out.insert(0, z * out[0] + 1 / math.factorial(k))
    return out


def _value(entry, c, h, scaled):
    """One coefficient; scaled: with the factor c^j of a stage."""
    if not entry or c == 0:
        return 0 * h
    out = entry[0] * torch.exp(-(c - 1 / 2) * h)
    for j, (weight, phi) in enumerate(zip(entry[1:], _phis(len(entry), -c * h)), 2):
        out = out + weight * phi * (c**j if scaled else 1)
    return out


def _row(x, h, c, own, past, now, before, distances, right):
    """exp(-c h) x + h (own . now + past . before), the weight of the newest value is what the others leave."""
    weights = [_value(entry, c, h, True) for entry in own[1:]]
    olds = [_value(entry, c, h if right else far, right or c == 1) for entry, far in zip(past, distances)]
    first = c * _phi(1, -c * h) - sum(weights) - sum(olds)
    values = zip([first, *weights, *olds], [*now[: len(own)], *before])
    return torch.exp(-c * h) * x + h * sum(w * d for w, d in values)


def sample_hybrid(
    model, x, sigmas, extra_args=None, callback=None, disable=None, name="", order=4, right=False, kept=4, sigma=False
):
    """A table of TABLES; steps that lack past values are of one value. kept: past values that there is place for.

    sigma: distances are differences of sigma (what h means is looked up by a name that this one does not have).
    """
    c, a, u, b, v = TABLES[name]
    count, buffer = len(v), [0 * x] * kept
    for i in range(len(sigmas) - 1):
        s, t = sigmas[i], sigmas[i + 1]
        one = x.new_ones([x.shape[0]])
        now = [model(x, s * one)]
        callback({"x": x, "i": i, "sigma": s, "denoised": now[0]})
        h = torch.log(s / t)
        if i <= count:
            x = torch.exp(-h) * x + h * _phi(1, -h) * now[0]
        else:
            before = buffer[1:][:count] if right else buffer[:count]
            distances = [s - sigmas[i - j] if sigma else torch.log(sigmas[i - j] / s) for j in range(1, count + 1)]
            for stage in range(1, len(c)):
                y = _row(x, h, c[stage], a[stage], u[stage], now, before, distances, right)
                now.append(model(y, s * torch.exp(-c[stage] * h) * one))
            x = _row(x, h, 1, b, v, now, before, distances, right)
        buffer[0] = now[0]
        last = max(count, 3) if i > count else kept - 1
        for j in range(last, 0, -1):  # then the newest value is in the first two places
            buffer[j] = buffer[j - 1]
    return x


def sample_abnorsett(model, x, sigmas, extra_args=None, callback=None, disable=None, order=4, right=False):
    """abnorsett_3m, abnorsett_4m: the weights that are read are those of a method of stages, over past values.

    3m: those of res_3s, whose gamma has a cube for a square, at ratios of differences of sigma; 4m: of Strehmel and Weiner.
    """

    def rows(h, thetas):
        used = thetas[:order]
        p1, p2, p3 = (_phi(k, -h) for k in (1, 2, 3))
        if right or len(used) < order:
            return _interpolatory(used, [p1, p2, 2 * p3, 6 * _phi(4, -h)][: len(used)])
        if order == 4:
            return [p1 - 3 * p2 + 4 * p3, 0 * h, 4 * p2 - 8 * p3, -p2 + 4 * p3]
        c2, c3 = (torch.expm1(-h * theta) / torch.expm1(-h) for theta in used[1:])
        gamma = (3 * c3**3 - 2 * c3) / (2 * c2 - 3 * c2**2)
        b3 = p2 / (gamma * c2 + c3)
        return [p1 - (1 + gamma) * b3, gamma * b3, b3]

    return _data_steps(model, x, sigmas, callback, rows)
