"""Softmax a row at a time, so that maximum, sum and quotient read the row from cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import arrays, threads
from .compiled import njit
from .layer_norm import rows_a_thread
from .vector_math import exp, from_order, order

CHUNK = 512
"""Numbers added in their own dtype before the sum goes into a float64: long rows lose nothing."""

FAST = {"contract", "reassoc", "nsz"}  # sums may be taken in another order; NaN and infinity stay what they are


@njit
def row_max(x: Any) -> Any:
    """The largest number of a row (K,); NaN if there is a positive NaN (a negative one comes out in the sum of exp)."""
    top = order(x[0])
    for c in range(1, x.shape[0]):
        candidate = order(x[c])
        top = candidate if candidate > top else top
    return from_order(top)


@njit(fastmath=FAST, error_model="numpy")
def row_exp(x: Any, top: float, e: Any) -> Any:
    """e = exp(x - top) for one row (K,), which may be x itself; returns the sum as float64."""
    total = 0.0
    for begin in range(0, x.shape[0], CHUNK):
        u, v = x[begin : begin + CHUNK], e[begin : begin + CHUNK]
        part = x.dtype.type(0)
        for c in range(u.shape[0]):
            v[c] = exp(u[c] - top)
            part += v[c]
        total += part
    return total


@njit(error_model="numpy")
def _forward(first: int, end: int, x: Any, p: Any) -> None:
    for r in range(first, end):
        v = p[r]
        inverse = x.dtype.type(1.0 / row_exp(x[r], row_max(x[r]), v))
        for c in range(v.shape[0]):
            v[c] *= inverse


@njit(fastmath=FAST)
def _backward(first: int, end: int, dp: Any, p: Any, dx: Any) -> None:
    for r in range(first, end):
        d, v, out = dp[r], p[r], dx[r]
        through_sum = p.dtype.type(0)
        for c in range(v.shape[0]):
            through_sum += d[c] * v[c]
        for c in range(v.shape[0]):
            out[c] = v[c] * (d[c] - through_sum)


def softmax_forward(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """x (..., K): the probabilities (..., K), which backward needs too."""
    (rows,) = arrays.rows(x)
    p = np.empty(rows.shape, rows.dtype)
    threads.split(len(rows), _forward, rows, p, grain=rows_a_thread(rows))
    p = p.reshape(x.shape)
    return p, (p,)


def softmax_backward(dp: Any, saved: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """dx (..., K)."""
    dp_rows, p = arrays.rows(dp, saved[0])
    dx = np.empty(p.shape, p.dtype)
    threads.split(len(p), _backward, dp_rows, p, dx, grain=rows_a_thread(p))
    return (dx.reshape(dp.shape),)
