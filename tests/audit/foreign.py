"""Solvers as other projects write them, right and wrong: what the auditor is given as MODULE:NAME."""

from __future__ import annotations

import math

import numpy as np
import torch

# --- samplers: f(model, x, sigmas, extra_args=None, callback=None, disable=None) ---


def _lam(sigma):
    return -sigma.log()


def _data_steps(model, x, sigmas, callback, rows):
    """x' = (s'/s) x + h sum_j w_j D_j with ``rows(h, ratios) -> weights`` over the newest data predictions."""
    past, lams = [], []
    for i in range(len(sigmas) - 1):
        d = model(x, sigmas[i] * x.new_ones([x.shape[0]]))
        callback({"x": x, "i": i, "sigma": sigmas[i], "denoised": d})
        if sigmas[i + 1] == 0:
            return d
        past.insert(0, d)
        lams.insert(0, _lam(sigmas[i]))
        h = _lam(sigmas[i + 1]) - lams[0]
        thetas = [(lam - lams[0]) / h for lam in lams]
        weights = rows(h, thetas)
        x = (sigmas[i + 1] / sigmas[i]) * x + h * sum(w * d for w, d in zip(weights, past))
        del past[4:], lams[4:]
    return x


def _phi(k, z):
    value = torch.expm1(z) / z
    for n in range(1, k):
        value = (value - 1 / math.factorial(n)) / z
    return value


def _interpolatory(thetas, moments):
    one = 0 * thetas[0] + 1
    matrix = torch.stack([torch.stack([one * t**k for t in thetas]) for k in range(len(thetas))])
    return list(torch.linalg.solve(matrix, torch.stack([one * m for m in moments])))


def _floats(thetas, moments):
    """The same by way of NumPy, which exact numbers cannot follow."""
    matrix = np.array([[float(t) ** k for t in thetas] for k in range(len(thetas))])
    return list(np.linalg.solve(matrix, moments))


def _three(factor):
    def rows(h, thetas):
        used = thetas[:3]
        moments = [_phi(1, -h), _phi(2, -h), factor * _phi(3, -h)]
        return _interpolatory(used, moments[: len(used)])

    return rows


