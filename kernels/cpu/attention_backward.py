"""Attention backward for one head of one sequence.

With S = Q K^T / sqrt(D), P = softmax(S) along the keys, C = P V, and dC given:

    dV = P^T dC        dP = dC V^T        dS = P (dP - delta),  delta = sum over the keys of P dP
    dQ = dS K / sqrt(D)        dK = dS^T Q / sqrt(D)

P is not kept but computed again, a tile at a time, from the largest score and the sum of each query that forward
kept: P = exp(S - largest) / sum. (Their usual union, one number lse = largest + log(sum), is rounded to a few times
the error.) And delta is the sum over D of dC C, since sum_j P_ij dP_ij = sum_j P_ij dC_i . V_j = dC_i . C_i: one
number a query, before any tile. Dropout multiplies P by the mask in forward, so in backward P becomes `dropped` in
dV, dS = dropped dP - P delta, and delta stays dC . C.

Blocks of queries are the outer loop: dQ of a block is collected over its tiles and written once. dK and dV of the
whole head are collected in scratch memory, 2 L rows of D numbers.

Source: Dao et al., "FlashAttention" (2022), algorithm 4 and appendix B.2.
"""

from __future__ import annotations

from typing import Any

from .attention_tiles import BLOCK, OPTIONS, TILE, drop, turn_in, turn_out, whole_lanes
from .compiled import njit
from .tiles import loose, product
from .vector_math import exp


def scratch_rows(D: int) -> int:
    """Rows of BLOCK numbers that a part needs: queries, dC and dQ, three tiles, and three numbers a column."""
    return 3 * D + 3 * TILE + 3


@njit(**OPTIONS)
def backward_units(
    first: int, end: int, units: Any, qkv: Any, context: Any, softmax: Any, dcontext: Any, dqkv: Any, dropout: Any,
    scale: float, scratch: Any, wide: Any,
) -> None:  # fmt: skip
    """The gradient of units first..end-1.

    Args:
        units: (U, 3) int64: head, first token, end.
        qkv: (3, T, N, D). context, dcontext: (T, N, D). softmax: (2, N, T). dqkv: (3, T, N, D), written.
        dropout, scale: as in forward.
        scratch: (scratch_rows(D), BLOCK), for this part alone.
        wide: (2 BLOCK + 2 L, whole lanes of D) for the longest L, for this part alone.
    """
    _, _, N, D = qkv.shape
    qT, gT, dqT = scratch[:D], scratch[D : 2 * D], scratch[2 * D : 3 * D]
    tiles, columns = scratch[3 * D : -3], scratch[-3:]
    q, g, dS, dropped = wide[:BLOCK], wide[BLOCK : 2 * BLOCK], loose(tiles[:TILE]), loose(tiles[TILE : 2 * TILE])
    for u in range(first, end):
        n, start, stop = units[u]
        dK, dV = wide[2 * BLOCK :], wide[2 * BLOCK + stop - start :]  # (L, whole lanes) each
        for row in range(start, stop, BLOCK):
            rows, more = min(BLOCK, stop - row), row > start
            W = whole_lanes(rows)
            load_queries(q, qT, W, qkv[0, row : row + rows, n], scale)
            dC = dcontext[row : row + rows, n]
            load_queries(g, gT, W, dC, 1.0)
            column_numbers(columns, W, softmax[:, n, row : row + rows], context[row : row + rows, n], dC)
            for key in range(start, stop, TILE):
                keys, at = min(TILE, stop - key), key - start
                K, V = qkv[1, key : key + keys, n], qkv[2, key : key + keys, n]  # (keys, D)
                one_tile(tiles, columns, W, K, V, qT, gT, (at, row * N + n, N), dropout)
                product(loose(dV[at:]), dropped, loose(g), keys, D, rows, more)
                product(loose(dK[at:]), dS, loose(q), keys, D, rows, more)
                product(loose(dqT), loose(K.T), dS, D, W, keys, at > 0)
            columns[0, :] = scale
            turn_out(dqkv[0, row : row + rows, n], dqT, columns[0])
        write(dqkv[1, start:stop, n], dK, 1.0)  # q came scaled
        write(dqkv[2, start:stop, n], dV, 1.0)


