"""Matrix products on the kernels' threads: which way, and what goes with them.

Large ones run in register tiles over packed panels (`gemm.py`). With few rows (a single short sentence) copying the
weights into panels would cost more than it saves: `few_rows.py` takes them as they lie in memory. Where the user allows
it (`set_float32_matmul_precision`) large ones of float32 are rounded to bfloat16 on their way (`bfloat16_gemm.py`).
"""

from __future__ import annotations

import numpy as np

from . import threads
from .arrays import inputs
from .bfloat16 import FAST
from .bfloat16_gemm import bfloat16_gemm
from .compiled import njit
from .few_rows import FEW_ROWS, few_rows
from .gemm import gemm

precision = "highest"
"""Or "medium": float32 factors may be rounded. Set by `minibert.backend.set_float32_matmul_precision`."""


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
        b = np.zeros(outputs, x.dtype) if bias is None else bias
        threads.split(outputs, few_rows, *inputs(x, weight, b), y, grain=64)
    else:
        multiply(x, weight.T, bias, y)
    return y


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a b for (M, K) and (K, N) of any strides; `out`, with contiguous rows, is written if given."""
    c = np.empty((a.shape[0], b.shape[1]), a.dtype) if out is None else out
    multiply(a, b, None, c)
    return c


def multiply(
    A: np.ndarray, B: np.ndarray, bias: np.ndarray | None, C: np.ndarray, *, add: bool = False, gelu: bool = False
) -> None:
    """`gemm`, or `bfloat16_gemm` where that is allowed and faster."""
    if FAST and C.dtype == np.float32 and precision == "medium":
        bfloat16_gemm(A, B, bias, C, add=add, gelu=gelu)
    else:
        gemm(A, B, bias, C, add=add, gelu=gelu)


def column_sums(x: np.ndarray) -> np.ndarray:
    """Sum of (R, C) over its rows, (C,); added up in float64, since R may be thousands."""
    sums = np.empty(x.shape[1], x.dtype)
    threads.split(x.shape[1], _some_sums, *inputs(x), sums, grain=64)
    return sums


@njit
def _some_sums(first: int, end: int, x: np.ndarray, sums: np.ndarray) -> None:
    total = np.zeros(end - first)
    for r in range(x.shape[0]):
        row = x[r, first:end]
        for c in range(row.shape[0]):
            total[c] += row[c]
    for c in range(total.shape[0]):
        sums[first + c] = total[c]
