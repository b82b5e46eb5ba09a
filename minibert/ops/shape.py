"""Ops that move numbers without changing them: reshape, permute, broadcast, concatenate, stack."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minibert.autograd import Op, Tensor, as_tensors
from minibert.backend import Array, namespace
from minibert.number_like import as_int
from minibert.ops.broadcast import unbroadcast


class Reshape(Op):
    """The same numbers in another shape."""

    def forward(self, x: Array, *, shape: tuple[int, ...]) -> Array:
        self.save(x.shape)
        return namespace(x).reshape(x, shape)

    def backward(self, dy: Array) -> Array:
        (shape,) = self.saved
        return namespace(dy).reshape(dy, shape)


class PermuteDims(Op):
    """Axes in another order."""

    def forward(self, x: Array, *, axes: tuple[int, ...]) -> Array:
        self.save(axes)
        return namespace(x).permute_dims(x, axes)

    def backward(self, dy: Array) -> Array:
        (axes,) = self.saved
        inverse = tuple(sorted(range(len(axes)), key=lambda i: axes[i] % len(axes)))
        return namespace(dy).permute_dims(dy, inverse)


class BroadcastTo(Op):
    """x repeated along axes of length 1, and along new axes on the left."""

    def forward(self, x: Array, *, shape: tuple[int, ...]) -> Array:
        self.save(x.shape)
        return namespace(x).broadcast_to(x, shape)

    def backward(self, dy: Array) -> Array:
        (shape,) = self.saved
        return unbroadcast(dy, shape)


class Concat(Op):
    """Arrays joined along an axis."""

    def forward(self, *xs: Array, axis: int) -> Array:
        self.save(axis, [x.shape[axis] for x in xs])
        return namespace(xs[0]).concat(xs, axis=axis)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        axis, lengths = self.saved
        axis %= dy.ndim
        parts, start = [], 0
        for length in lengths:
            parts.append(dy[(slice(None),) * axis + (slice(start, start + length), ...)])
            start += length
        return tuple(parts)


def reshape(x: Tensor, *, shape: tuple[int, ...]) -> Tensor:
    """The same numbers in `shape`; one length may be -1."""
    return Reshape.apply(x, shape=shape)


def permute_dims(x: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    """Axis i of the result is axis `axes[i]` of x."""
    return PermuteDims.apply(x, axes=axes)


def broadcast_to(x: Tensor, *, shape: tuple[int, ...]) -> Tensor:
    """x repeated to `shape`."""
    return BroadcastTo.apply(x, shape=shape)


def concat(xs: Sequence[Tensor], *, axis: int = 0) -> Tensor:
    """Tensors of at least one axis joined along `axis`; their other axes are equal.

    Raises:
        ValueError: there are none, there is no such axis, or the others differ.
    """
    xs = as_tensors(tuple(xs))
    if not xs or min(x.ndim for x in xs) == 0:
        raise ValueError(f"concat needs tensors of at least one axis, got {[x.shape for x in xs]}")
    axis = axis_from_front(axis, xs[0].ndim)
    if len({(*x.shape[:axis], *x.shape[axis + 1 :]) for x in xs}) > 1 or len({x.ndim for x in xs}) > 1:
        raise ValueError(f"concat along axis {axis} needs tensors that differ there alone, got {[x.shape for x in xs]}")
    return Concat.apply(*xs, axis=axis)


def stack(xs: Sequence[Tensor], *, axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis.

    Raises:
        ValueError: there are none, their shapes differ, or there is no such axis.
    """
    xs = as_tensors(tuple(xs))
    if not xs or len({x.shape for x in xs}) > 1:
        raise ValueError(f"stack needs tensors of one shape, got {[x.shape for x in xs]}")
    return concat([expand_dims(x, axis=axis) for x in xs], axis=axis)


def expand_dims(x: Tensor, *, axis: int) -> Tensor:
    """x with a new axis of length 1 that becomes `axis` of the result.

    Raises:
        ValueError: there is no such axis.
    """
    place = axis_from_front(axis, x.ndim + 1)
    return reshape(x, shape=(*x.shape[:place], 1, *x.shape[place:]))


def squeeze(x: Tensor, *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """x without `axis` (an axis, or several), each of length 1; without all such axes if None.

    Raises:
        ValueError: there is no such axis, or its length is not 1.
    """
    if axis is None:
        gone = {i for i, n in enumerate(x.shape) if n == 1}
    else:
        gone = {axis_from_front(a, x.ndim) for a in (axis if isinstance(axis, tuple) else (axis,))}
    if any(x.shape[a] != 1 for a in gone):
        raise ValueError(f"squeeze removes axes of length 1; axis {axis} of shape {x.shape} is longer")
    return reshape(x, shape=tuple(n for i, n in enumerate(x.shape) if i not in gone))


def flatten(x: Tensor, *, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """x with the axes from `start_dim` to `end_dim`, both included, made one; a 0-d tensor becomes 1-d.

    Raises:
        ValueError: there are no such axes, or the last comes before the first.
    """
    if x.ndim == 0:
        return reshape(x, shape=(1,))
    first, last = axis_from_front(start_dim, x.ndim), axis_from_front(end_dim, x.ndim)
    if last < first:
        raise ValueError(f"flatten from axis {start_dim} to {end_dim}: the last comes before the first")
    return reshape(x, shape=(*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def axis_from_front(axis: int, ndim: int) -> int:
    """`axis` counted from the front."""
    number = as_int("axis", axis)
    if not -ndim <= number < ndim:
        raise ValueError(f"axis {number} does not exist: with {ndim} axes it lies from {-ndim} to {ndim - 1}")
    return number % ndim
