"""The embeddings' gather-and-sum, and its scatter-add backward.

Forward: each token's three rows are read once and their sum is written once.

Backward adds row t of dy to three rows picked by t, so two threads with different tokens could meet in one row.
They get different columns instead: each thread walks over all tokens, in order, with its own share of the columns.
Nobody meets, nothing is sorted, and the sums are taken in the same order with any number of threads. dwords is (V,
H), most of it never touched: `np.zeros` takes memory from the system that becomes real, page by page, where
somebody writes.

A segment's embedding is used by every second token, so its gradient is a sum over thousands of rows: it and that of
the positions are added up in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import arrays, threads
from .compiled import njit

TOKEN_GRAIN = 16
COLUMN_GRAIN = 64
"""Fewest tokens (forward) and columns (backward) worth a thread of their own."""


@njit
def _forward(
    first: int, end: int, words: Any, positions: Any, types: Any, ids: Any, position_ids: Any, type_ids: Any, y: Any
) -> None:
    for t in range(first, end):
        word, position, type_ = words[ids[t]], positions[position_ids[t]], types[type_ids[t]]
        row = y[t]
        for c in range(row.shape[0]):
            row[c] = word[c] + type_[c] + position[c]


@njit
def _add_row(total: Any, row: Any) -> None:
    for c in range(row.shape[0]):
        total[c] += row[c]


@njit
def _backward(
    first: int, end: int, dy: Any, ids: Any, position_ids: Any, type_ids: Any, dwords: Any, dpositions: Any, dtypes: Any
) -> None:
    for t in range(dy.shape[0]):
        row = dy[t, first:end]
        _add_row(dwords[ids[t], first:end], row)
        _add_row(dpositions[position_ids[t], first:end], row)
        _add_row(dtypes[type_ids[t], first:end], row)


def _numbers(*indices: Any) -> tuple[Any, ...]:
    """Row numbers, all of one kind, so that nothing is compiled twice."""
    return arrays.inputs(*(np.asarray(index, dtype=np.int64) for index in indices))


def embedding_sum_forward(
    words: Any, positions: Any, types: Any, *, ids: Any, position_ids: Any, type_ids: Any
) -> tuple[Any, tuple[Any, ...]]:
    """words (V, H), positions (P, H), types (K, H), row numbers (T,): the sum (T, H), and the tables' lengths."""
    numbers = _numbers(ids, position_ids, type_ids)
    y = np.empty((len(ids), words.shape[1]), words.dtype)
    threads.split(len(y), _forward, *arrays.inputs(words, positions, types), *numbers, y, grain=TOKEN_GRAIN)
    return y, (*numbers, len(words), len(positions), len(types))


def embedding_sum_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], **options: Any) -> tuple[Any, ...]:
    """dwords (V, H), dpositions (P, H), dtypes (K, H)."""
    *numbers, V, P, K = saved
    H = dy.shape[1]
    dwords = np.zeros((V, H), dy.dtype)
    dpositions, dtypes = np.zeros((P, H)), np.zeros((K, H))
    threads.split(H, _backward, *arrays.inputs(dy), *_numbers(*numbers), dwords, dpositions, dtypes, grain=COLUMN_GRAIN)
    return dwords, dpositions.astype(dy.dtype), dtypes.astype(dy.dtype)
