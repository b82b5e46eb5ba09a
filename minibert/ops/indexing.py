"""x[key]: numbers, slices, Ellipsis and None; a boolean mask; and integer arrays, alone or beside slices.

Integer arrays need no op of their own. `x[rows, columns]` is a row of the array in which both axes are one: axes that
are indexed by arrays come first and are flattened, the indices become row numbers, `take_rows` picks, and the result is
put into the shape and order that NumPy gives it. An element picked k times gets the sum of its k gradients, since a
row does.
"""

from __future__ import annotations

import math
from typing import Any

from minibert import backend
from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.number_like import as_int, is_int
from minibert.ops.rows import row_numbers, take_rows
from minibert.ops.shape import permute_dims, reshape


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


def getitem(x: Tensor, key: Any) -> Tensor:
    """`x[key]` with NumPy's meaning: numbers, slices, Ellipsis, None, boolean masks, integer arrays (repeats allowed).

    Raises:
        IndexError: a number outside its axis, as Python's sequences have it.
        ValueError: an index that is none of these, an array with numbers outside, or too many indices.
    """
    entries = tuple(_entry(k, x) for k in (key if isinstance(key, tuple) else (key,)))
    if len(entries) == 1 and _is_mask(entries[0]):
        _check_mask(entries[0], x.shape[: entries[0].ndim])
        return GetItem.apply(x, key=entries[0])
    entries = _one_an_axis(entries, x)
    if not any(backend.is_array(e) for e in entries):
        return GetItem.apply(x, key=(*entries, Ellipsis))  # the standard leaves no axis unsaid
    return _take(x, entries)


def _entry(key: Any, x: Tensor) -> Any:
    """One part of a key: an int, a slice, None, Ellipsis, or an array of x's library."""
    if isinstance(key, Tensor):
        key = key.data
    if key is None or key is Ellipsis:
        return key
    if isinstance(key, slice):
        parts = (key.start, key.stop, key.step)
        return slice(*(None if part is None else as_int("a bound of a slice", part) for part in parts))
    if is_int(key):
        return as_int("an index", key)
    if not isinstance(key, list) and not backend.is_array(key):
        raise ValueError(
            "a tensor is indexed by integers, slices, None, Ellipsis, and arrays or lists of integers or booleans, "
            f"got {type(key).__name__}"
        )
    index = backend.index_array(key, like=x.data)
    xp = namespace(index)
    if index.size == 0 and isinstance(key, list):
        return xp.astype(index, xp.int64)  # an empty list has no dtype of its own
    if not xp.isdtype(index.dtype, ("bool", "integral")):
        raise ValueError(f"an index array must hold integers or booleans, got {index.dtype}")
    return index


def _is_mask(entry: Any) -> bool:
    return backend.is_array(entry) and bool(namespace(entry).isdtype(entry.dtype, "bool"))


def _check_mask(mask: Array, shape: tuple[int, ...]) -> None:
    if mask.ndim == 0 or tuple(mask.shape) != tuple(shape):
        raise ValueError(f"a mask of shape {tuple(mask.shape)} does not fit axes of lengths {tuple(shape)}")


def _one_an_axis(entries: tuple[Any, ...], x: Tensor) -> tuple[Any, ...]:
    """The key with Ellipsis written out and masks as integer arrays: an entry for each axis, and the Nones."""
    used = sum(entry.ndim if _is_mask(entry) else 1 for entry in entries if entry is not None and entry is not Ellipsis)
    if used > x.ndim or sum(entry is Ellipsis for entry in entries) > 1:
        raise ValueError(f"too many indices: {used} for a tensor of shape {x.shape}, with at most one Ellipsis")
    rest = (slice(None),) * (x.ndim - used)
    if not any(entry is Ellipsis for entry in entries):
        entries = (*entries, Ellipsis)
    spread: list[Any] = []
    axis = 0
    for entry in entries:
        if entry is Ellipsis:
            spread += rest
            axis += len(rest)
        elif entry is None:
            spread.append(None)
        elif _is_mask(entry):
            _check_mask(entry, x.shape[axis : axis + entry.ndim])
            spread += namespace(entry).nonzero(entry)
            axis += entry.ndim
        else:
            if isinstance(entry, int):
                _check_number(entry, axis, x.shape)
            spread.append(entry)
            axis += 1
    return tuple(spread)


def _check_number(index: int, axis: int, shape: tuple[int, ...]) -> None:
    if not -shape[axis] <= index < shape[axis]:
        raise IndexError(f"index {index} is outside axis {axis} of a tensor of shape {shape}")


def _take(x: Tensor, entries: tuple[Any, ...]) -> Tensor:
    """x[entries] where at least one entry is an integer array; a number beside it counts as an array, as in NumPy."""
    by_array = [i for i, e in enumerate(entries) if backend.is_array(e) or isinstance(e, int)]
    others = [i for i in range(len(entries)) if i not in by_array]
    sliced = tuple(slice(None) if i in by_array else e for i, e in enumerate(entries))
    if any(e != slice(None) for e in sliced):
        x = GetItem.apply(x, key=(*sliced, Ellipsis))  # from here on axis i of x belongs to entry i
    lengths, rest = [x.shape[i] for i in by_array], tuple(x.shape[i] for i in others)
    index = _flat_index([entries[i] for i in by_array], lengths, like=x)
    rows = reshape(permute_dims(x, axes=(*by_array, *others)), shape=(math.prod(lengths), *rest))
    picked = reshape(
        take_rows(rows, namespace(index).reshape(index, (-1,))), shape=(*index.shape, *rest)
    )  # the indices' own axes, then the others
    together = by_array[-1] - by_array[0] == len(by_array) - 1
    before = by_array[0] if together else 0  # NumPy's rule: arrays apart from one another put their axes first
    if before == 0:
        return picked
    n = index.ndim
    return permute_dims(picked, axes=(*range(n, n + before), *range(n), *range(n + before, picked.ndim)))


def _flat_index(indices: list[Any], lengths: list[int], *, like: Tensor) -> Array:
    """Row numbers in the array in which axes of `lengths` are one, for an index (or array of them) along each."""
    arrays = [backend.index_array(i, like=like.data) for i in indices]
    xp = namespace(arrays[0])
    flat = xp.zeros((), dtype=xp.int64, device=arrays[0].device)
    for given, array, length in zip(indices, arrays, lengths, strict=True):
        try:
            flat = flat * length + xp.astype(row_numbers(given, array, length), xp.int64)
        except ValueError as error:
            if "broadcast" not in str(error):
                raise
            shapes = ", ".join(str(tuple(a.shape)) for a in arrays)
            raise ValueError(f"index arrays of shapes {shapes} do not broadcast") from None
    return flat
