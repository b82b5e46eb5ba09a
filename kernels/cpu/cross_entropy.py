"""Cross-entropy a row at a time: two looks at a row's scores, the second from cache, and nothing of their size written.

Backward needs exp(x - max) / sum again: it keeps the maximum and the sum of each row, two numbers, and computes the
exponentials anew, in the one pass that writes the gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import arrays, threads
from .compiled import njit
from .layer_norm import rows_a_thread
from .softmax import CHUNK, FAST, row_max
from .vector_math import exp


@njit(fastmath=FAST, error_model="numpy")
def _sum_exp(x: Any, top: float) -> Any:
    """Sum of exp(x - top) over one row (V,), as float64."""
    total = 0.0
    for begin in range(0, x.shape[0], CHUNK):
        u = x[begin : begin + CHUNK]
        part = x.dtype.type(0)
        for c in range(u.shape[0]):
            part += exp(u[c] - top)
        total += part
    return total


@njit(error_model="numpy")
def _forward(
    first: int, end: int, logits: Any, labels: Any, ignore_index: int, losses: Any, top: Any, sums: Any
) -> None:
    for r in range(first, end):
        losses[r] = 0.0
        if labels[r] != ignore_index:
            x = logits[r]
            top[r] = row_max(x)
            sums[r] = _sum_exp(x, top[r])
            losses[r] = math.log(sums[r]) + (np.float64(top[r]) - np.float64(x[labels[r]]))


@njit(fastmath=FAST, error_model="numpy")
def _row_backward(x: Any, top: float, scale: float, dx: Any) -> None:
    """dx = scale exp(x - top) for one row (V,)."""
    for c in range(x.shape[0]):
        dx[c] = exp(x[c] - top) * scale


@njit(error_model="numpy")
def _backward(
    first: int, end: int, logits: Any, labels: Any, ignore_index: int, weight: float, top: Any, sums: Any, dlogits: Any
) -> None:
    for r in range(first, end):
        dx = dlogits[r]
        if labels[r] == ignore_index:
            dx[:] = 0
        else:
            _row_backward(logits[r], top[r], dx.dtype.type(weight / sums[r]), dx)
            dx[labels[r]] -= dx.dtype.type(weight)


def cross_entropy_forward(logits: Any, *, labels: Any, ignore_index: int) -> tuple[Any, tuple[Any, ...]]:
    """logits (M, V), labels (M,): the mean loss over the rows that count, and what backward needs."""
    rows, labels = arrays.inputs(logits, np.asarray(labels, np.int64))
    M = len(rows)
    losses, sums, top = np.empty(M), np.ones(M), np.zeros(M, rows.dtype)
    threads.split(M, _forward, rows, labels, ignore_index, losses, top, sums, grain=rows_a_thread(rows))
    n = max(int(np.count_nonzero(labels != ignore_index)), 1)
    return np.asarray(losses.sum() / n, logits.dtype), (logits, labels, top, sums, n)


def cross_entropy_backward(
    dloss: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], *, labels: Any, ignore_index: int
) -> tuple[Any, ...]:
    """dlogits (M, V)."""
    rows, labels, top, sums = arrays.inputs(*saved[:4])
    dlogits, weight = np.empty(rows.shape, rows.dtype), float(dloss) / saved[4]
    grain = rows_a_thread(rows)
    threads.split(len(rows), _backward, rows, labels, ignore_index, weight, top, sums, dlogits, grain=grain)
    return (dlogits,)
