"""The linear layer: one product forward, two backward, each cut over the threads."""

from __future__ import annotations

import math

import numpy as np

from .matmul import column_sums, linear, matmul

Saved = tuple[np.ndarray, ...]


def linear_forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> tuple[np.ndarray, Saved]:
    """(..., I), (O, I) and maybe (O,), to (..., O)."""
    y = linear(_rows(x), weight, bias)
    return y.reshape(*x.shape[:-1], weight.shape[0]), (x, weight)


def linear_backward(dy: np.ndarray, saved: Saved, needs: tuple[bool, ...]) -> tuple[np.ndarray | None, ...]:
    """(..., O) to the gradients of x, weight and, if there was one, bias."""
    x, weight = saved
    flat = _rows(dy)  # (R, O)
    dx = matmul(flat, weight).reshape(x.shape) if needs[0] else None
    dweight = matmul(flat.T, _rows(x)) if needs[1] else None
    return (dx, dweight, *((column_sums(flat) if wanted else None) for wanted in needs[2:]))


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
