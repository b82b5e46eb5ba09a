"""Dropout, drawn from a counter."""

from __future__ import annotations

import math

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.number_like import is_float
from minibert.philox import Key, keep_mask, next_key


def dropout_scale(x: Array, p: float, key: Key) -> Array:
    """What dropout multiplies x with: 1 / (1 - p) where an element is kept, 0 where it is dropped.

    The last axis of x gives the columns of the counter, everything before it the rows (`minibert.philox.keep_mask`).
    """
    xp = namespace(x)
    columns = x.shape[-1] if x.ndim else 1
    rows = xp.arange(math.prod(x.shape[:-1]), dtype=xp.uint64, device=x.device)
    keep = xp.reshape(keep_mask(rows, columns, p, key), x.shape)
    return xp.astype(keep, x.dtype) / (1.0 - p)


class Dropout(Op, kernel="dropout"):
    """y = x m / (1 - p), where m is 1 with probability 1 - p and else 0.

    The division keeps the expectation, so nothing changes at evaluation. The mask is not stored: backward draws it
    again.

    Source: Srivastava et al., "Dropout", section 4, in the form that scales while training.
    """

    def forward(self, x: Array, *, p: float, key: Key) -> Array:
        self.save(p, key)
        return x * dropout_scale(x, p, key)

    def backward(self, dy: Array) -> Array:
        p, key = self.saved
        return dy * dropout_scale(dy, p, key)


def dropout(x: Tensor, p: float, *, training: bool = True, key: Key | None = None) -> Tensor:
    """Zero elements with probability `p` and scale the others by 1 / (1 - p); does nothing when not training.

    Args:
        x: (..., C).
        p: probability of dropping, 0 <= p < 1.
        key: what to draw from; the next key of the run's sequence if None.

    Raises:
        ValueError: p is not in [0, 1).
    """
    p = check_probability(p)
    if not training or p == 0.0:
        return x
    return Dropout.apply(x, p=p, key=next_key() if key is None else key)


def check_probability(p: float) -> float:
    """`p` as a Python float, which widens no array; ValueError unless it lies in [0, 1)."""
    if not is_float(p) or not 0.0 <= p < 1.0:
        raise ValueError(f"a dropout probability lies in [0, 1), got {p}")
    return float(p)
