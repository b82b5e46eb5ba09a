"""Rows by number: picking them, and laying packed tokens back into their padded places."""

from __future__ import annotations

from typing import Any

from minibert import backend
from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace


class TakeRows(Op):
    """y[m] = x[index[m]]; a row taken k times gets the sum of k gradients."""

    def forward(self, x: Array, *, index: Array) -> Array:
        self.save(index, x.shape[0])
        return namespace(x).take(x, index, axis=0)

    def backward(self, dy: Array) -> Array:
        index, length = self.saved
        return backend.scatter_add(index, dy, length)


class PlaceRows(Op):
    """y[index[m]] = x[m], all other rows zero: the reverse of picking, for an index without repeats.

    The standard has no assignment by an index array, so the rows are gathered from the other side: place p takes row
    `source[p]`, where a source of M stands for a row of zeros put behind the others.
    """

    def forward(self, x: Array, *, index: Array, source: Array) -> Array:
        xp = namespace(x)
        self.save(index)
        zero = xp.zeros((1, *x.shape[1:]), dtype=x.dtype, device=x.device)
        return xp.take(xp.concat((x, zero), axis=0), source, axis=0)

    def backward(self, dy: Array) -> Array:
        (index,) = self.saved
        return namespace(dy).take(dy, index, axis=0)


def take_rows(x: Tensor, index: Any) -> Tensor:
    """Rows of x by number.

    Args:
        x: (R, ...).
        index: (M,) integers in 0..R-1 (negative ones count from the end).

    Returns:
        (M, ...).

    Raises:
        ValueError: the index is not one-dimensional integers, or points outside.
    """
    given, index = index, backend.index_array(index, like=x.data)
    if index.ndim != 1 or not namespace(index).isdtype(index.dtype, "integral"):
        raise ValueError(f"rows are taken by a one-dimensional integer array, got {index.ndim}-d {index.dtype}")
    return TakeRows.apply(x, index=row_numbers(given, index, x.shape[0]))


def row_numbers(given: Any, index: Array, length: int) -> Array:
    """`index` with negative numbers, which count from the end, made positive.

    Args:
        given: the same as it was given, perhaps on another device (see `backend.checkable`).
        index: integers of any shape.
        length: of the axis that is indexed.

    Raises:
        ValueError: a number points outside the axis.
    """
    if index.size:
        seen = backend.checkable(given, index)
        low, high = int(namespace(seen).min(seen)), int(namespace(seen).max(seen))
        if low < -length or high >= length:
            raise ValueError(f"row numbers must lie in 0..{length - 1}, got {low}..{high}")
    return namespace(index).where(index < 0, index + length, index)


def place_rows(x: Tensor, index: Array, length: int) -> Tensor:
    """x's rows at the places `index` of an array of `length` rows; the others are zero.

    Args:
        x: (M, ...).
        index: (M,) NumPy integers, all different, in 0..length-1.

    Returns:
        (length, ...).
    """
    import numpy as np

    source = np.full(length, x.shape[0])
    source[index] = np.arange(x.shape[0])
    return PlaceRows.apply(
        x, index=backend.index_array(index, like=x.data), source=backend.index_array(source, like=x.data)
    )
