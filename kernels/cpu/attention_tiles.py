"""What attention forward and backward share: sizes, copies into the layout they work in, and dropout on a tile.

Inside, arrays have queries along the row ("T" for transposed): queries qT (D, queries), scores sT (keys, queries). So
what softmax does to the scores of a query runs down a column, and is done for a vector of queries at once.

A tile of scores is a flat array of `TILE` rows of `BLOCK` numbers, whatever part of it is in use. Loops over it take
four rows at a time: with distances that the compiler knows it sees that rows do not overlap, and it keeps what
belongs to the columns (maximum, sum) in registers. Rows up to the next multiple of four are worked on with the others
and then not looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import njit
from .philox import _words
from .tiles import loose
from .transpose import transpose_into

BLOCK = 64
"""Queries of a block: the length of all rows inside."""
TILE = 128
"""Keys of a tile; a multiple of 4, since four keys share a counter of the dropout draw."""
LANES = 16
"""Columns in use are rounded up to a multiple of this: whole vectors."""
FAST = {"contract", "nsz", "arcp"}  # NaN and infinity stay what they are
OPTIONS: Any = {"fastmath": FAST, "error_model": "numpy"}  # numpy: 1 / 0 is inf, no error


def read_only(x: np.ndarray) -> np.ndarray:
    """A contiguous view of x that may only be read.

    To Numba a read-only array is a type of its own, and the tape makes saved arrays read-only. Always is one type;
    sometimes would be two, and twice the time to compile.
    """
    view = np.ascontiguousarray(x).view()
    view.flags.writeable = False
    return view


@njit(**OPTIONS)
def whole_lanes(columns: int) -> int:
    """The next multiple of LANES."""
    return (columns + LANES - 1) // LANES * LANES


@njit(**OPTIONS)
def turn_in(xT: Any, columns: int, x: Any, scale: float) -> None:
    """xT[d, i] = scale * x[i, d], and 0 in the rest of `columns`. xT: (D, BLOCK), x: (rows, D)."""
    factor, zero = xT.dtype.type(scale), xT.dtype.type(0)
    rows, D = x.shape
    transpose_into(loose(xT), loose(x), D, rows)
    for d in range(D):
        row = xT[d]
        for i in range(columns):
            row[i] = row[i] * factor if i < rows else zero


@njit(**OPTIONS)
def turn_out(x: Any, xT: Any, factors: Any) -> None:
    """x[i, d] = xT[d, i] * factors[i], for the rows of x; xT is multiplied in place. factors: (BLOCK,)."""
    rows, D = x.shape
    for d in range(D):
        row = xT[d]
        for i in range(rows):
            row[i] *= factors[i]
    transpose_into(loose(x), loose(xT), rows, D)


@njit(**OPTIONS)
def drop(dropped: Any, p: Any, keys: int, columns: int, counter: Any, dropout: Any) -> None:
    """dropped[j, i] = p[j, i] / (1 - probability) where dropout keeps it, else 0.

    Args:
        dropped, p: tiles, (TILE * BLOCK,), not the same.
        counter: (first key's number in its sequence, counter's row for column 0, distance to the next column's row).
        dropout: (threshold, 1 / (1 - probability), seed, stream), as in `philox.dropout_row`.
    """
    key, row, step = np.uint64(counter[0]), np.uint64(counter[1]), np.uint64(counter[2])
    limit, kept, zero = np.uint64(dropout[0]), p.dtype.type(dropout[1]), p.dtype.type(0)
    seed, stream = np.uint64(dropout[2]), np.uint64(dropout[3])
    for j in range(0, keys, 4):
        group = (key + np.uint64(j)) // np.uint64(4)
        x, y = p[j * BLOCK : (j + 4) * BLOCK], dropped[j * BLOCK : (j + 4) * BLOCK]
        for i in range(columns):
            w0, w1, w2, w3 = _words(group, row + np.uint64(i) * step, seed, stream)
            y[i] = x[i] * (kept if w0 >= limit else zero)
            y[i + BLOCK] = x[i + BLOCK] * (kept if w1 >= limit else zero)
            y[i + 2 * BLOCK] = x[i + 2 * BLOCK] * (kept if w2 >= limit else zero)
            y[i + 3 * BLOCK] = x[i + 3 * BLOCK] * (kept if w3 >= limit else zero)
