"""Slips of public samplers, each typed in as the formula that it is; with ``right=True`` the same without the slip.

Where they were found: diff-sampler and ComfyUI (iPNDM_v, DEIS by sums, ER-SDE), RES4LYF 1.1.0 (3M, DEIS, anchored
stages), skrample 0.7.0 (abscissae in another variable).
"""

from __future__ import annotations

import itertools
import math

import torch

from tests.audit.foreign import _data_steps, _interpolatory, _noise_steps, _phi


def _ipndm_v(h, h1, h2, h3, order, right):
    """Adams weights by differences: three slips (a parenthesis, a sign, a ratio)."""
    near = h / (3 * (h + h1))
    second = h * (h + h1) / (h1 * (h1 + h2))
    t1 = (1 - near) * second / 2 if right else (1 - near * second) / 2
    if order == 3:
        return [1 + h / h1 / 2 + t1, -h / h1 / 2 - (1 + h1 / h2) * t1, t1 * h1 / h2]
    third = h * (h + h1) * (h + h1 + h2) / (h1 * (h1 + h2) * (h1 + h2 + h3))
    bracket = (1 - h / (2 * (h + h1))) * h / (6 * (h + h1 + h2))
    t2 = ((1 - near) / 2 - bracket if right else (1 - near) / 2 + bracket) * third
    q, y = h1 / h2, h1 * (h1 + h2) / (h2 * (h2 + h3))
    return [
        1 + h / h1 / 2 + t1 + t2,
        -h / h1 / 2 - (1 + q) * t1 - (1 + q + y) * t2,
        t1 * q + (q + y * (1 + h2 / h3)) * t2,
        -t2 * y * (h2 / h3 if right else q),
    ]


def sample_ipndm_v(model, x, sigmas, extra_args=None, callback=None, disable=None, order=4, right=False):
    """iPNDM_v of order 3 or 4."""

    def rows(thetas):
        if len(thetas) < order:
            return _interpolatory(thetas, [1 / (k + 1) for k in range(len(thetas))])
        ends = [1 + 0 * thetas[0], *thetas]
        sizes = [a - b for a, b in itertools.pairwise(ends)] + [0]
        return _ipndm_v(*sizes[:4], order, right)

    return _noise_steps(model, x, sigmas, callback, rows)


def sample_deis_sums(model, x, sigmas, extra_args=None, callback=None, disable=None, order=3, points=100):
    """Adams weights as sums of Lagrange polynomials at the left ends of so many intervals, in the place of integrals."""

    def rows(thetas):
        used = thetas[:order]
        moments = [sum((i / points) ** k for i in range(points)) / points for k in range(len(used))]
        return _interpolatory(used, moments)

    return _noise_steps(model, x, sigmas, callback, rows)


def sample_er_ode(model, x, sigmas, extra_args=None, callback=None, disable=None, order=3, points=20):
    """ER-SDE without noise: x' = (t/s) x + (1 - t/s) D + w1 D' + w2 D'', integrals of 1/rho by sums over left ends.

    The second difference quotient is taken over the distance of the first and the third value, halved, and the first
    one is that of the step before as it was.
    """
    past, quotients, at = [], [], []
    for i in range(len(sigmas) - 1):
        s, t = sigmas[i], sigmas[i + 1]
        d = model(x, s * x.new_ones([x.shape[0]]))
        callback({"x": x, "i": i, "sigma": s, "denoised": d})
        if t == 0:
            return d
        width = (s - t) / points
        places = [t + k * width for k in range(points)]
        x = (t / s) * x + (1 - t / s) * d
        if past:
            first = (d - past[-1]) / (s - at[-1])
            x = x + (t - s + t * sum(width / v for v in places)) * first
            if quotients and order > 2:
                second = (first - quotients[-1]) / ((s - at[-2]) / 2)
                x = x + ((t - s) ** 2 / 2 + t * sum((v - s) * width / v for v in places)) * second
            quotients.append(first)
        past.append(d)
        at.append(s)
    return x


def _three_values(weights):
    """Weights on three data predictions; the first steps have as many values as there are."""

    def rows(h, thetas):
        used = thetas[:3]
        moments = [_phi(1, -h), _phi(2, -h)][: len(used)]
        return weights(-h, used) if len(used) == 3 else _interpolatory(used, moments)

    return rows


