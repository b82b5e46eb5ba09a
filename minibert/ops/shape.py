"""Ops that move numbers without changing them: reshape, permute, broadcast, concatenate, slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minibert import backend
from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.ops.broadcast import unbroadcast
from minibert.ops.rows import take_rows


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


class GetItem(Op):
    """y = x[key] for a key of numbers, slices, Ellipsis and None, or one boolean array: no element is taken twice."""

    def forward(self, x: Array, *, key: Any) -> Array:
        xp = namespace(x)
        # The standard has None when reading, but not when writing: there the axes of length 1 are left out.
        widens = isinstance(key, tuple) and any(k is None for k in key)
        plain = tuple(k for k in key if k is not None) if widens else key
        picked = xp.asarray(x[plain])
        self.save(x.shape, plain, picked.shape)
        return xp.asarray(x[key]) if widens else picked

    def backward(self, dy: Array) -> Array:
        shape, key, picked = self.saved
        xp = namespace(dy)
        dx = xp.zeros(shape, dtype=dy.dtype, device=dy.device)
        dx[key] = xp.reshape(dy, picked)
        return dx


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
    """Tensors joined along `axis`."""
    return Concat.apply(*xs, axis=axis)


def getitem(x: Tensor, key: Any) -> Tensor:
    """`x[key]`: numbers, slices, Ellipsis, None; one boolean array; or one array of row numbers (repeats allowed).

    Raises:
        ValueError: several index arrays at once.
    """
    if isinstance(key, Tensor):
        key = key.data
    if isinstance(key, list) or backend.is_array(key):
        key = backend.index_array(key, like=x.data)
        if not namespace(key).isdtype(key.dtype, "bool"):
            return take_rows(x, key)
    elif isinstance(key, tuple) and any(isinstance(k, list) or backend.is_array(k) for k in key):
        raise ValueError("indexing with several index arrays is not supported; take rows first, then slice")
    else:
        key = key if isinstance(key, tuple) else (key,)
        key = key if any(k is Ellipsis for k in key) else (*key, Ellipsis)  # the standard leaves no axis unsaid
    return GetItem.apply(x, key=key)
