"""Sum, mean, variance, maximum and minimum over axes."""

from __future__ import annotations

import math
from typing import ClassVar

from minibert.autograd import Op, Tensor
from minibert.backend import Array, is_floating, namespace
from minibert.number_like import as_float, as_int
from minibert.ops.elementwise import sqrt

Axis = int | tuple[int, ...] | None


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    axes = tuple(range(ndim)) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(as_int("axis", a) for a in axes)
    if any(not -ndim <= a < ndim for a in axes) or len({a % ndim for a in axes}) < len(axes):
        raise ValueError(f"axis {axis} does not fit an array of {ndim} axes: each once, from {-ndim} to {ndim - 1}")
    return tuple(a % ndim for a in axes)


def _keep_axes(y: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """A reduced array with its lost axes back, as length 1, so that it broadcasts against the input."""
    return namespace(y).reshape(y, tuple(1 if i in axes else n for i, n in enumerate(shape)))


class Sum(Op):
    """y = sum of x over axes."""

    def forward(self, x: Array, *, axis: Axis, keepdims: bool) -> Array:
        xp = namespace(x)
        axes = _axes(axis, x.ndim)
        self.save(x.shape, axes)
        return xp.asarray(xp.sum(x, axis=axes, keepdims=keepdims))

    def backward(self, dy: Array) -> Array:
        shape, axes = self.saved
        return namespace(dy).broadcast_to(_keep_axes(dy, shape, axes), shape)


class Mean(Op):
    """y = mean of x over axes."""

    def forward(self, x: Array, *, axis: Axis, keepdims: bool) -> Array:
        xp = namespace(x)
        axes = _axes(axis, x.ndim)
        self.save(x.shape, axes)
        return xp.asarray(xp.mean(x, axis=axes, keepdims=keepdims))

    def backward(self, dy: Array) -> Array:
        shape, axes = self.saved
        n = math.prod(shape[a] for a in axes)
        return namespace(dy).broadcast_to(_keep_axes(dy, shape, axes) / n, shape)


class Max(Op):
    """y = max of x over axes; equal maxima share the gradient."""

    function: ClassVar[str] = "max"

    def forward(self, x: Array, *, axis: Axis, keepdims: bool) -> Array:
        xp = namespace(x)
        axes = _axes(axis, x.ndim)
        if 0 in (x.shape[a] for a in axes):
            raise ValueError(f"the {self.function} over an empty axis is not defined: shape {tuple(x.shape)}")
        y = xp.asarray(getattr(xp, self.function)(x, axis=axes, keepdims=keepdims))
        self.save(x == _keep_axes(y, x.shape, axes), axes)
        return y

    def backward(self, dy: Array) -> Array:
        is_max, axes = self.saved
        xp = namespace(dy)
        share = xp.astype(is_max, dy.dtype)
        share = share / xp.sum(share, axis=axes, keepdims=True)
        return _keep_axes(dy, is_max.shape, axes) * share


class Min(Max):
    """y = min of x over axes; equal minima share the gradient."""

    function = "min"


def sum(x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (an axis, several, or all if None)."""
    return Sum.apply(x, axis=axis, keepdims=keepdims)


def mean(x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean over `axis` (an axis, several, or all if None)."""
    return Mean.apply(x, axis=axis, keepdims=keepdims)


def max(x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Maximum over `axis` (an axis, several, or all if None). Raises ValueError over an empty axis."""
    return Max.apply(x, axis=axis, keepdims=keepdims)


def min(x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Minimum over `axis` (an axis, several, or all if None). Raises ValueError over an empty axis."""
    return Min.apply(x, axis=axis, keepdims=keepdims)


def var(x: Tensor, *, axis: Axis = None, keepdims: bool = False, correction: float = 0) -> Tensor:
    """Variance over `axis` (an axis, several, or all if None): the mean of (x - mean)^2, times n / (n - correction).

    Args:
        correction: 0 for the variance of these n numbers, as NumPy has it by default and LayerNorm needs it; 1 for the
            unbiased estimate from a sample.

    Raises:
        ValueError: there are no more than `correction` numbers to take the variance of.
    """
    n = math.prod(x.shape[a] for a in _axes(axis, x.ndim))
    correction = as_float("correction", correction)
    if n <= correction:
        raise ValueError(f"the variance of {n} numbers with correction {correction:g} is not defined")
    x = x if is_floating(x.data) else x.astype("float64")
    centred = x - mean(x, axis=axis, keepdims=True)
    return mean(centred * centred, axis=axis, keepdims=keepdims) * (n / (n - correction))


def std(x: Tensor, *, axis: Axis = None, keepdims: bool = False, correction: float = 0) -> Tensor:
    """Standard deviation over `axis`: the square root of `var`."""
    return sqrt(var(x, axis=axis, keepdims=keepdims, correction=correction))
