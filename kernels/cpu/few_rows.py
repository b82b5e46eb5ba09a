"""Linear layers of few rows (a single short sentence): a matter of memory.

Every number of the weight matrix is fetched for a handful of multiplications, so what counts is that it is fetched
once, in the order in which it lies there, and that the processor never stops asking for more. Hence the product is
turned round: y^T = W x^T. Rows of W are then the operand that is read one number at a time, `STEP` rows side by side
and straight on, without a copy; x^T, small, stays in the caches and is read by vectors. Measured: 35 GB/s of weights
with 16 rows, where a loop that only adds the weights up reaches 38.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from .gemm import aligned
from .tiles import BYTES, loose, product
from .transpose import transpose_into

FEW_ROWS = 64
"""Up to this many rows; beyond, packed panels (`gemm.py`) are faster."""
STEP = 24
"""Outputs at a time: a whole number of tiles, whatever their height."""
DEPTH = 128
"""Inputs at a time: a sum of sums of this length rounds less than one long sum."""


@njit(nogil=True, cache=True)
def few_rows(first: int, end: int, x: Any, weight: Any, bias: Any, y: Any) -> None:
    """y[:, first:end] = x weight[first:end]^T + bias[first:end], the weights read from memory once.

    Args:
        x: (R, I), rows contiguous. weight: (O, I), rows contiguous. bias: (O,). y: (R, O), written.
    """
    R, I = x.shape
    lanes = BYTES // y.itemsize
    columns = (R + lanes - 1) // lanes * lanes
    xT, yT = aligned(I, columns, y), aligned(STEP, columns, y)
    xT[:, R:] = 0
    transpose_into(loose(xT), loose(x), I, R)
    W, X, Y = loose(weight), loose(xT), loose(yT)
    for o in range(first, end, STEP):
        outputs = min(STEP, end - o)
        for i in range(0, max(I, 1), DEPTH):  # without inputs, a product over nothing: zeros
            depth = min(DEPTH, I - i)
            product(Y, W[o : o + outputs, i:], X[i:], outputs, columns, depth, i > 0)
        for r in range(R):
            for k in range(outputs):
                y[r, o + k] = yT[k, r] + bias[o + k]