def sample_dpmpp_3m_one_value(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """RES4LYF's dpmpp_3m: phi_2 divided by the place of the oldest value; the one between is not used."""

    def weights(z, thetas):
        w = _phi(2, z) / thetas[2]
        return [_phi(1, z) - w, 0 * w, w]

    return _data_steps(model, x, sigmas, callback, _three_values(weights))


def sample_res_3m(model, x, sigmas, extra_args=None, callback=None, disable=None, right=False):
    """RES4LYF's res_3m: gamma with the cube of the third place for its square."""

    def weights(z, thetas):
        _, c2, c3 = thetas
        gamma = (3 * c3 ** (2 if right else 3) - 2 * c3) / (2 * c2 - 3 * c2**2)
        w = _phi(2, z) / (gamma * c2 + c3)
        return [_phi(1, z) - (1 + gamma) * w, gamma * w, w]

    return _data_steps(model, x, sigmas, callback, _three_values(weights))


def sample_abnorsett_3m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """RES4LYF's abnorsett_3m: the weights of equal steps on any steps."""

    def weights(z, _):
        p2, p3 = _phi(2, z), _phi(3, z)
        return [_phi(1, z) + 3 / 2 * p2 + p3, -2 * p2 - 2 * p3, p2 / 2 + p3]

    return _data_steps(model, x, sigmas, callback, _three_values(weights))


def sample_deis_anchored(model, x, sigmas, extra_args=None, callback=None, disable=None, order=3):
    """RES4LYF's deis_3m: Adams weights in sigma, noise taken as (x_n - D_j)/sigma_n for every j."""

    def rows(h, thetas):
        s, ends = torch.exp(h), [torch.exp(-h * t) for t in thetas[:order]]
        places = [(v - 1) / (1 / s - 1) for v in ends]
        weights = _interpolatory(places, [1 / (k + 1) for k in range(len(places))])
        return [w * (1 - 1 / s) / h for w in weights]

    return _data_steps(model, x, sigmas, callback, rows)


def sample_3m_branch(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """No slip: phi functions are cut off series below |z| = 1e-4, where these are exact to float32."""

    def phi(k, z):
        return (1 + z / (k + 1)) / math.factorial(k) if abs(z) < 1e-4 else _phi(k, z)

    def rows(h, thetas):
        used = thetas[:3]
        return _interpolatory(used, [phi(1, -h), phi(2, -h), 2 * phi(3, -h)][: len(used)])

    return _data_steps(model, x, sigmas, callback, rows)


def _stages(model, x, sigmas, callback, slope, middle):
    """The classical Runge-Kutta method in sigma."""
    for i in range(len(sigmas) - 1):
        s, t = sigmas[i], sigmas[i + 1]
        one, half = x.new_ones([x.shape[0]]), middle(s, t)
        d = model(x, s * one)
        callback({"x": x, "i": i, "sigma": s, "denoised": d})
        if t == 0:
            return d
        h, start = t - s, x
        k1 = slope(start, s, x, s, d)
        y = x + h / 2 * k1
        k2 = slope(start, s, y, half, model(y, half * one))
        y = x + h / 2 * k2
        k3 = slope(start, s, y, half, model(y, half * one))
        y = x + h * k3
        k4 = slope(start, s, y, t, model(y, t * one))
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def _own(start, s, y, at, d):
    return (y - d) / at


def sample_rk4(model, x, sigmas, extra_args=None, callback=None, disable=None, order=4):
    """As it should be."""
    return _stages(model, x, sigmas, callback, _own, lambda s, t: (s + t) / 2)


def sample_rk4_anchored(model, x, sigmas, extra_args=None, callback=None, disable=None, order=4):
    """RES4LYF's linear tables as they are set: noise of every stage is (x_n - D_i)/sigma_n."""
    return _stages(model, x, sigmas, callback, lambda start, s, y, at, d: (start - d) / s, lambda s, t: (s + t) / 2)


def sample_rk4_elsewhere(model, x, sigmas, extra_args=None, callback=None, disable=None, order=4):
    """skrample's tables: the abscissa 1/2 is that of another variable than the weights (here log sigma)."""
    return _stages(model, x, sigmas, callback, _own, lambda s, t: (s * t) ** 0.5)


def sample_dpm_fast(model, x, sigmas, extra_args=None, callback=None, disable=None, calls=0):
    """DPM-Solver-fast: steps of order 3, at the end one of order 2 and one of order 1, or one of either.

    calls: of the network, modulo 3, which decides on the end; sigmas: of its steps, which have one to three calls.
    """
    steps = len(sigmas) - 1
    orders = [3] * (steps - 2) + {0: [2, 1], 1: [3, 1], 2: [3, 2]}[calls]
    for i, order in enumerate(orders):
        s, t = sigmas[i], sigmas[i + 1]
        one, h = x.new_ones([x.shape[0]]), torch.log(s / t)

        def noise(y, sigma, one=one):
            return (y - model(y, sigma * one)) / sigma

        e = noise(x, s)
        callback({"x": x, "i": i, "sigma": s})
        first = x - t * torch.expm1(h) * e
        if order == 1:
            x = first
        elif order == 2:
            middle = s * torch.exp(-h / 2)
            y = x - middle * torch.expm1(h / 2) * e
            x = first - t * torch.expm1(h) * (noise(y, middle) - e)
        else:
            at, then = s * torch.exp(-h / 3), s * torch.exp(-2 * h / 3)
            one_third = noise(x - at * torch.expm1(h / 3) * e, at) - e
            y = (
                x
                - then * torch.expm1(2 * h / 3) * e
                - 2 * then * (torch.expm1(2 * h / 3) / (2 * h / 3) - 1) * one_third
            )
            x = first - 3 / 2 * t * (torch.expm1(h) / h - 1) * (noise(y, then) - e)
    return x
