"""Softmax over the last axis."""

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


class Softmax(Op):
    """Softmax over the last axis (Vaswani et al., equation 1, without the product)."""

    def forward(self, x: Array) -> Array:
        p = softmax_forward(x)
        self.save(p)
        return p

    def backward(self, dp: Array) -> Array:
        (p,) = self.saved
        return softmax_backward(dp, p)


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last axis, (..., K) to (..., K).

    Raises:
        ValueError: the last axis is empty or missing.
    """
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"softmax needs at least one score in a row, got shape {x.shape}")
    return Softmax.apply(x)
