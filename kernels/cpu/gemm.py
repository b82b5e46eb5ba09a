"""C = A B for large matrices: the tiles of `tiles.py`, fed from packed panels.

A panel is a piece of B, `DEPTH` rows by `WIDTH` columns, copied so that it lies in one stretch of memory that fits the
first-level cache; on the way a transposed B (the weight of a linear layer) is turned. Then all rows of A run past it:
each number of A that is loaded is used for WIDTH products. The sums over a panel's depth begin at zero and are added
to C once, so a long sum is a sum of short ones, and rounds less than one taken in a row.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from numba import njit, types

from . import threads
from .look_ahead import look_ahead
from .tiles import BYTES, loose, product
from .transpose import transpose_into

WIDTH, DEPTH = 64, 128
"""32 kB in float32; the rest of the cache is for A and C on their way."""
SHARES = 8
"""A panel is asked for in this many parts: memory brings one while the rows of A run past its predecessor."""


def gemm(A: np.ndarray, B: np.ndarray, bias: np.ndarray | None, C: np.ndarray, *, add: bool = False) -> None:
    """C = A B + bias, or C += if `add`.

    Args:
        A, B: (M, K) and (K, N), of any strides.
        bias: (N,) or None.
        C: (M, N), rows contiguous, written.
    """
    M, N = C.shape
    if A.shape[1] == 0:  # no products: nothing below would write C
        A, B = np.zeros((M, 1), C.dtype), np.zeros((1, N), C.dtype)
    blocks = -(-N // WIDTH)
    row_parts = max(1, min(-(-threads.get_num_threads() // max(blocks, 1)), M // WIDTH))
    bias = np.zeros(0, C.dtype) if bias is None else bias
    threads.split(blocks * row_parts, _compiled(C.dtype.name), A, B, bias, C, row_parts, add)


@functools.cache
def _compiled(dtype: str) -> Any:
    """`_units` for arrays of any strides, read-only or not: one compiled function instead of one for each mixture."""
    number = numba.from_dtype(np.dtype(dtype))
    matrix, vector = (types.Array(number, ndim, "A", readonly=True) for ndim in (2, 1))
    signature = types.void(
        types.intp, types.intp, matrix, matrix, vector, types.Array(number, 2, "A"), types.intp, types.boolean
    )
    return njit(signature, nogil=True, cache=True)(_units)


def _units(first: int, end: int, A: Any, B: Any, bias: Any, C: Any, row_parts: int, add: bool) -> None:
    """Units first..end-1: a block of columns and a share of the rows each."""
    M, N = C.shape
    lanes = BYTES // C.itemsize
    panel = aligned(DEPTH, WIDTH, C)
    edge = aligned(M if N % lanes else 0, WIDTH, C)
    for unit in range(first, end):
        block, part = unit // row_parts, unit % row_parts
        j, top, bottom = block * WIDTH, M * part // row_parts, M * (part + 1) // row_parts
        columns = min(WIDTH, N - j)
        whole = columns % lanes == 0
        target = C[top:bottom, j : j + columns]
        if whole:
            _block(A[top:bottom], B, j, target, panel, add)
        else:  # whole vectors would run over the end of the row
            _block(A[top:bottom], B, j, edge[: bottom - top], panel, False)
        close(target, edge, bias[j : j + columns], whole, add)


@njit(nogil=True, cache=True)
def close(C: Any, edge: Any, bias: Any, whole: bool, add: bool) -> None:
    """What is left of a block of C: to copy it from `edge`, if it is not `whole`, and the bias, if there is one."""
    for i in range(C.shape[0]):
        row = C[i]
        if not whole:
            for c in range(C.shape[1]):
                row[c] = edge[i, c] + (row[c] if add else 0)
        for c in range(bias.shape[0]):
            row[c] += bias[c]


@njit(nogil=True, cache=True)
def _block(A: Any, B: Any, j: int, C: Any, panel: Any, add: bool) -> None:
    """C = A B[:, j : j + WIDTH], or += if `add`. The next panel's numbers are asked for while this one is in use."""
    M, K = A.shape
    columns = min(WIDTH, B.shape[1] - j)
    for k in range(0, K, DEPTH):
        depth = min(DEPTH, K - k)
        _pack(panel, B[k : k + depth, j : j + columns])
        next_k, next_j = (k + DEPTH, j) if k + DEPTH < K else (0, j + WIDTH)
        rest = B[next_k : next_k + DEPTH, next_j : next_j + WIDTH]
        for share in range(SHARES):
            ask(rest, share)
            i, end = M * share // SHARES, M * (share + 1) // SHARES
            product(loose(C[i:]), loose(A[i:, k : k + depth]), loose(panel), end - i, columns, depth, add or k > 0)


@njit(nogil=True, cache=True)
def ask(B: Any, share: int) -> None:
    """Ask for one of SHARES parts of a piece of B, along whatever lies together in it."""
    rows, columns = B.shape
    line = 64 // B.itemsize
    if B.strides[0] < B.strides[1]:
        for c in range(columns * share // SHARES, columns * (share + 1) // SHARES):
            for k in range(0, rows, line):
                look_ahead(B, k, c)
    else:
        for k in range(rows * share // SHARES, rows * (share + 1) // SHARES):
            for c in range(0, columns, line):
                look_ahead(B, k, c)


@njit(nogil=True, cache=True)
def _pack(panel: Any, B: Any) -> None:
    """panel[:depth, :columns] = B, walking along whatever lies together in B; zeros behind the last column."""
    depth, columns = B.shape
    if B.strides[0] == B.itemsize:
        transpose_into(loose(panel), loose(B.T), depth, columns)
    else:
        for k in range(depth):
            for c in range(columns):
                panel[k, c] = B[k, c]
    for k in range(depth):
        for c in range(columns, panel.shape[1]):
            panel[k, c] = 0


@njit(nogil=True, cache=True)
def aligned(rows: int, columns: int, like: Any) -> Any:
    """An array whose rows begin at cache lines."""
    numbers = 64 // like.itemsize
    memory = np.empty(rows * columns + numbers, like.dtype)
    skip = (64 - memory.ctypes.data % 64) % 64 // like.itemsize
    return memory[skip : skip + rows * columns].reshape(rows, columns)
