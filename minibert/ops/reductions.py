"""Sum, mean and maximum over axes."""

from __future__ import annotations

import math

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace

Axis = int | tuple[int, ...] | None


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    axes = tuple(range(ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
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

    def forward(self, x: Array, *, axis: Axis, keepdims: bool) -> Array:
        xp = namespace(x)
        axes = _axes(axis, x.ndim)
        y = xp.asarray(xp.max(x, axis=axes, keepdims=keepdims))
        self.save(x == _keep_axes(y, x.shape, axes), axes)
        return y

    def backward(self, dy: Array) -> Array:
        is_max, axes = self.saved
        xp = namespace(dy)
        share = xp.astype(is_max, dy.dtype)
        share = share / xp.sum(share, axis=axes, keepdims=True)
        return _keep_axes(dy, is_max.shape, axes) * share


def sum(x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (an axis, several, or all if None)."""
    return Sum.apply(x, axis=axis, keepdims=keepdims)


def mean(x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean over `axis` (an axis, several, or all if None)."""
    return Mean.apply(x, axis=axis, keepdims=keepdims)


def max(x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Maximum over `axis` (an axis, several, or all if None)."""
    return Max.apply(x, axis=axis, keepdims=keepdims)
