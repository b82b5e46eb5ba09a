"""Softmax over the last axis, and its logarithm."""

from __future__ import annotations

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace


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


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last axis, (..., K) to (..., K).

    Raises:
        ValueError: the last axis is empty or missing.
    """
    _check_rows("softmax", x)
    return Softmax.apply(x)


def log_softmax(x: Tensor) -> Tensor:
    """Logarithm of softmax over the last axis, (..., K) to (..., K); finite where a probability is too small for the
    dtype.

    Raises:
        ValueError: the last axis is empty or missing.
    """
    _check_rows("log_softmax", x)
    return LogSoftmax.apply(x)


def _check_rows(name: str, x: Tensor) -> None:
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"{name} needs at least one score in a row, got shape {x.shape}")
