"""C = A B for large matrices: the tiles of `tiles.py`, fed from packed panels.

A panel is a piece of B, `DEPTH` rows by `WIDTH` columns, copied so that it lies in one stretch of memory that fits the
first-level cache; on the way a transposed B (the weight of a linear layer) is turned. Then all rows of A run past it:
each number of A that is loaded is used for WIDTH products. The sums over a panel's depth begin at zero and are added
to what there is once, so a long sum is a sum of short ones, and rounds less than one taken in a row.

A block of C, WIDTH columns, is collected in a stretch of memory of its own, and only its last addition goes to C: rows
of C lie some kilobytes apart, so that a block of them crowds a few places of the second-level cache and is thrown out
between one panel and the next (all products of BERT-base, 8 x 128: 423 ms, 407 ms this way). A bias is what the first
addition starts from.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from numba import types

from . import threads
from .compiled import njit
from .gelu import gelu_and_slope
from .look_ahead import look_ahead
from .tiles import BYTES, contiguous, loose, product_onto
from .transpose import transpose_into
from .vector_math import FLAGS

WIDTH, DEPTH = 64, 128
"""32 kB in float32; the rest of the cache is for A and C on their way."""
ROWS = 1024
"""Rows of a block of C, about: 256 kB in float32, a quarter of the second-level cache."""
SHARES = 8
"""A panel is asked for in this many parts: memory brings one while the rows of A run past its predecessor."""


def gemm(
    A: np.ndarray, B: np.ndarray, bias: np.ndarray | None, C: np.ndarray, *, add: bool = False, gelu: bool = False
) -> None:
    """C = A B + bias, or C += if `add`; or GELU of that.

    Args:
        A, B: (M, K) and (K, N), of any strides.
        bias: (N,) or None.
        C: (M, N), rows contiguous, written.
    """
    A, B, start, blocks, row_parts = plan(A, B, bias, C, add)
    threads.split(blocks * row_parts, _compiled(C.dtype.name), A, B, start, C, row_parts, gelu)


def plan(
    A: np.ndarray, B: np.ndarray, bias: np.ndarray | None, C: np.ndarray, add: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """A, B, what their product is added to (no rows: nothing), and into how many blocks and row parts C is cut."""
    M, N = C.shape
    if A.shape[1] == 0:  # no products: nothing would write C
        A, B = np.zeros((M, 1), C.dtype), np.zeros((1, N), C.dtype)
    if add and bias is not None:
        C += bias
        bias = None
    start = C if add else np.zeros((0, N), C.dtype) if bias is None else np.broadcast_to(bias, C.shape)
    blocks = -(-N // WIDTH)
    row_parts = max(-(-M // ROWS), min(-(-threads.get_num_threads() // max(blocks, 1)), M // WIDTH))
    return A, B, start, blocks, row_parts


@functools.cache
def _compiled(dtype: str) -> Any:
    """`_units` for arrays of any strides, read-only or not: one compiled function instead of one for each mixture."""
    number = numba.from_dtype(np.dtype(dtype))
    matrix = types.Array(number, 2, "A", readonly=True)
    signature = types.void(
        types.intp, types.intp, matrix, matrix, matrix, types.Array(number, 2, "A"), types.intp, types.boolean
    )
    return njit(signature)(_units)


def _units(first: int, end: int, A: Any, B: Any, start: Any, C: Any, row_parts: int, gelu: bool) -> None:
    """Units first..end-1: a block of columns and a share of the rows each. C = start + A B; no rows of start: 0."""
    M = C.shape[0]
    panel, block = aligned(DEPTH, WIDTH, C), aligned(-(-M // max(row_parts, 1)), WIDTH, C)
    for unit in range(first, end):
        j, part = unit // row_parts * WIDTH, unit % row_parts
        top, bottom = M * part // row_parts, M * (part + 1) // row_parts
        target = C[top:bottom, j : j + WIDTH]
        _block(A[top:bottom], B, j, start[top:bottom, j : j + WIDTH], target, panel, block, gelu)


@njit
def _block(A: Any, B: Any, j: Any, start: Any, C: Any, panel: Any, block: Any, gelu: bool) -> None:
    """C = start + A B[:, j : j + WIDTH], or GELU of that. The next panel is asked for while this one is in use."""
    M, K = A.shape
    columns = C.shape[1]
    whole = columns * C.itemsize % BYTES == 0  # else whole vectors would run over the end of the row
    onto = start.shape[0] > 0 and whole
    S, P = loose(block), loose(panel)
    for k in range(0, K, DEPTH):
        depth = min(DEPTH, K - k)
        _pack(panel, B[k : k + depth, j : j + columns])
        next_k, next_j = (k + DEPTH, j) if k + DEPTH < K else (0, j + WIDTH)
        rest = B[next_k : next_k + DEPTH, next_j : next_j + WIDTH]
        source = S if k > 0 or not onto else loose(start)
        target = loose(C) if whole and k + DEPTH >= K else S
        for share in range(SHARES):
            ask(rest, share)
            i, end = M * share // SHARES, M * (share + 1) // SHARES
            a = loose(A[i:, k : k + depth])
            product_onto(target[i:], source[i:], a, P, end - i, columns, depth, onto or k > 0)
            if gelu and whole and k + DEPTH >= K:  # the rows are still in the first-level cache
                gelu_rows(C[i:end])
    if not whole:
        close(C, block, start)
        if gelu:
            gelu_rows(C)


@njit(fastmath=FLAGS, error_model="numpy")
def gelu_rows(C: Any) -> None:
    """C = GELU(C)"""
    for r in range(C.shape[0]):
        x = contiguous(C[r])
        for c in range(x.shape[0]):
            x[c] = gelu_and_slope(x[c])[0]


@njit
def close(C: Any, block: Any, start: Any) -> None:
    """C = start + block, number by number."""
    for i in range(C.shape[0]):
        for c in range(C.shape[1]):
            C[i, c] = block[i, c] + (start[i, c] if start.shape[0] > 0 else 0)


@njit
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


@njit
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


@njit
def aligned(rows: int, columns: int, like: Any) -> Any:
    """An array whose rows begin at cache lines."""
    numbers = 64 // like.itemsize
    memory = np.empty(rows * columns + numbers, like.dtype)
    skip = (64 - memory.ctypes.data % 64) % 64 // like.itemsize
    return memory[skip : skip + rows * columns].reshape(rows, columns)
