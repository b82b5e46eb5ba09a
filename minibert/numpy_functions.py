"""What NumPy's functions do with tensors: no gradient is lost silently.

- `array + tensor`, and the functions in `_AS_OPS`, are ops: the gradient runs through.
- Functions through which no gradient runs (comparisons, shapes, positions) give arrays.
- All others give arrays, too, unless a gradient would be lost: then they are refused.

`np.asarray(x)` and `np.array(x)` are ways out, as `x.numpy()`, `float(x)` and `x.tolist()` are: they ask for the
values alone. Under `no_grad()` there is no gradient to lose.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minibert import ops
from minibert.autograd import Tensor, as_tensors, is_grad_enabled

_UFUNC_METHODS = {
    "add": ("__add__", "__radd__"), "subtract": ("__sub__", "__rsub__"), "multiply": ("__mul__", "__rmul__"),
    "divide": ("__truediv__", "__rtruediv__"), "matmul": ("__matmul__", "__rmatmul__"),
    "power": ("__pow__", "__rpow__"),
}  # fmt: skip
"""The operators that a ufunc of two inputs stands for, where the tensor is its first and where its second one."""

_TRUTHS = {
    "equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "isfinite", "isinf", "isnan", "signbit",
    "logical_and", "logical_or", "logical_xor", "logical_not",
}  # fmt: skip
"""NumPy's functions to true and false, through which no gradient runs anyway."""

_NO_GRADIENT = {
    np.shape, np.ndim, np.size, np.argmax, np.argmin, np.argsort, np.nanargmax, np.nanargmin, np.nonzero,
    np.flatnonzero, np.argwhere, np.count_nonzero, np.searchsorted, np.digitize, np.isin, np.any, np.all, np.allclose,
    np.isclose, np.array_equal, np.array_equiv, np.isreal, np.isrealobj, np.iscomplexobj, np.zeros_like, np.ones_like,
    np.empty_like, np.full_like, np.result_type, np.can_cast, np.min_scalar_type, np.shares_memory,
    np.may_share_memory, np.array2string, np.array_repr, np.array_str, np.save, np.savez, np.savez_compressed,
    np.savetxt,
}  # fmt: skip
"""Functions whose result says where, how many, or how an array looks."""


def apply_ufunc(tensor: Tensor, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """`ufunc(*inputs)`, one of which is `tensor`.

    Raises:
        ValueError: a gradient would be lost, or a tensor is to be written into.
    """
    _expect_no_output(ufunc.__name__, options.get("out", ()))
    wanted = _gradient_wanted(inputs, options)
    if method == "__call__" and ufunc.__name__ in _UFUNC_METHODS and not options:
        first, second = inputs
        if second is tensor and (wanted or first is not tensor):  # NumPy asks here, since the array stands on the left
            return getattr(tensor, _UFUNC_METHODS[ufunc.__name__][1])(first)
        if wanted:
            return getattr(first, _UFUNC_METHODS[ufunc.__name__][0])(second)
    if wanted and ufunc.__name__ not in _TRUTHS:
        raise _lost(f"numpy.{ufunc.__name__}")
    return getattr(ufunc, method)(*_plain(inputs), **_plain(options))


def apply_function(function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """`function(*args, **options)` for a function of NumPy that is no ufunc, with a tensor among what it is given.

    Raises:
        ValueError: a gradient would be lost, or a tensor is to be written into.
    """
    _expect_no_output(function.__name__, options.get("out"))
    wanted = _gradient_wanted(args, options)
    if function is np.where and len(args) == 1:
        wanted = False  # asks for positions
    if function in _METHODS or (wanted and function in _AS_OPS):
        try:
            return {**_AS_OPS, **_METHODS}[function](*args, **options)
        except TypeError as error:
            raise ValueError(f"numpy.{function.__name__} of a tensor does not take this: {error}") from None
    if wanted and (function not in _NO_GRADIENT or _concatenates(function)):
        raise _lost("numpy.r_ and c_" if _concatenates(function) else f"{function.__module__}.{function.__name__}")
    return function(*_plain(args), **_plain(options))


def _lost(name: str) -> ValueError:
    return ValueError(
        f"{name} on a tensor that requires a gradient would lose it; "
        "use the function of minibert.ops, or .numpy() if the gradient is not wanted"
    )


def _concatenates(function: Any) -> bool:
    """Whether NumPy asks on behalf of `np.r_` or `np.c_`, which have no other way to be noticed than that question."""
    if function is not np.ndim:
        return False
    asking = sys._getframe(3).f_code  # this function, apply_function, __array_function__, then NumPy
    return asking.co_name == "__getitem__" and "index_tricks" in asking.co_filename


def _gradient_wanted(*given: Any) -> bool:
    return is_grad_enabled() and any(tensor.requires_grad for tensor in _tensors_in(given))


def _tensors_in(value: Any) -> Any:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors_in(item)
    elif isinstance(value, dict):
        yield from _tensors_in(list(value.values()))


def _plain(value: Any) -> Any:
    """The same with arrays in the tensors' places."""
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value


def _expect_no_output(name: str, out: Any) -> None:
    if any(True for _ in _tensors_in(out)):
        raise ValueError(f"numpy.{name} cannot write into a tensor; give an array as out=, or none")


# --- functions that are ops -------------------------------------------------------------------------------------------


def _method(name: str) -> Callable[..., Tensor]:
    return lambda x, *args, **options: getattr(x, name)(*args, **options)


def _spread(name: str) -> Callable[..., Tensor]:
    def reduced(x: Tensor, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
        result: Tensor = getattr(x, name)(axis=axis, keepdims=keepdims, correction=ddof)
        return result

    return reduced


def _concatenate(arrays: Any, axis: int | None = 0) -> Tensor:
    tensors = as_tensors(arrays)
    return ops.concat([t.reshape(-1) for t in tensors] if axis is None else tensors, axis=axis or 0)


def _dot(a: Any, b: Any) -> Tensor:
    x, y = as_tensors((a, b))
    if x.ndim == 0 or y.ndim == 0:
        return ops.multiply(x, y)
    if y.ndim > 2:
        raise TypeError("its second array has more than two axes; write x @ y, or a sum")
    return ops.matmul(x, y)


def _clip(x: Tensor, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    return x.clip(min if a_min is None else a_min, max if a_max is None else a_max)


_METHODS: dict[Any, Callable[..., Any]] = {
    np.sum: _method("sum"),
    np.mean: _method("mean"),
    np.max: _method("max"),
    np.min: _method("min"),
    np.amax: _method("max"),
    np.amin: _method("min"),
    np.transpose: lambda x, axes=None: x.transpose(axes),
    np.squeeze: lambda x, axis=None: x.squeeze(axis),
}
"""Functions that NumPy itself hands on to the method of that name: they give a Tensor always."""

_AS_OPS: dict[Any, Callable[..., Any]] = {
    np.var: _spread("var"),
    np.std: _spread("std"),
    np.reshape: lambda x, /, shape: x.reshape(shape),
    np.ravel: lambda x: x.reshape(-1),
    np.expand_dims: lambda x, axis: x.unsqueeze(axis),
    np.swapaxes: lambda x, axis1, axis2: x.transpose(axis1, axis2),
    np.broadcast_to: lambda x, shape: ops.broadcast_to(x, shape=shape),
    np.concatenate: _concatenate,
    np.stack: lambda arrays, axis=0: ops.stack(as_tensors(arrays), axis=axis),
    np.where: ops.where,
    np.clip: _clip,
    np.dot: _dot,
}
"""Functions that are ops where a gradient is wanted; else they give arrays, as NumPy's functions do."""
