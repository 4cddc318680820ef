r"""Foreign code in exact arithmetic: a tensor whose entries are numbers of DIGITS digits, for code that asks torch only.

    h = 10^-GAP,   f(h) = sum_n c_n h^n:   the terms stand GAP digits apart, and c_e is what is left of f/h^e at GAP digits

so the leading term of a residual shows its exponent and its coefficient without a fit: a jet of the code in h, read off at
one place. A float that is the double next to p/q with q <= 5000 is taken as p/q (1/3, 0.1). Code that leaves these numbers
(``float(x)``, NumPy tables, an operation that is not here) is not exact, and says so by :class:`Inexact`.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, cast

import mpmath
import numpy as np
import torch
from torch.overrides import TorchFunctionMode

DIGITS = 640
GAP = 40
DENOMINATOR = 5000
POINTS = 11
DRAWS = ("randn", "randn_like", "normal", "normal_", "rand", "rand_like")


class Inexact(ArithmeticError):
    """The code does something that exact numbers cannot follow."""


@lru_cache(maxsize=4096)
def _float(value: float) -> Any:
    if value != value or value in (float("inf"), -float("inf")):
        return mpmath.mpf(value)
    near = Fraction(value).limit_denominator(DENOMINATOR)
    with mpmath.workdps(DIGITS):
        return mpmath.mpf(near.numerator) / near.denominator if float(near) == value else mpmath.mpf(value)


def number(value: Any) -> Any:
    """An mpf: fractions of floats as :data:`DENOMINATOR` says."""
    if isinstance(value, mpmath.mpf):
        return value
    if isinstance(value, Exact):
        return value.item()
    if isinstance(value, (bool, int, np.integer)):
        return mpmath.mpf(int(value))
    if isinstance(value, Fraction):
        return mpmath.mpf(value.numerator) / value.denominator
    try:
        return _float(float(value))
    except (TypeError, ValueError) as error:
        raise Inexact(f"a {type(value).__name__} among exact numbers") from error


def entries(value: Any) -> np.ndarray:
    """The entries of whatever can stand beside an exact tensor, as an array of mpf."""
    if isinstance(value, Exact):
        return value.array
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, (list, tuple)):
        return np.stack([entries(part) for part in value]) if len(value) else np.empty(0, dtype=object)
    return _numbers(np.asarray(value, dtype=object))


_numbers = np.frompyfunc(number, 1, 1)


def exp(x: Any) -> Any:
    """Of a float or an mpf, as are the next two."""
    return mpmath.exp(x) if isinstance(x, mpmath.mpf) else math.exp(x)


def log(x: Any) -> Any:
    return mpmath.log(x) if isinstance(x, mpmath.mpf) else math.log(x)


def sqrt(x: Any) -> Any:
    return mpmath.sqrt(x) if isinstance(x, mpmath.mpf) else math.sqrt(x)


def _apart(call: Callable[..., Any]) -> Callable[..., Exact]:
    """An operation of arrays as one of tensors."""
    return lambda *args: Exact(call(*map(entries, args)))


def _in_place(call: Callable[[Any, Any], Any]) -> Callable[..., Exact]:
    apart = np.frompyfunc(call, 2, 1)

    def found(x: Exact, y: Any) -> Exact:
        x.array[...] = apart(x.array, entries(y))
        return x

    return found


def _compared(call: Callable[[Any, Any], bool]) -> Callable[..., torch.Tensor]:
    apart = np.frompyfunc(call, 2, 1)
    return lambda x, y: torch.from_numpy(np.asarray(apart(entries(x), entries(y)), dtype=bool))


def _power(x: Any, y: Any) -> Any:
    return x ** int(y) if y == int(y) else mpmath.sqrt(x) if y == 0.5 else mpmath.power(x, y)


def _solved(matrix: np.ndarray, right: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Gaussian elimination with pivots: matrix [n, n], right [n]."""
    a = [[*row, b] for row, b in zip(matrix, right)]
    for i in range(len(a)):
        best = max(range(i, len(a)), key=lambda k: abs(a[k][i]))
        a[i], a[best] = a[best], a[i]
        for k in range(len(a)):
            if k != i:
                factor = a[k][i] / a[i][i]
                a[k] = [u - factor * v for u, v in zip(a[k], a[i])]
    return np.array([row[-1] / row[i] for i, row in enumerate(a)], dtype=object)


