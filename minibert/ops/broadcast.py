"""Broadcasting and its reverse, shared by the elementwise ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert import backend
from minibert.autograd import Tensor
from minibert.backend import Array, namespace
from minibert.op_inputs import holds_tensors


def unbroadcast(dy: Array, shape: tuple[int, ...]) -> Array:
    """Sum `dy` over the axes along which an input of `shape` was repeated.

    An element that was used k times gets the sum of k gradients.
    """
    if tuple(dy.shape) == tuple(shape):
        return dy
    xp = namespace(dy)
    added = dy.ndim - len(shape)
    stretched = tuple(added + i for i, length in enumerate(shape) if length == 1 and dy.shape[added + i] != 1)
    dx = xp.sum(dy, axis=(*range(added), *stretched))
    return xp.reshape(dx, shape)


def operands(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors whose shapes broadcast; a number or list takes the dtype (and device) of the other side.

    Raises:
        ValueError: a real number meets integers, or the shapes do not broadcast.
    """
    like = next(v.data for v in (x, y) if isinstance(v, Tensor))
    x, y = (v if isinstance(v, Tensor) else operand(v, like) for v in (x, y))
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise ValueError(f"shapes {x.shape} and {y.shape} do not broadcast") from None
    return x, y


def operand(value: Any, like: Array) -> Tensor:
    """An array as a tensor; a number, an array without axes or a list in the dtype of `like`.

    So is an array of booleans beside real numbers, as `x * (x > 0)` has it: 1 where true, 0 elsewhere.

    Raises:
        ValueError: real numbers, and `like` holds integers.
    """
    if holds_tensors(value) or (backend.is_array(value) and value.ndim and not _is_mask(value, like)):
        return Tensor(value)
    if not backend.is_floating(like) and backend.is_floating(Tensor(value).data):
        raise ValueError(f"cannot mix {like.dtype} and real numbers; convert with x.astype('float32')")
    return Tensor(backend.asarray(value, like=like))


def _is_mask(value: Array, like: Array) -> bool:
    return backend.is_floating(like) and namespace(value).isdtype(value.dtype, "bool")
