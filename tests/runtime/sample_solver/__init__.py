"""A generated package, written by hand: DPM-Solver++(2M) for VP-linear, noise prediction (arXiv:2211.01095 eq. 16)."""

from runtime import load

from . import coefficients, step_torch

solver, SPEC, CLAIMS = load(__path__[0], coefficients, step_torch)
