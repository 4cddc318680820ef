"""x' = a x + b0 m0 + b1 m1, m0 = cx x + cr raw."""

import torch


def start_1(x, raw, m, c):
    a, b0, _b1, cx, cr = c
    m0 = cx * x + cr * raw
    return a * x + b0 * m0, (m0, *m)


def main(x, raw, m, c):
    a, b0, b1, cx, cr = c
    m0 = cx * x + cr * raw
    return a * x + b0 * m0 + b1 * m[0], (m0, *m[1:])


def start_1_(x, raw, m, c):
    a, b0, _b1, cx, cr = c
    m0 = torch.mul(x, cx, out=m[-1]).addcmul_(raw, cr)
    x.mul_(a).addcmul_(m0, b0)
    return x, (m0, *m[:-1])


def main_(x, raw, m, c):
    a, b0, b1, cx, cr = c
    m0 = torch.mul(x, cx, out=m[-1]).addcmul_(raw, cr)
    x.mul_(a).addcmul_(m0, b0).addcmul_(m[0], b1)
    return x, (m0, *m[:-1])


STEPS = {"start_1": start_1, "main": main}
STEPS_ = {"start_1": start_1_, "main": main_}
RING = 2
NEEDS = {"start_1": 0, "main": 1}
KEEPS = {"start_1": 1, "main": 1}
