"""Attention forward for a block of queries: softmax as the keys come along.

A block of up to `BLOCK` queries meets its keys a tile of `TILE` at a time, and for each query three things are kept:
the largest score so far, the sum of exp(score - largest), and the sum of exp(score - largest) v. When a tile brings a
larger score, both sums are multiplied by exp(old - new), as if the new maximum had been known from the start.
Everything that a block touches stays in the caches close to the core.

Source: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018), algorithm 3; the tiling by Dao et
al., "FlashAttention" (2022), algorithm 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .attention_tiles import BLOCK, OPTIONS, TILE, drop, turn_in, turn_out, whole_lanes
from .compiled import njit
from .tiles import loose, product
from .vector_math import exp


def scratch_rows(D: int) -> int:
    """Rows of BLOCK numbers that a part needs: queries, context, two tiles, and three numbers a column."""
    return 2 * D + 2 * TILE + 3


@njit(**OPTIONS)
def forward_units(
    first: int, end: int, units: Any, qkv: Any, context: Any, softmax: Any, dropout: Any, scale: float, scratch: Any
) -> None:
    """Context, and what is needed to compute the softmax again, for units first..end-1.

    Args:
        units: (U, 5) int64: head, first query, number of queries (BLOCK at most), first key, end of keys.
        qkv: (3, T, N, D). context: (T, N, D), written.
        softmax: (2, N, T), written: each query's largest score, and 1 / the sum of exp(score - largest).
        dropout: (threshold, 1 / (1 - p), seed, stream); threshold 0 drops nothing.
        scale: 1 / sqrt(D).
        scratch: (scratch_rows(D), BLOCK), for this part alone.
    """
    _, _, N, D = qkv.shape
    qT, oT, sT, pT = scratch[:D], scratch[D : 2 * D], scratch[2 * D : 2 * D + TILE], scratch[2 * D + TILE : -3]
    scores, weights = sT.reshape(-1), pT.reshape(-1)  # the same memory as tiles
    largest, total, factor = scratch[-3], scratch[-2], scratch[-1]  # (BLOCK,)
    dropping = dropout[0] > 0
    Q, S, P, C = loose(qT), loose(sT), loose(pT if dropping else sT), loose(oT)
    for u in range(first, end):
        n, row, rows, first_key, end_key = units[u]
        W = whole_lanes(rows)
        turn_in(qT, W, qkv[0, row : row + rows, n], scale)
        largest[:], total[:] = -np.inf, 0
        for key in range(first_key, end_key, TILE):
            keys, again = min(TILE, end_key - key), key > first_key
            product(S, loose(qkv[1, key : key + keys, n]), Q, keys, W, D, keys < 0)  # literal False: compiled again
            scores[keys * BLOCK : (keys + 3) // 4 * 4 * BLOCK] = -np.inf
            raise_maximum(scores, keys, W, largest, factor)
            if again:
                rescale(oT, W, total, factor)
            exp_and_sum(scores, keys, W, largest, total)
            if dropping:
                drop(weights, scores, keys, W, (key - first_key, row * N + n, N), dropout)
            product(C, loose(qkv[2, key : key + keys, n].T), P, D, W, keys, again)
        for i in range(rows):
            factor[i] = 1 / total[i]
            softmax[0, n, row + i], softmax[1, n, row + i] = largest[i], factor[i]
        turn_out(context[row : row + rows, n], oT, factor)


@njit(**OPTIONS)
def raise_maximum(scores: Any, keys: int, columns: int, largest: Any, factor: Any) -> None:
    """largest[i] = max(old, max_j scores[j, i]) and factor[i] = exp(old - largest[i]), for a tile.

    A NaN may be passed over here; exp will meet it. A column that was -inf so far, old and new, has factor 0.
    """
    lowest, zero = scores.dtype.type(-np.inf), scores.dtype.type(0)
    for i in range(columns):
        factor[i] = largest[i]
    for j in range(0, keys, 4):
        s = scores[j * BLOCK : (j + 4) * BLOCK]
        for i in range(columns):
            a = s[i] if s[i] > s[i + BLOCK] else s[i + BLOCK]
            b = s[i + 2 * BLOCK] if s[i + 2 * BLOCK] > s[i + 3 * BLOCK] else s[i + 3 * BLOCK]
            a = a if a > b else b
            largest[i] = a if a > largest[i] else largest[i]
    for i in range(columns):
        factor[i] = exp(factor[i] - (largest[i] if largest[i] > lowest else zero))


@njit(**OPTIONS)
def exp_and_sum(scores: Any, keys: int, columns: int, largest: Any, total: Any) -> None:
    """scores[j, i] = exp(scores[j, i] - largest[i]), and total[i] += it. A column of -inf throughout adds nothing."""
    lowest, zero = scores.dtype.type(-np.inf), scores.dtype.type(0)
    for j in range(0, keys, 4):
        s = scores[j * BLOCK : (j + 4) * BLOCK]
        for i in range(columns):
            top = largest[i] if largest[i] > lowest else zero
            a, b = exp(s[i] - top), exp(s[i + BLOCK] - top)
            c, d = exp(s[i + 2 * BLOCK] - top), exp(s[i + 3 * BLOCK] - top)
            s[i], s[i + BLOCK], s[i + 2 * BLOCK], s[i + 3 * BLOCK] = a, b, c, d
            total[i] += (a + b) + (c + d)


@njit(**OPTIONS)
def rescale(oT: Any, columns: int, total: Any, factor: Any) -> None:
    """oT[d, i] and total[i], times factor[i]."""
    for i in range(columns):
        total[i] *= factor[i]
    for d in range(oT.shape[0]):
        o = oT[d]
        for i in range(columns):
            o[i] *= factor[i]
