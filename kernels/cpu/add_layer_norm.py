"""y = LayerNorm(residual + dropout(x + bias)), a row at a time.

Four ops of the model in one walk: a row's sum is formed in a buffer that stays in the first-level cache, and normalised
there (see layer_norm.py). Besides x, residual and y nothing of their size is touched, forward or backward: the mask is
drawn again when it is needed, and so is the sum, from x and residual, which the tape holds anyway.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import arrays, threads
from .compiled import njit
from .layer_norm import (
    BLOCK,
    FAST,
    add_blocks,
    blocks_of,
    row_backward,
    row_forward,
    row_statistics,
    rows_a_thread,
)
from .philox import dropout_numbers, dropout_row

_NOTHING_DROPPED = np.uint64(0), 1.0, np.uint64(0), np.uint64(0)  # a threshold of 0: no word lies below it


@njit(fastmath=FAST)
def add(s: Any, x: Any, bias: Any, residual: Any, mask: Any, drops: bool) -> None:
    """s = residual + (x + bias) mask, for one row (H,)."""
    if drops:
        for c in range(s.shape[0]):
            s[c] = residual[c] + (x[c] + bias[c]) * mask[c]
    else:
        for c in range(s.shape[0]):
            s[c] = residual[c] + (x[c] + bias[c])


@njit
def _forward(
    first: int, end: int, x: Any, bias: Any, residual: Any, gamma: Any, beta: Any, eps: float,
    threshold: int, scale: float, seed: int, stream: int, y: Any, mean: Any, inv_std: Any,
) -> None:  # fmt: skip
    s, mask = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    for r in range(first, end):
        if threshold > 0:
            dropout_row(mask, r, threshold, scale, seed, stream)
        add(s, x[r], bias, residual[r], mask, threshold > 0)
        mean[r], inv_std[r] = row_statistics(s, eps)
        row_forward(s, mean[r], inv_std[r], gamma, beta, y[r])


@njit(fastmath=FAST)
def _drop(dtotal: Any, mask: Any, dx: Any, dbias: Any) -> None:
    """dx = dtotal mask, for one row (H,), also added to dbias."""
    for c in range(dx.shape[0]):
        value = dtotal[c] * mask[c]
        dx[c] = value
        dbias[c] += value


@njit(fastmath=FAST)
def _backward(
    first: int, end: int, dy: Any, x: Any, bias: Any, residual: Any, gamma: Any, mean: Any, inv_std: Any,
    threshold: int, scale: float, seed: int, stream: int, dx: Any, dresidual: Any, partial: Any,
) -> None:  # fmt: skip
    R, H = x.shape
    x_hat, mask = np.empty(H, x.dtype), np.empty(H, x.dtype)
    for block in range(first, end):
        partial[block] = 0
        dbias = partial[block, 2]
        for r in range(block * BLOCK, min((block + 1) * BLOCK, R)):
            if threshold > 0:
                dropout_row(mask, r, threshold, scale, seed, stream)
            add(x_hat, x[r], bias, residual[r], mask, threshold > 0)
            m, s, ds = mean[r], inv_std[r], dresidual[r]
            for c in range(H):
                x_hat[c] = (x_hat[c] - m) * s
            row_backward(dy[r], x_hat, s, gamma, ds, partial[block])  # the sum's gradient is the residual's
            if threshold > 0:
                _drop(ds, mask, dx[r], dbias)
            else:
                dbias += ds


def add_layer_norm_forward(
    x: Any, bias: Any, residual: Any, gamma: Any, beta: Any, *, eps: float, p: float, key: Any
) -> tuple[Any, tuple[Any, ...]]:
    """x and residual (..., H), the others (H,): the result (..., H), and what backward needs."""
    given, rest = arrays.rows(x, residual)
    bias, gamma, beta = arrays.inputs(bias, gamma, beta)
    y = np.empty_like(given)
    mean, inv_std = np.empty((2, len(given)), given.dtype)
    draw = _NOTHING_DROPPED if key is None else dropout_numbers(p, key)
    threads.split(
        len(given), _forward, given, bias, rest, gamma, beta, float(eps), *draw, y, mean, inv_std,
        grain=rows_a_thread(given),
    )  # fmt: skip
    return y.reshape(x.shape), (given, bias, rest, gamma, mean, inv_std)


def add_layer_norm_in_place(x: Any, bias: Any, residual: Any, gamma: Any, beta: Any, *, eps: float) -> None:
    """residual = LayerNorm(residual + x + bias): x and residual (R, H), the others (H,); for where no tape is kept."""
    (given, rest), shifts = arrays.rows(x, residual), arrays.inputs(bias, gamma, beta)
    statistics = np.empty((2, len(x)), x.dtype)
    threads.split(
        len(x), _forward, given, shifts[0], rest, *shifts[1:], float(eps), *_NOTHING_DROPPED, residual, *statistics,
        grain=rows_a_thread(x),
    )  # fmt: skip


def add_layer_norm_backward(
    dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], *, eps: float, p: float, key: Any
) -> tuple[Any, ...]:
    """dx (..., H), dbias (H,), dresidual (..., H), dgamma and dbeta (H,)."""
    x, bias, residual, gamma, mean, inv_std = arrays.inputs(*saved)
    (dy_rows,) = arrays.rows(dy)
    draw = _NOTHING_DROPPED if key is None else dropout_numbers(p, key)
    dresidual = np.empty_like(x)
    dx = np.empty_like(x) if draw[0] else dresidual[:0]
    partial = np.empty((blocks_of(x), 3, x.shape[1]), x.dtype)
    threads.split(
        len(partial), _backward, dy_rows, x, bias, residual, gamma, mean, inv_std, *draw, dx, dresidual, partial,
        grain=rows_a_thread(x) // BLOCK + 1,
    )  # fmt: skip
    dgamma, dbeta, dbias = sums = np.empty(partial.shape[1:], x.dtype)
    add_blocks(partial, sums)
    if not draw[0]:
        dx = dresidual  # without dropout the two are equal: two views of one array
    return dx.reshape(dy.shape), dbias, dresidual.reshape(dy.shape), dgamma, dbeta
