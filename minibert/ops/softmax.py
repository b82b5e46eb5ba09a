"""Softmax over an axis, and its logarithm."""

from __future__ import annotations

from minibert.autograd import Op, Tensor, as_tensors
from minibert.backend import Array, namespace
from minibert.ops.shape import axis_from_front


def softmax_forward(x: Array) -> Array:
    """p_i = exp(x_i) / sum_j exp(x_j) over the last axis. Without the row's maximum, exp cannot overflow."""
    xp = namespace(x)
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def softmax_backward(dp: Array, p: Array) -> Array:
    """dx_i = p_i (dp_i - sum_j p_j dp_j): raising one score lowers every other probability of its row."""
    xp = namespace(dp)
    return p * (dp - xp.sum(dp * p, axis=-1, keepdims=True))


class Softmax(Op, kernel="softmax"):
    """Softmax over the last axis (Vaswani et al., equation 1, without the product)."""

    def forward(self, x: Array) -> Array:
        p = softmax_forward(x)
        self.save(p)
        return p

    def backward(self, dp: Array) -> Array:
        (p,) = self.saved
        return softmax_backward(dp, p)


class LogSoftmax(Op):
    """y_i = x_i - ln sum_j exp(x_j) over the last axis: the logarithm of softmax, without its underflow."""

    def forward(self, x: Array) -> Array:
        xp = namespace(x)
        shifted = x - xp.max(x, axis=-1, keepdims=True)
        y = shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved
        xp = namespace(dy)
        return dy - xp.exp(y) * xp.sum(dy, axis=-1, keepdims=True)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Softmax over an axis, (..., K) to (..., K).

    Raises:
        ValueError: there is no such axis, or it is empty.
    """
    return _over_axis("softmax", Softmax, x, axis)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Logarithm of softmax over an axis, (..., K) to (..., K); finite where a probability is too small for the dtype.

    Raises:
        ValueError: there is no such axis, or it is empty.
    """
    return _over_axis("log_softmax", LogSoftmax, x, axis)


def _over_axis(name: str, op: type[Op], x: Tensor, axis: int) -> Tensor:
    """An op over the last axis, applied to another one."""
    (x,) = as_tensors((x,))
    if x.ndim == 0:
        raise ValueError(f"{name} needs at least one score in a row, got shape {x.shape}")
    place = axis_from_front(axis, x.ndim)
    if x.shape[place] == 0:
        raise ValueError(f"{name} needs at least one score in a row, got shape {x.shape}")
    if place == x.ndim - 1:
        return op.apply(x)
    return op.apply(x.transpose(place, -1)).transpose(place, -1)
