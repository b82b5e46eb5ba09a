"""Matrix products on the kernels' threads: which of the two ways, and what goes with them.

Large ones run in register tiles over packed panels (`gemm.py`). With few rows (a single short sentence) a product is a
matter of memory: every number of the weight matrix is fetched for a handful of multiplications, and copying it into a
panel first pays only when it is used many times. `few_rows` reads it once, straight through, and keeps the sums of
several rows and outputs in registers meanwhile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from . import threads
from .arrays import inputs
from .gemm import gemm

FEW_ROWS = 64
"""Up to this many rows the streaming product is used; beyond, panels are faster."""


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, out: np.ndarray | None = None) -> np.ndarray:
    """x W^T + b.

    Args:
        x: (R, I).
        weight: (O, I).
        bias: (O,), or None for no bias.
        out: (R, O), contiguous, written if given.

    Returns:
        (R, O).
    """
    rows, outputs = x.shape[0], weight.shape[0]
    y = np.empty((rows, outputs), x.dtype) if out is None else out
    if 0 < rows <= FEW_ROWS and x.flags.c_contiguous and weight.flags.c_contiguous:
        threads.split(outputs, few_rows, x, weight, np.zeros(outputs, x.dtype) if bias is None else bias, y, grain=64)
    else:
        gemm(x, weight.T, bias, y)
    return y


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a b for (M, K) and (K, N) of any strides; `out`, with contiguous rows, is written if given."""
    c = np.empty((a.shape[0], b.shape[1]), a.dtype) if out is None else out
    gemm(a, b, None, c)
    return c


def column_sums(x: np.ndarray) -> np.ndarray:
    """Sum of (R, C) over its rows, (C,); added up in float64, since R may be thousands."""
    sums = np.empty(x.shape[1], x.dtype)
    threads.split(x.shape[1], _some_sums, *inputs(x), sums, grain=64)
    return sums


@njit(nogil=True, cache=True)
def _some_sums(first: int, end: int, x: np.ndarray, sums: np.ndarray) -> None:
    total = np.zeros(end - first)
    for r in range(x.shape[0]):
        row = x[r, first:end]
        for c in range(row.shape[0]):
            total[c] += row[c]
    for c in range(total.shape[0]):
        sums[first + c] = total[c]


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def few_rows(first: int, end: int, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
    """y[:, first:end] = x weight[first:end]^T + bias[first:end], the weights read from memory once."""
    R, I = x.shape
    seen = np.zeros(1, x.dtype)
    for block in range(first, end, 16):  # these weights stay in the second-level cache for all rows of x
        last = min(block + 16, end)
        for o in range(block, last):
            seen[0] += _touch(weight[o])
            for r in range(R):
                y[r, o] = bias[o]
        for begin in range(0, I, 1024):  # and eight stretches of x in the first level
            stop = min(begin + 1024, I)
            for r in range(0, R, 8):
                _eight_rows(r, block, last, begin, stop, x, weight, y)


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _touch(row: Any) -> Any:
    """Read one number of each cache line, straight on: at this the processor fetches ahead, at full speed.

    The products themselves jump between rows too often for that: they ran at a third of the memory's speed.
    """
    total = row.dtype.type(0)
    for i in range(0, row.shape[0], 16):
        total += row[i]
    return total


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _eight_rows(
    r: int, block: int, last: int, begin: int, stop: int, x: np.ndarray, weight: np.ndarray, y: np.ndarray
) -> None:
    """y[r : r + 8, block:last] += x[r : r + 8, begin:stop] weight[block:last, begin:stop]^T.

    Two outputs times eight rows are sixteen sums; the inner loop runs along the inputs, contiguous in both arrays,
    and is turned into vector instructions with one accumulator each.
    """
    zero = x.dtype.type(0)
    n = min(8, x.shape[0] - r)
    # rows past the end repeat the last one: their sums are thrown away
    x0, x1 = x[r, begin:stop], x[r + min(1, n - 1), begin:stop]
    x2, x3 = x[r + min(2, n - 1), begin:stop], x[r + min(3, n - 1), begin:stop]
    x4, x5 = x[r + min(4, n - 1), begin:stop], x[r + min(5, n - 1), begin:stop]
    x6, x7 = x[r + min(6, n - 1), begin:stop], x[r + min(7, n - 1), begin:stop]
    for o in range(block, last, 2):
        u, v = weight[o, begin:stop], weight[min(o + 1, last - 1), begin:stop]
        u0 = u1 = u2 = u3 = u4 = u5 = u6 = u7 = zero
        v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = zero
        for i in range(u.shape[0]):
            a, b = u[i], v[i]
            u0 += a * x0[i]
            v0 += b * x0[i]
            u1 += a * x1[i]
            v1 += b * x1[i]
            u2 += a * x2[i]
            v2 += b * x2[i]
            u3 += a * x3[i]
            v3 += b * x3[i]
            u4 += a * x4[i]
            v4 += b * x4[i]
            u5 += a * x5[i]
            v5 += b * x5[i]
            u6 += a * x6[i]
            v6 += b * x6[i]
            u7 += a * x7[i]
            v7 += b * x7[i]
        sums = (u0, u1, u2, u3, u4, u5, u6, u7)
        more = (v0, v1, v2, v3, v4, v5, v6, v7)
        for k in range(n):
            y[r + k, o] += sums[k]
            if o + 1 < last:
                y[r + k, o + 1] += more[k]
