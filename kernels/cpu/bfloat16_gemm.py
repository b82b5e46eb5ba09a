"""C = A B for large matrices in float32, with the numbers of A and B rounded to bfloat16 and the sums in float32.

As `gemm.py`, over pairs (`bfloat16.py`): A is rounded once, before; each panel of B when it is packed.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import types

from . import threads
from .bfloat16 import pair_columns, pair_rows, product_of_pairs
from .compiled import njit
from .gemm import DEPTH, SHARES, WIDTH, aligned, ask, close, gelu_rows, plan
from .tiles import BYTES, loose
from .transpose import transpose_into


def bfloat16_gemm(
    A: np.ndarray, B: np.ndarray, bias: np.ndarray | None, C: np.ndarray, *, add: bool = False, gelu: bool = False
) -> None:
    """C = A B + bias, or C += if `add`; or GELU of that; the arguments of `gemm`, all of float32."""
    A, B, start, blocks, row_parts = plan(A, B, bias, C, add)
    A, B = _along_memory(A), _along_memory(B)
    pairs = _pairs(A.view(np.uint32))
    threads.split(blocks * row_parts, _compiled()[1], pairs, B.view(np.uint32), start, C, row_parts, gelu)


def _along_memory(x: np.ndarray) -> np.ndarray:
    """x, or a copy of it if neither its rows nor its columns are contiguous: vectors of numbers are read there."""
    return x if x.itemsize in x.strides else np.ascontiguousarray(x)


def _pairs(A: np.ndarray) -> np.ndarray:
    """(M, K) bits of float32 to (M, pairs), rows contiguous."""
    M, K = A.shape
    pairs = np.empty((M, (K + 1) // 2), np.uint32)
    threads.split(-(-M // WIDTH), _compiled()[0], A, pairs)
    return pairs


@functools.cache
def _compiled() -> tuple[Any, Any]:
    """`_row_blocks` and `_units` for arrays of any strides, read-only or not, as in `gemm.py`."""
    bits, matrix = (types.Array(number, 2, "A", readonly=True) for number in (types.uint32, types.float32))
    some = types.void(types.intp, types.intp, bits, types.Array(types.uint32, 2, "C"))
    units = types.void(
        types.intp, types.intp, bits, bits, matrix, types.Array(types.float32, 2, "A"), types.intp, types.boolean
    )
    return njit(some)(_row_blocks), njit(units)(_units)


def _row_blocks(first: int, end: int, A: Any, pairs: Any) -> None:
    """Blocks first..end-1 of WIDTH rows of A, as pairs."""
    turned = aligned(DEPTH, WIDTH, A)
    for block in range(first, end):
        i, j = block * WIDTH, min((block + 1) * WIDTH, A.shape[0])
        for k in range(0, A.shape[1], 2 * DEPTH):
            columns = min(2 * DEPTH, A.shape[1] - k)
            _pack(pairs[i:j, k // 2 :], turned, A[i:j, k : k + columns].T)


@njit
def _pack(pairs: Any, turned: Any, B: Any) -> None:
    """pairs[c, k] = the pair of B[2 k, c] and B[2 k + 1, c], walking along whatever lies together in B.

    Args:
        pairs: rows contiguous. turned: to work in, as many pairs by columns or more, rows contiguous.
        B: the bits of float32.
    """
    K, columns = B.shape
    if B.strides[0] == B.itemsize:
        pair_columns(loose(pairs), loose(B.T), columns, K)
    else:
        pair_rows(loose(turned), loose(B), K, columns)
        transpose_into(loose(pairs), loose(turned), columns, (K + 1) // 2)


@njit
def _pack_panel(panel: Any, turned: Any, B: Any) -> None:
    """panel[k, c] = the pair of B[2 k, c] and B[2 k + 1, c]; zeros behind the last column. As `_pack`, turned."""
    K, columns = B.shape
    pairs = (K + 1) // 2
    if B.strides[0] == B.itemsize:
        pair_columns(loose(turned), loose(B.T), columns, K)
        transpose_into(loose(panel), loose(turned), pairs, columns)
    else:
        pair_rows(loose(panel), loose(B), K, columns)
    for k in range(pairs):
        for c in range(columns, panel.shape[1]):
            panel[k, c] = 0


def _units(first: int, end: int, A: Any, B: Any, start: Any, C: Any, row_parts: int, gelu: bool) -> None:
    """Units first..end-1: a block of columns and a share of the rows each. C = start + A B; no rows of start: 0."""
    M = C.shape[0]
    panel, turned = aligned(DEPTH, WIDTH, A), aligned(WIDTH, DEPTH, A)
    block = aligned(-(-M // max(row_parts, 1)), WIDTH, C)
    for unit in range(first, end):
        j, part = unit // row_parts * WIDTH, unit % row_parts
        top, bottom = M * part // row_parts, M * (part + 1) // row_parts
        target = C[top:bottom, j : j + WIDTH]
        _block(A[top:bottom], B, j, start[top:bottom, j : j + WIDTH], target, panel, turned, block, gelu)


@njit
def _block(A: Any, B: Any, j: Any, start: Any, C: Any, panel: Any, turned: Any, block: Any, gelu: bool) -> None:
    """C = start + A B[:, j : j + WIDTH]; A of pairs, B of single numbers."""
    M, pairs = A.shape
    columns = C.shape[1]
    whole = columns * C.itemsize % BYTES == 0
    onto = start.shape[0] > 0 and whole
    S, P = loose(block), loose(panel)
    for k in range(0, pairs, DEPTH):
        depth = min(DEPTH, pairs - k)
        _pack_panel(panel, turned, B[2 * k : 2 * (k + depth), j : j + columns])
        next_k, next_j = (k + DEPTH, j) if k + DEPTH < pairs else (0, j + WIDTH)
        rest = B[2 * next_k : 2 * (next_k + DEPTH), next_j : next_j + WIDTH]
        source = S if k > 0 or not onto else loose(start)
        target = loose(C) if whole and k + DEPTH >= pairs else S
        for share in range(SHARES):
            ask(rest, share)
            i, end = M * share // SHARES, M * (share + 1) // SHARES
            a = loose(A[i:, k : k + depth])
            product_of_pairs(target[i:], source[i:], a, P, end - i, columns, depth, onto or k > 0)
            if gelu and whole and k + DEPTH >= pairs:
                gelu_rows(C[i:end])
    if not whole:
        close(C, block, start)
        if gelu:
            gelu_rows(C)
