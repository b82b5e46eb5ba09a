"""The feed-forward layer's bias and GELU in one pass: y = gelu(x + b).

Between the two matrix products of a feed-forward layer lies an array four times as wide as the model. Adding the bias
and applying GELU one after the other reads and writes it twice; here it is read once and written once.

Backward gives dx and, in the same pass, its column sums, the gradient of the bias. Rows are summed in blocks of `BLOCK`
and the blocks' sums added in order, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import arrays, threads
from .compiled import njit
from .gelu import gelu_and_slope
from .layer_norm import BLOCK, add_blocks, blocks_of, rows_a_thread
from .vector_math import FLAGS

_OPTIONS: Any = {"fastmath": FLAGS, "error_model": "numpy"}


@njit(**_OPTIONS)
def _forward(first: int, end: int, x: Any, bias: Any, y: Any) -> None:
    for r in range(first, end):
        u, v = x[r], y[r]
        for c in range(u.shape[0]):
            v[c] = gelu_and_slope(u[c] + bias[c])[0]


@njit(**_OPTIONS)
def _backward(first: int, end: int, dy: Any, x: Any, bias: Any, dx: Any, partial: Any) -> None:
    R = x.shape[0]
    for block in range(first, end):
        sums = partial[block, 0]
        sums[:] = 0
        for r in range(block * BLOCK, min((block + 1) * BLOCK, R)):
            dv, u, du = dy[r], x[r], dx[r]
            for c in range(u.shape[0]):
                gradient = dv[c] * gelu_and_slope(u[c] + bias[c])[1]
                du[c] = gradient
                sums[c] += gradient


def bias_gelu_forward(x: Any, bias: Any) -> tuple[Any, tuple[Any, ...]]:
    """x (..., F), bias (F,): the result (..., F), and what backward needs."""
    (rows,), (b,) = arrays.rows(x), arrays.inputs(bias)
    y = np.empty(rows.shape, rows.dtype)
    threads.split(len(rows), _forward, rows, b, y, grain=rows_a_thread(rows))
    return y.reshape(x.shape), (x, bias)


def bias_gelu_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """dx (..., F) and dbias (F,)."""
    (rows, dy_rows), (bias,) = arrays.rows(saved[0], dy), arrays.inputs(saved[1])
    dx = np.empty(rows.shape, rows.dtype)
    partial = np.empty((blocks_of(rows), 1, len(bias)), rows.dtype)
    grain = rows_a_thread(rows) // BLOCK + 1
    threads.split(len(partial), _backward, dy_rows, rows, bias, dx, partial, grain=grain)
    dbias = np.empty((1, len(bias)), rows.dtype)
    add_blocks(partial, dbias)
    return dx.reshape(dy.shape), dbias[0]
