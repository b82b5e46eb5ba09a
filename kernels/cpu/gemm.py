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
from .tiles import BYTES, loose, product

WIDTH, DEPTH = 64, 128
"""32 kB in float32; the rest of the cache is for A and C on their way."""


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
    panel = _aligned(DEPTH, WIDTH, C)
    edge = _aligned(M if N % lanes else 0, WIDTH, C)
    for unit in range(first, end):
        block, part = unit // row_parts, unit % row_parts
        j, top, bottom = block * WIDTH, M * part // row_parts, M * (part + 1) // row_parts
        columns = min(WIDTH, N - j)
        whole = columns % lanes == 0
        target = C[top:bottom, j : j + columns]
        _fetch(B[:, j : j + columns], panel)
        if whole:
            _block(A[top:bottom], B[:, j : j + columns], target, panel, add)
        else:  # whole vectors would run over the end of the row
            _block(A[top:bottom], B[:, j : j + columns], edge[: bottom - top], panel, False)
        for i in range(bottom - top):
            row = target[i]
            if not whole:
                for c in range(columns):
                    row[c] = edge[i, c] + (row[c] if add else 0)
            for c in range(min(columns, bias.shape[0])):
                row[c] += bias[j + c]


@njit(nogil=True, cache=True)
def _block(A: Any, B: Any, C: Any, panel: Any, add: bool) -> None:
    """C = A B, or += if `add`, for at most WIDTH columns."""
    K, columns = B.shape
    for k in range(0, K, DEPTH):
        depth = min(DEPTH, K - k)
        _pack(panel, B[k : k + depth])
        product(loose(C), loose(A[:, k : k + depth]), loose(panel), A.shape[0], columns, depth, add or k > 0)


@njit(nogil=True, cache=True)
def _fetch(B: Any, panel: Any) -> None:
    """Look once at each cache line of a transposed B, straight on, as the processor fetches best; panels hop about."""
    if B.strides[0] == B.itemsize:
        for c in range(B.shape[1]):
            total = panel.dtype.type(0)
            for k in range(0, B.shape[0], 16):
                total += B[k, c]
            panel[0, 0] = total  # somebody must want it, or the compiler would leave it out


@njit(nogil=True, cache=True)
def _pack(panel: Any, B: Any) -> None:
    """panel[:depth, :columns] = B, walking along whatever lies together in B; zeros behind the last column."""
    depth, columns = B.shape
    if B.strides[0] < B.strides[1]:
        for c in range(columns):
            for k in range(depth):
                panel[k, c] = B[k, c]
    else:
        for k in range(depth):
            for c in range(columns):
                panel[k, c] = B[k, c]
    for k in range(depth):
        for c in range(columns, panel.shape[1]):
            panel[k, c] = 0


@njit(nogil=True, cache=True)
def _aligned(rows: int, columns: int, like: Any) -> Any:
    """An array whose rows begin at cache lines."""
    numbers = 64 // like.itemsize
    memory = np.empty(rows * columns + numbers, like.dtype)
    skip = (64 - memory.ctypes.data % 64) % 64 // like.itemsize
    return memory[skip : skip + rows * columns].reshape(rows, columns)