@njit(**OPTIONS)
def one_tile(tiles: Any, columns: Any, W: int, K: Any, V: Any, qT: Any, gT: Any, counter: Any, dropout: Any) -> None:
    """A tile's dS and `dropped` (P with dropout), which become the first two of `tiles` (3 TILE, BLOCK)."""
    keys, D = K.shape
    dS, dropped, P = tiles[:TILE], tiles[TILE : 2 * TILE], tiles[2 * TILE :]
    if dropout[0] == 0:
        P = dropped
    product(loose(P), loose(K), loose(qT), keys, W, D, keys < 0)  # S; a literal False would compile `product` again
    product(loose(dS), loose(V), loose(gT), keys, W, D, keys < 0)  # dP
    flat_P, flat_dropped = P.reshape(-1), dropped.reshape(-1)
    probabilities(flat_P, keys, W, columns[0], columns[1])
    if dropout[0] > 0:
        drop(flat_dropped, flat_P, keys, W, counter, dropout)
    through_softmax(dS.reshape(-1), flat_P, flat_dropped, keys, W, columns[2])


@njit(**OPTIONS)
def probabilities(scores: Any, keys: int, columns: int, largest: Any, inverse: Any) -> None:
    """exp(score - largest) / sum, in place."""
    for j in range(0, keys, 4):
        s = scores[j * BLOCK : (j + 4) * BLOCK]
        for i in range(columns):
            top, factor = largest[i], inverse[i]
            a, b = exp(s[i] - top), exp(s[i + BLOCK] - top)
            c, d = exp(s[i + 2 * BLOCK] - top), exp(s[i + 3 * BLOCK] - top)
            s[i], s[i + BLOCK] = a * factor, b * factor
            s[i + 2 * BLOCK], s[i + 3 * BLOCK] = c * factor, d * factor


@njit(**OPTIONS)
def through_softmax(dP: Any, P: Any, dropped: Any, keys: int, columns: int, delta_of: Any) -> None:
    """dS = dropped dP - P delta, in place of dP."""
    for j in range(keys):
        d, p, m = dP[j * BLOCK : (j + 1) * BLOCK], P[j * BLOCK : (j + 1) * BLOCK], dropped[j * BLOCK : (j + 1) * BLOCK]
        for i in range(columns):
            d[i] = m[i] * d[i] - p[i] * delta_of[i]


@njit(**OPTIONS)
def column_numbers(columns: Any, W: int, softmax: Any, C: Any, dC: Any) -> None:
    """(3, W): largest score, 1 / sum, and delta of each query; 0 in columns without a query."""
    rows, D = C.shape
    columns[:, rows:W] = 0
    for i in range(rows):
        total = C.dtype.type(0)
        for d in range(D):
            total += C[i, d] * dC[i, d]
        columns[0, i], columns[1, i], columns[2, i] = softmax[0, i], softmax[1, i], total


@njit(**OPTIONS)
def load_queries(y: Any, yT: Any, columns: int, x: Any, scale: float) -> None:
    """scale * x, (rows, D), twice: y[:rows, :D] and transposed, yT[:D, :rows]; yT is 0 in the rest of `columns`."""
    turn_in(yT, columns, x, scale)
    factor = y.dtype.type(scale)
    for i in range(x.shape[0]):
        for d in range(x.shape[1]):
            y[i, d] = x[i, d] * factor


@njit(**OPTIONS)
def write(y: Any, x: Any, scale: float) -> None:
    """y (rows, D) = scale * x[:rows, :D]."""
    factor = y.dtype.type(scale)
    for i in range(y.shape[0]):
        for d in range(y.shape[1]):
            y[i, d] = x[i, d] * factor
