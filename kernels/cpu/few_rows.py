"""Linear layers of few rows (a single short sentence): a matter of memory.

Every number of the weight matrix is fetched for a handful of multiplications, so what counts is that it is fetched
once, in the order in which it lies there, and that the processor never stops asking for more. Hence the product is
turned round: y^T = W x^T. Rows of W are then the operand that is read one number at a time, some rows side by side and
straight on from beginning to end, without a copy; x^T, small, stays in the caches and is read by vectors. Measured: 31
GB/s of weights with 16 rows, where a loop that only adds the weights up reached 37.
"""

from __future__ import annotations

from typing import Any

from .compiled import njit
from .gemm import aligned
from .tiles import ACROSS, BYTES, loose, multiply_add, stripe_of
from .transpose import transpose_into

FEW_ROWS = 64
"""Up to this many rows; beyond, packed panels (`gemm.py`) are faster."""
STEP = 24
"""Outputs at a time: a whole number of tiles, whatever their height."""
DEPTH = 128
"""Inputs of a sum: a sum of sums of this length rounds less than one long sum. A row of W is read on and on meanwhile:
to turn to the next row after each of them costs a quarter of the speed, since what fetches memory ahead loses track."""

_one, _two, _three, _four = (stripe_of(across, multiply_add, DEPTH) for across in (1, 2, 3, 4))


@njit
def turned_product(yT: Any, weight: Any, xT: Any) -> None:
    """yT = weight xT.

    Args:
        yT: (O, C), written. weight: (O, I). xT: (I, C). Rows contiguous, C a whole number of vectors; through `loose`.
    """
    O, I = weight.shape
    vectors = xT.shape[1] * xT.itemsize // BYTES
    lanes, done = BYTES // xT.itemsize, 0
    if I == 0:
        yT[:] = 0
    while done < vectors:
        across, j = min(ACROSS, vectors - done), done * lanes
        if across == 4:
            _four(yT, yT, weight, xT, O, j, I, False)
        elif across == 3:
            _three(yT, yT, weight, xT, O, j, I, False)
        elif across == 2:
            _two(yT, yT, weight, xT, O, j, I, False)
        else:
            _one(yT, yT, weight, xT, O, j, I, False)
        done += across


@njit
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
    for o in range(first, end, STEP):
        outputs = min(STEP, end - o)
        turned_product(loose(yT[:outputs]), loose(weight[o : o + outputs]), loose(xT))
        for r in range(R):
            for k in range(outputs):
                y[r, o + k] = yT[k, r] + bias[o + k]