UNARY: dict[str, Callable[[Any], Any]] = {
    "log": mpmath.log, "exp": mpmath.exp, "expm1": mpmath.expm1, "log1p": mpmath.log1p, "sqrt": mpmath.sqrt,
    "neg": operator.neg, "negative": operator.neg, "abs": abs, "absolute": abs, "reciprocal": lambda v: 1 / v,
    "square": lambda v: v * v, "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "atan": mpmath.atan,
    "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh, "sign": mpmath.sign,
    "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "subtract": operator.sub, "mul": operator.mul,
    "multiply": operator.mul, "div": operator.truediv, "divide": operator.truediv, "true_divide": operator.truediv,
    "pow": _power, "power": _power, "float_power": _power, "maximum": max, "minimum": min, "atan2": mpmath.atan2,
}  # fmt: skip
COMPARED = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne,
            "less": operator.lt, "greater": operator.gt, "equal": operator.eq}  # fmt: skip
NAMES = {"axis": "dim", "keepdims": "keepdim"}
"""NumPy's words for torch's."""
SAME = {
    "float", "double", "half", "cpu", "cuda", "contiguous", "detach", "requires_grad_", "as_tensor", "type_as",
}  # fmt: skip
"""What returns the tensor itself, as torch does where the type is the same."""