def sample_3m_published(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """DPM-Solver++(3M) as published: the second moment without its factor 2."""
    return _data_steps(model, x, sigmas, callback, _three(1))


def sample_3m_exact(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """The same with the factor."""
    return _data_steps(model, x, sigmas, callback, _three(2))


def sample_2m_bh1(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """UniP-2 with B(h) = h: moment 1 is 1/2, of order 2 and not exact."""
    return _data_steps(model, x, sigmas, callback, lambda h, t: _interpolatory(t[:2], [_phi(1, -h), 0.5][: len(t[:2])]))


def sample_2m_swapped(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """The ratio of the steps upside down: h_n^2 (r0^2 - 1) sums up to what the ends leave, so runs are of order 2."""

    def rows(h, thetas):
        if len(thetas) == 1:
            return [_phi(1, -h)]
        r = -thetas[1]
        return [_phi(1, -h) + _phi(2, -h) * r, -_phi(2, -h) * r]

    return _data_steps(model, x, sigmas, callback, rows)


def sample_2m_constant(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Weights for equal steps of lambda on any steps: moment 1 is r0 of the exact one."""

    def rows(h, thetas):
        return [_phi(1, -h) + _phi(2, -h), -_phi(2, -h)] if len(thetas) > 1 else [_phi(1, -h)]

    return _data_steps(model, x, sigmas, callback, rows)


def _noise_steps(model, x, sigmas, callback, rows):
    """Steps in sigma: x' = x + dt sum_j w_j d_j, d = (x - D)/sigma."""
    past, at = [], []
    for i in range(len(sigmas) - 1):
        d = model(x, sigmas[i] * x.new_ones([x.shape[0]]))
        callback({"x": x, "i": i, "sigma": sigmas[i], "denoised": d})
        if sigmas[i + 1] == 0:
            return d
        past.insert(0, (x - d) / sigmas[i])
        at.insert(0, sigmas[i])
        dt = sigmas[i + 1] - at[0]
        weights = rows([(s - at[0]) / dt for s in at])
        x = x + dt * sum(w * d for w, d in zip(weights, past))
        del past[4:], at[4:]
    return x


def _adams(count, solve=_interpolatory):
    def rows(thetas):
        used = thetas[:count]
        return solve(used, [1 / (k + 1) for k in range(len(used))])

    return rows


def sample_ab3(model, x, sigmas, extra_args=None, callback=None, disable=None, order=3):
    """Adams-Bashforth in sigma on any steps."""
    return _noise_steps(model, x, sigmas, callback, _adams(order))


def sample_ab3_floats(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """The same, its weights by NumPy."""
    return _noise_steps(model, x, sigmas, callback, _adams(3, _floats))


def sample_plms(model, x, sigmas, extra_args=None, callback=None, disable=None, order=4):
    """The weights of Adams-Bashforth on equal steps, on any steps."""
    tables = ([1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24])
    return _noise_steps(model, x, sigmas, callback, lambda t: tables[min(len(t), order) - 1])


def sample_ipndm_v_3m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Order 3 with a misplaced parenthesis (diff-sampler, ComfyUI): moment 2 is off by (r0^2 + r0 r1 - r0 - 1)/2."""

    def rows(thetas):
        if len(thetas) < 3:
            return _adams(len(thetas))(thetas)
        r0, r1 = -thetas[1], thetas[1] - thetas[2]
        off = (r0**2 + r0 * r1 - r0 - 1) / 2
        return _interpolatory(thetas[:3], [1, 1 / 2, 1 / 3 + off])

    return _noise_steps(model, x, sigmas, callback, rows)


def _pec(model, x, sigmas, callback, weights, count=2):
    """Predictor over ``count`` values, corrector over one more: the state is corrected when the value at its end is known."""
    lams, past, last, predicted = [], [], None, x
    for i in range(len(sigmas) - 1):
        d = model(predicted, sigmas[i] * x.new_ones([x.shape[0]]))
        lam = _lam(sigmas[i])
        if last is not None:
            h = lam - lams[0]
            thetas = [0 * h + 1, *[(v - lams[0]) / h for v in lams]]
            x = (sigmas[i] / sigmas[i - 1]) * last + h * sum(w * v for w, v in zip(weights(h, thetas), [d, *past]))
        callback({"x": x, "i": i, "sigma": sigmas[i], "denoised": d})
        if sigmas[i + 1] == 0:
            return d
        last, past, lams = x, [d, *past][:count], [lam, *lams][:count]
        h = _lam(sigmas[i + 1]) - lam
        thetas = [(v - lam) / h for v in lams]
        w = _interpolatory(thetas, [math.factorial(k) * _phi(k + 1, -h) for k in range(len(thetas))])
        predicted = (sigmas[i + 1] / sigmas[i]) * x + h * sum(a * v for a, v in zip(w, past))
    return predicted


def sample_pec_3m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """UniPC-2: a corrector of order 3."""
    moments = lambda h: [_phi(1, -h), _phi(2, -h), 2 * _phi(3, -h)]  # noqa: E731
    return _pec(model, x, sigmas, callback, lambda h, t: _interpolatory(t, moments(h)[: len(t)]))


def sample_pec_vary(model, x, sigmas, extra_args=None, callback=None, disable=None, order=3, right=False):
    """UniPC-2, UniPC-3 with vary_coeff as published: of the sum over k the last term is left out, and after its loop the
    newest value is added once, by the row of the k before and the phi after."""

    def weights(h, thetas):
        phis = [_phi(k + 1, -h) for k in range(len(thetas))]
        if len(thetas) < order:
            return _interpolatory(thetas, [math.factorial(k) * phi for k, phi in enumerate(phis)])
        places = [*thetas[2:], thetas[0]]
        matrix = torch.stack([torch.stack([r**k / math.factorial(k + 1) for r in places]) for k in range(len(places))])
        ones = [[0 * h + (j == k) for j in range(len(places))] for k in range(len(places))]
        rows = [torch.linalg.solve(matrix, torch.stack(one)) for one in ones]
        last = len(places) - (0 if right else 1)
        past = [sum(phis[k + 1] * rows[k][j] for k in range(last)) / r for j, r in enumerate(places[:-1])]
        new = sum(phis[k + 1] * rows[k][-1] for k in range(last)) if right else phis[-1] * rows[last - 1][-1]
        return [new, phis[0] - sum(past) - new, *past]

    return _pec(model, x, sigmas, callback, weights, order - 1)


def sample_heun(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Heun's method in sigma."""
    return _two(model, x, sigmas, callback, 1 / 2, 1 / 2)


def sample_heunpp2(model, x, sigmas, extra_args=None, callback=None, disable=None, order=2):
    """Weights that are ratios to the first sigma and do not tend to 1/2 (ComfyUI's heunpp2)."""
    return _two(model, x, sigmas, callback, None, None)


def _two(model, x, sigmas, callback, first, second):
    for i in range(len(sigmas) - 1):
        s, t = sigmas[i], sigmas[i + 1]
        one = x.new_ones([x.shape[0]])
        d = model(x, s * one)
        callback({"x": x, "i": i, "sigma": s, "denoised": d})
        if t == 0:
            return d
        d1 = (x - d) / s
        y = x + (t - s) * d1
        d2 = (y - model(y, t * one)) / t
        w = t / (2 * sigmas[0]) if second is None else second
        x = x + (t - s) * ((1 - w) * d1 + w * d2)
    return x


def sample_unfinished_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """A branch that was never written."""
    for i in range(len(sigmas) - 1):
        d = model(x, sigmas[i] * x.new_ones([x.shape[0]]))
        if i == 0:
            step = (sigmas[1] / sigmas[0]) * x + (1 - sigmas[1] / sigmas[0]) * d
            x = step
        else:
            raise UnboundLocalError("x_t")
    return x


# --- steps ---


def rk4(f, t, x, h):
    k1 = f(t, x)
    k2 = f(t + h / 2, x + h / 2 * k1)
    k3 = f(t + h / 2, x + h / 2 * k2)
    k4 = f(t + h, x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


rk4.order = 4


def rk4_late(f, t, x, h):
    """The last stage at the middle of the step."""
    k1 = f(t, x)
    k2 = f(t + h / 2, x + h / 2 * k1)
    k3 = f(t + h / 2, x + h / 2 * k2)
    k4 = f(t + h / 2, x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


rk4_late.order = 4


def _etd2(f, t, x, h, L, kept):
    z = h * L
    circle = np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)
    around = z[:, None] + circle
    phi1 = kept((np.exp(around) - 1) / around)
    phi2 = kept((np.exp(around) - 1 - around) / around**2)
    n = f(t, x)
    a = np.exp(z) * x + h * phi1 * n
    return a + h * phi2 * (f(t + h, a) - n)


def etd2rk(f, t, x, h, L):
    """ETD2RK with coefficients by contour means."""
    return _etd2(f, t, x, h, L, lambda values: values.mean(axis=1))


etd2rk.order = 2


def etd2rk_real(f, t, x, h, L):
    """The same, with the imaginary parts of its coefficients thrown away: right for real spectra only."""
    return _etd2(f, t, x, h, L, lambda values: values.mean(axis=1).real)


etd2rk_real.order = 2

# --- tables ---

KUTTA3 = {"A": [[0, 0, 0], [0.5, 0, 0], [-1, 2, 0]], "b": [1 / 6, 2 / 3, 1 / 6], "c": [0, 0.5, 1], "order": 3}
KUTTA3_WRONG = {"A": [[0, 0, 0], [0.5, 0, 0], [1, 2, 0]], "b": [1 / 6, 2 / 3, 1 / 6], "c": [0, 0.5, 1], "order": 3}
TENSORS = (torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]))
NOTHING = 3
