"""Layer normalisation, a row at a time.

A row of a BERT is 3 KB: it fits ten times into the first-level cache. So the passes that the formulas ask for (mean,
variance, result) all run over one row before the next is touched, and only the first of them waits for memory. The
explicit op runs each pass over the whole array instead.

Nothing of the size of x is written for the backward pass: it keeps x itself, which is in memory anyway, with the mean
and 1 / std of each row, and computes x_hat again, which costs less than reading it would.

The gradients of gamma and beta are sums over rows. Rows are summed in blocks of `BLOCK`, and the blocks' sums are
added in order, in float64: the same bits with any number of threads, and less rounding than one long sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import arrays, threads
from .compiled import njit

BLOCK = 32
"""Rows whose column sums are collected in one buffer."""

GRAIN = 16_384
"""Fewest elements worth a thread of their own: some ten microseconds of work."""

FAST = {"contract", "reassoc", "nsz", "arcp"}
"""A sum may be taken in another order; NaN and infinity stay what they are."""


@njit(fastmath=FAST)
def row_statistics(x: Any, eps: float) -> Any:
    """Mean and 1 / sqrt(var + eps) of one row (H,), in its dtype."""
    H = x.shape[0]
    total = x.dtype.type(0)
    for c in range(H):
        total += x[c]
    mean = x.dtype.type(total / H)
    squares = x.dtype.type(0)
    for c in range(H):
        centred = x[c] - mean
        squares += centred * centred
    return mean, x.dtype.type(1.0 / np.sqrt(np.float64(squares) / H + eps))


@njit(fastmath=FAST)
def row_forward(x: Any, mean: float, inv_std: float, gamma: Any, beta: Any, y: Any) -> None:
    """y = gamma x_hat + beta for one row (H,)."""
    for c in range(x.shape[0]):
        y[c] = (x[c] - mean) * inv_std * gamma[c] + beta[c]


@njit(fastmath=FAST)
def row_backward(dy: Any, x_hat: Any, inv_std: float, gamma: Any, dx: Any, sums: Any) -> None:
    """dx of one row (H,); adds the row's part of dgamma and dbeta to the first two rows of `sums` (2 or more, H)."""
    H = dy.shape[0]
    dgamma, dbeta = sums[0], sums[1]
    through_mean = through_var = dy.dtype.type(0)
    for c in range(H):
        dgamma[c] += dy[c] * x_hat[c]
        dbeta[c] += dy[c]
        dx_hat = dy[c] * gamma[c]
        through_mean += dx_hat
        through_var += dx_hat * x_hat[c]
    through_mean, through_var = dy.dtype.type(through_mean / H), dy.dtype.type(through_var / H)
    for c in range(H):
        dx[c] = inv_std * (dy[c] * gamma[c] - through_mean - x_hat[c] * through_var)


@njit
def add_blocks(partial: Any, total: Any) -> None:
    """total (n, H) = the sum of partial (blocks, n, H), block after block, in float64."""
    row = np.empty(partial.shape[2], np.float64)
    for i in range(partial.shape[1]):
        row[:] = 0.0
        for block in range(partial.shape[0]):
            part = partial[block, i]
            for c in range(row.shape[0]):
                row[c] += part[c]
        total[i, :] = row


@njit
def _forward(first: int, end: int, x: Any, gamma: Any, beta: Any, eps: float, y: Any, mean: Any, inv_std: Any) -> None:
    for r in range(first, end):
        mean[r], inv_std[r] = row_statistics(x[r], eps)
        row_forward(x[r], mean[r], inv_std[r], gamma, beta, y[r])


@njit(fastmath=FAST)
def _backward(
    first: int, end: int, dy: Any, x: Any, mean: Any, inv_std: Any, gamma: Any, dx: Any, partial: Any
) -> None:
    R, H = x.shape
    x_hat = np.empty(H, x.dtype)
    for block in range(first, end):
        partial[block] = 0
        for r in range(block * BLOCK, min((block + 1) * BLOCK, R)):
            row, m, s = x[r], mean[r], inv_std[r]
            for c in range(H):
                x_hat[c] = (row[c] - m) * s
            row_backward(dy[r], x_hat, s, gamma, dx[r], partial[block])


def blocks_of(rows: Any) -> int:
    """How many blocks the rows (R, H) make."""
    return -(-len(rows) // BLOCK)


def rows_a_thread(rows: Any) -> int:
    """Fewest rows (R, H) worth a thread of their own."""
    return GRAIN // max(int(rows.shape[1]), 1) + 1


def layer_norm_forward(x: Any, gamma: Any, beta: Any, *, eps: float) -> tuple[Any, tuple[Any, ...]]:
    """x (..., H), gamma and beta (H,): the result (..., H), and what backward needs."""
    (rows,), (gamma, beta) = arrays.rows(x), arrays.inputs(gamma, beta)
    y = np.empty_like(rows)
    mean, inv_std = np.empty((2, len(rows)), rows.dtype)
    threads.split(len(rows), _forward, rows, gamma, beta, float(eps), y, mean, inv_std, grain=rows_a_thread(rows))
    return y.reshape(x.shape), (rows, mean, inv_std, gamma)


def layer_norm_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], *, eps: float) -> tuple[Any, ...]:
    """dx (..., H), dgamma and dbeta (H,)."""
    rows, mean, inv_std, gamma = arrays.inputs(*saved)
    (dy_rows,) = arrays.rows(dy)
    dx = np.empty_like(rows)
    partial = np.empty((blocks_of(rows), 2, rows.shape[1]), rows.dtype)
    grain = rows_a_thread(rows) // BLOCK + 1
    threads.split(len(partial), _backward, dy_rows, rows, mean, inv_std, gamma, dx, partial, grain=grain)
    dgamma, dbeta = sums = np.empty(partial.shape[1:], rows.dtype)
    add_blocks(partial, sums)
    return dx.reshape(dy.shape), dgamma, dbeta