def _dims(dims: Sequence[Any]) -> tuple[int, ...]:
    """view(2, 3) and view((2, 3)), as NumPy takes it."""
    return tuple(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else tuple(dims)


def _reduced(call: Callable[..., Any]) -> Callable[..., Exact]:
    """dim: None or empty for all, a number, or several."""

    def found(x: Any, dim: Any = None, keepdim: bool = False) -> Exact:
        axis = dim if dim is None or isinstance(dim, int) else tuple(dim) or None
        return Exact(np.asarray(call(entries(x), axis=axis, keepdims=keepdim), dtype=object))

    return found


def _mean(a: np.ndarray, axis: Any, keepdims: bool) -> Any:
    """The sum over the product of the reduced sizes."""
    sizes = a.shape if axis is None else [a.shape[i] for i in np.atleast_1d(axis)]
    return np.sum(a, axis=axis, keepdims=keepdims) / mpmath.mpf(math.prod(sizes))


def _flat(x: Exact, start_dim: int = 0, end_dim: int = -1) -> Exact:
    """A scalar becomes [1], as torch has it."""
    shape = x.array.shape or (1,)
    start, end = start_dim % len(shape), end_dim % len(shape)
    return Exact(x.array.reshape(*shape[:start], -1, *shape[end + 1 :]))


def _copied(x: Exact, *_: Any, **__: Any) -> Exact:
    return Exact(x.array.copy())


def _to(x: Exact, *args: Any, copy: bool = False, **_: Any) -> Exact:
    """copy: by name, or the second flag after non_blocking."""
    flags = [a for a in args if isinstance(a, bool)]
    return _copied(x) if copy or flags[1:] == [True] else x


def _typed(x: Exact, dtype: Any = None, **_: Any) -> Any:
    return "torch.DoubleTensor" if dtype is None else x


def _filled(value: int) -> Callable[..., Exact]:
    def found(x: Exact, *size: Any, **_: Any) -> Exact:
        return Exact(np.full(_dims(size) if size else x.array.shape, mpmath.mpf(value), dtype=object))

    return found


def _squeezed(x: Exact, dim: Any = None) -> Exact:
    array = x.array
    return Exact(array.squeeze() if dim is None else array.squeeze(dim) if array.shape[dim] == 1 else array)


def _expanded(x: Exact, *size: Any) -> Exact:
    """-1 keeps a size; new dimensions come first."""
    wanted = _dims(size)
    old = (1,) * (len(wanted) - x.array.ndim) + x.array.shape
    return Exact(np.broadcast_to(x.array, [n if m == -1 else m for m, n in zip(wanted, old)]))


def _lerp(x: Any, y: Any, weight: Any) -> Any:
    return x + (y - x) * weight


def _joined(call: Callable[..., np.ndarray]) -> Callable[..., Exact]:
    return lambda parts, dim=0: Exact(call([entries(part) for part in parts], axis=dim))


TABLE: dict[str, Callable[..., Any]] = {
    **{name: _apart(np.frompyfunc(call, 1, 1)) for name, call in UNARY.items()},
    **{name: _apart(np.frompyfunc(call, 2, 1)) for name, call in BINARY.items()},
    **{f"{name}_": _in_place(BINARY[name]) for name in ("add", "sub", "mul", "div")},
    **{name: _compared(call) for name, call in COMPARED.items()},
    **{name: lambda x, *_, **__: x for name in SAME},
    "clone": _copied, "nan_to_num": _copied, "to": _to, "type": _typed,
    "lerp": _apart(_lerp),
    "reshape": lambda x, *size: Exact(x.array.reshape(_dims(size))),
    "view": lambda x, *size: Exact(x.array.reshape(_dims(size))),
    "expand": _expanded,
    "broadcast_to": lambda x, size: Exact(np.broadcast_to(x.array, tuple(size))),
    "flatten": _flat,
    "unsqueeze": lambda x, dim: Exact(np.expand_dims(x.array, dim)),
    "squeeze": _squeezed,
    "repeat": lambda x, *size: Exact(np.tile(x.array, _dims(size))),
    "repeat_interleave": lambda x, count, dim=None: Exact(np.repeat(x.array, count, axis=dim)),
    "roll": lambda x, shifts, dims=None: Exact(np.roll(x.array, shifts, axis=dims)),
    "flip": lambda x, *dims: Exact(np.flip(x.array, _dims(dims)).copy()),
    "diff": lambda x: Exact(np.diff(x.array)),
    "sum": _reduced(np.sum), "prod": _reduced(np.prod), "cumprod": lambda x, dim: Exact(np.cumprod(x.array, axis=dim)),
    "mean": _reduced(_mean),
    "max": lambda x: Exact(np.asarray(x.array.max(), dtype=object)),
    "min": lambda x: Exact(np.asarray(x.array.min(), dtype=object)),
    "stack": _joined(np.stack), "cat": _joined(np.concatenate), "concat": _joined(np.concatenate),
    "einsum": lambda text, *parts: Exact(np.einsum(text, *map(entries, parts))),
    "matmul": _apart(lambda x, y: x @ y),
    "linalg_solve": _apart(_solved),
    "zeros_like": _filled(0), "new_zeros": _filled(0), "ones_like": _filled(1), "new_ones": _filled(1),
    "__getitem__": lambda x, key: Exact(np.asarray(x.array[_key(key)], dtype=object)),
    "__setitem__": lambda x, key, value: x.array.__setitem__(_key(key), entries(value)),
    "__len__": lambda x: len(x.array), "dim": lambda x: x.array.ndim, "numel": lambda x: x.array.size,
    "size": lambda x, dim=None: x.shape if dim is None else x.shape[dim],
    "unbind": lambda x, dim=0: tuple(Exact(np.asarray(v, dtype=object)) for v in np.moveaxis(x.array, dim, 0)),
    "is_floating_point": lambda x: True, "is_complex": lambda x: False,
    "numpy": lambda x: x.array, "item": lambda x: x.array.reshape(-1)[0], "tolist": lambda x: x.array.tolist(),
    "isnan": lambda x: torch.zeros(x.shape, dtype=torch.bool),
}  # fmt: skip


def _key(key: Any) -> Any:
    """An index with tensors among its parts."""
    if isinstance(key, tuple):
        return tuple(map(_key, key))
    return key.numpy() if isinstance(key, torch.Tensor) else key


class Exact(torch.Tensor):
    """A tensor of mpf. ``item()`` is one of them; ``float(x)`` raises Inexact."""

    array: np.ndarray

    @staticmethod
    def __new__(cls, array: np.ndarray) -> Exact:
        array = np.asarray(array, dtype=object)
        made = torch.Tensor._make_wrapper_subclass(cls, array.shape, dtype=torch.float64)  # type: ignore[attr-defined]
        made.array = array
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "__get__":
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args)
        if name in DRAWS:
            name = "zeros_like"
        if name not in TABLE:
            raise Inexact(f"{name} of exact numbers")
        named = {NAMES.get(key, key): v for key, v in (kwargs or {}).items()}
        return TABLE[name](*args, **{key: v for key, v in named.items() if key not in ("dtype", "device", "layout")})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise Inexact(f"{func} of exact numbers")

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if method != "__call__" or ufunc.__name__ not in TABLE:
            raise Inexact(f"numpy.{ufunc.__name__} of exact numbers")
        return TABLE[ufunc.__name__](*args)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise Inexact("a NumPy table of exact numbers")

    def __float__(self) -> float:
        raise Inexact("float() of an exact number")

    __int__ = __index__ = __float__  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self.item() != 0)

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Exact({self.array.tolist()})"


