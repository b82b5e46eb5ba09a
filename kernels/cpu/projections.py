"""Queries, keys and values: three weights, one input, one result; and one product each way in backward."""

from __future__ import annotations

import numpy as np

from . import threads
from .arrays import inputs
from .few_rows import FEW_ROWS, few_rows
from .matmul import column_sums, linear, matmul

Saved = tuple[np.ndarray, ...]


def projections_forward(x: np.ndarray, *parameters: np.ndarray) -> tuple[np.ndarray, Saved]:
    """(T, H) and weight (O, H), bias (O,) of each, to (n, T, O)."""
    weights, biases = parameters[::2], parameters[1::2]
    T, O = x.shape[0], weights[0].shape[0]
    y = np.empty((len(weights), T, O), x.dtype)
    if 0 < T <= FEW_ROWS and all(a.flags.c_contiguous for a in (x, *weights)):
        threads.split(len(weights) * O, _few_rows_of_several, x, weights, biases, y, grain=64)
    else:
        for weight, bias, part in zip(weights, biases, y, strict=True):
            linear(x, weight, bias, part)
    return y, (x, *weights)


def _few_rows_of_several(first: int, end: int, x: np.ndarray, weights: Saved, biases: Saved, y: np.ndarray) -> None:
    """Outputs first..end-1, counted through all weights: one hand-over to the threads instead of three."""
    O = weights[0].shape[0]
    for i, weight in enumerate(weights):
        a, b = max(first - i * O, 0), min(end - i * O, O)
        if a < b:
            arrays = inputs(x, weight, biases[i])
            few_rows(a, b, arrays[0], arrays[1], arrays[2], y[i])


def projections_backward(dy: np.ndarray, saved: Saved, needs: tuple[bool, ...]) -> tuple[np.ndarray | None, ...]:
    """(n, T, O) to the gradients of x and of each weight and bias.

    The weights are laid side by side first: a copy of 3 H^2 numbers saves two passes of adding up (T, H) products.
    """
    x, *weights = saved
    n, T, O = dy.shape
    flat = dy.transpose(1, 0, 2).reshape(T, n * O)  # (T, n O), a copy
    dx = matmul(flat, np.concatenate(weights)) if needs[0] else None
    dweights = matmul(flat.T, x).reshape(n, O, -1) if any(needs[1::2]) else [None] * n
    dbiases = column_sums(flat).reshape(n, O) if any(needs[2::2]) else [None] * n
    pairs = (grad for pair in zip(dweights, dbiases, strict=True) for grad in pair)
    return (dx, *pairs)
