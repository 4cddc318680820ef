"""Errors of a solve, by what was wrong. Each is also the built-in error a caller would expect.

Plain misuse of an argument is a TypeError or ValueError as such; these are the ones worth catching by name.
"""

from __future__ import annotations


class RuntimeFault(Exception):
    """Base of the errors that this package names."""


class ShapeError(RuntimeFault, ValueError):
    """Two tensors that have to have one shape do not; the message has both. Nothing is ever broadcast."""


class DeviceError(RuntimeFault, ValueError):
    """Two tensors that have to be on one device are not; the message has both."""


class NonFiniteError(RuntimeFault, ArithmeticError):
    """NaN or infinity in the state or in what the model returned; the message has step, time and count."""


class LimitError(RuntimeFault, ValueError):
    """A coefficient is not finite, or has no finite limit at an end of the schedule; the message has the remedy."""


class StaleStateError(RuntimeFault, RuntimeError):
    """A State was used after the step that consumed it (its buffers now hold the next state)."""


class NoCompilerError(RuntimeFault, RuntimeError):
    """A fused step could not be built; the message says why."""


__all__ = [
    "DeviceError",
    "LimitError",
    "NoCompilerError",
    "NonFiniteError",
    "RuntimeFault",
    "ShapeError",
    "StaleStateError",
]