def _operator(name: str, swapped: bool) -> Callable[[Any, Any], Any]:
    call = TABLE[name]

    def found(x: Any, y: Any) -> Any:
        return call(y, x) if swapped else call(x, y)

    return found


for _name, _word in {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "pow": "pow"}.items():
    setattr(Exact, f"__{_name}__", _operator(_word, False))
    setattr(Exact, f"__r{_name}__", _operator(_word, True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Exact, f"__{_name}__", _operator(_name, False))
Exact.__hash__ = object.__hash__  # type: ignore[assignment, method-assign]
Exact.__neg__ = TABLE["neg"]  # type: ignore[assignment, method-assign]
Exact.__abs__ = TABLE["abs"]  # type: ignore[assignment, method-assign]


@cache
def _newton_cotes() -> tuple[Fraction, ...]:
    """Weights on POINTS equidistant points of [0, 1]: exact for polynomials of degree < POINTS."""
    rows = [[Fraction(i, POINTS - 1) ** k for i in range(POINTS)] for k in range(POINTS)]
    return tuple(_solved(np.array(rows, dtype=object), [Fraction(1, k + 1) for k in range(POINTS)]))


def quad(call: Callable[[Any], Any], a: Any, b: Any, *_: Any, **__: Any) -> tuple[Any, float]:
    """In the place of scipy.integrate.quad: an error of O(h^POINTS), where that one asks for floats."""
    points = [call(a + (b - a) * number(Fraction(i, POINTS - 1))) for i in range(POINTS)]
    return (b - a) * sum(number(w) * y for w, y in zip(_newton_cotes(), points)), 0.0


class Exactly(TorchFunctionMode):
    """A context: tensors made of exact numbers are exact, random numbers are zeros, and DIGITS digits are kept."""

    def __enter__(self) -> Exactly:
        self.precision = mpmath.workdps(DIGITS)
        self.precision.__enter__()
        self.scipy = cast(Any, sys.modules.get("scipy.integrate"))
        if self.scipy is not None:
            self.quad = self.scipy.quad
            self.scipy.quad = quad
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        if self.scipy is not None:
            self.scipy.quad = self.quad
        self.precision.__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("tensor", "as_tensor") and args and _holds(args[0]):
            made = Exact(entries(args[0]))
            return made.clone() if name == "tensor" else made
        if name == "full" and _holds(args[1:]):
            return Exact(np.full(tuple(args[0]), number(args[1]), dtype=object))
        out = func(*args, **(kwargs or {}))
        return out.zero_() if name in DRAWS and not isinstance(out, Exact) else out


def _holds(value: Any) -> bool:
    """Whether there is an exact number in it."""
    if isinstance(value, (list, tuple)):
        return any(map(_holds, value))
    return isinstance(value, (Exact, mpmath.mpf))


__all__ = ["DIGITS", "GAP", "Exact", "Exactly", "Inexact", "entries", "exp", "log", "number", "sqrt"]
