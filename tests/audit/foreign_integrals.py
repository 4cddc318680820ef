"""Integrals of public solvers as their code takes them: tables, monomials, lists. Data predictions, variance exploding."""

from __future__ import annotations

import math

import torch

from tests.audit.foreign import _interpolatory, _lam, _noise_steps, _phi


def _antiderivative(k, x):
    """Of exp(x) x^k, over exp(x): x^k - k x^(k-1) + k (k-1) x^(k-2) - .."""
    out, factor = 0 * x, 1
    for j in range(k, -1, -1):
        out = out + factor * x**j
        factor = -factor * j
    return out


def _lagrange(nodes, j):
    """Coefficients of the j-th Lagrange polynomial, the constant first."""
    out = [1 + 0 * nodes[0]]
    for k, node in enumerate(nodes):
        if k != j:
            top = [0 * node, *out]
            out = [(a - node * b) / (nodes[j] - node) for a, b in zip(top, [*out, 0 * node])]
    return out


def sample_sa(model, x, sigmas, extra_args=None, callback=None, disable=None, order=3, centred=False):
    """SA-Solver's predictor without noise: sums of monomials of lambda times integrals of exp(lambda) lambda^k.

    As it is published lambda counts from 0; ``centred``, from the start of the step.
    """
    past, lams = [], []
    for i in range(len(sigmas) - 1):
        s, t = sigmas[i], sigmas[i + 1]
        d = model(x, s * x.new_ones([x.shape[0]]))
        callback({"x": x, "i": i, "sigma": s, "denoised": d})
        if t == 0:
            return d
        past, lams = [d, *past][:order], [_lam(s), *lams][:order]
        origin = lams[0] if centred else 0
        nodes, end = [lam - origin for lam in lams], _lam(t) - origin
        decay = torch.exp(nodes[0] - end)
        integrals = [_antiderivative(k, end) - _antiderivative(k, nodes[0]) * decay for k in range(len(nodes))]
        weights = [sum(c * v for c, v in zip(_lagrange(nodes, j), integrals)) for j in range(len(nodes))]
        x = t / s * x + sum(w * v for w, v in zip(weights, past))
    return x


def sample_dpm_v3(model, x, sigmas, extra_args=None, callback=None, disable=None, order=3, points=1000, pseudo=False):
    """DPM-Solver-v3 with zero statistics: times on a table of lambda, integrals by the trapezoidal rule on that table.

    points: intervals of the table over [-6, 6], None for exact integrals and times; a step that begins and ends at one
    place of the table is left out. pseudo: derivatives by difference quotients alone, of the first order each.
    """

    def integrals(k, here, there):
        if points is None:
            h = there - here
            return [_phi(j + 1, -h) * h ** (j + 1) for j in range(k)]
        width = 12 / points
        steps = round(float((there - here) / width))
        found = []
        for j in range(k):
            values = [math.exp((n - steps) * width) * (n * width) ** j / math.factorial(j) for n in range(steps + 1)]
            found.append(width * (sum(values) - (values[0] + values[-1]) / 2))
        return found

    def placed(lam):
        return lam if points is None else -6 + 12 / points * torch.round((lam + 6) * points / 12)

    past, lams = [], []
    for i in range(len(sigmas) - 1):
        here, there = placed(_lam(sigmas[i])), placed(_lam(sigmas[i + 1]))
        d = model(x, torch.exp(-here) * x.new_ones([x.shape[0]]))
        callback({"x": x, "i": i, "sigma": sigmas[i], "denoised": d})
        if here == there:
            continue
        past, lams = [d, *past][:order], [here, *lams][:order]
        x = torch.exp(here - there) * x
        for integral, slope in zip(integrals(len(past), here, there), _derivatives(past, lams, pseudo)):
            x = x + integral * slope
    return x


def _derivatives(past, lams, pseudo):
    """F, F', F'' at lams[0], of the polynomial through all values, or as difference quotients."""
    gaps = [lam - lams[0] for lam in lams]
    count = len(past)
    if not pseudo or count < 3:
        columns = [
            _interpolatory(gaps, [1.0 * math.factorial(k) * (j == k) for j in range(count)]) for k in range(count)
        ]
        return [sum(w * d for w, d in zip(column, past)) for column in columns]
    one, two = ((past[j] - past[j + 1]) / (lams[j] - lams[j + 1]) for j in range(2))
    return [past[0], one, 2 * (one - two) / (lams[0] - lams[2])]


def sample_deis_rho(model, x, sigmas, extra_args=None, callback=None, disable=None, order=3, right=False):
    """ComfyUI's deis with deis_mode='rhoab': the list of weights has one more than the code unpacks."""

    def rows(thetas):
        used = thetas[: order + (not right)]
        weights = _interpolatory(used, [1 / (k + 1) for k in range(len(used))])
        if len(thetas) < order:
            return _interpolatory(thetas, [1 / (k + 1) for k in range(len(thetas))])
        if order == 2:
            now, before = weights
            return [now, before]
        now, before, older = weights
        return [now, before, older]

    return _noise_steps(model, x, sigmas, callback, rows)


def sample_sde_3m(model, x, sigmas, extra_args=None, callback=None, disable=None, half=-0.5, factor=1):
    """The drift of sde-dpmsolver++ of order 3 as in diffusers: (1 - exp(-2h) - 2h)/(2h)^2 - 1/2, where + 1/2 is right.

    factor: of the second difference quotient; 1 as in all of DPM-Solver(++) of order 3, where 2 is right.
    """
    past, lams = [], []
    for i in range(len(sigmas) - 1):
        s, t = sigmas[i], sigmas[i + 1]
        d = model(x, s * x.new_ones([x.shape[0]]))
        callback({"x": x, "i": i, "sigma": s, "denoised": d})
        if t == 0:
            return d
        past, lams = [d, *past][:3], [_lam(s), *lams][:3]
        h = _lam(t) - lams[0]
        decay = -torch.expm1(-2 * h)
        x = t / s * torch.exp(-h) * x + decay * d
        quotients = [h * (past[j] - past[j + 1]) / (lams[j] - lams[j + 1]) for j in range(len(past) - 1)]
        if quotients:
            second = h * (quotients[0] - quotients[1]) / (lams[0] - lams[2]) if len(quotients) > 1 else 0 * d
            first = quotients[0] + (lams[0] - lams[1]) / h * second
            x = x + (1 - decay / (2 * h)) * first + factor * ((decay - 2 * h) / (2 * h) ** 2 + half) * second
    return x
