"""Softmax attention over packed sequences, without the L x L scores of a head in memory.

Forward keeps, beside its input and result, two numbers a query and head: the largest score, and 1 / the sum of
exp(score - largest). With them backward computes any tile of probabilities anew.

Work is cut into units: forward's are blocks of queries of one head of one sequence, backward's the whole of a head of
a sequence. Each costs about its number of queries times its number of keys, and each thread gets neighbouring units
of about the same cost together. Units share nothing, so results do not depend on the number of threads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from . import attention_backward as backward
from . import attention_forward as forward
from . import threads
from .attention_tiles import BLOCK, LANES, read_only
from .tiles import ALIGNMENT

Saved = tuple[Any, ...]

SMALL = 100_000
"""Scores that are not worth a second thread: some ten microseconds of work at D = 64."""


def attention_forward(qkv: np.ndarray, *, starts: Sequence[int], p: float, key: Any) -> tuple[np.ndarray, Saved]:
    """(3, T, N, D) to the context, (T, N, D)."""
    context = np.empty(qkv.shape[1:], qkv.dtype)
    return context, (qkv, context, attend(qkv, starts, context, _dropout(p, key)))


def attend(
    qkv: np.ndarray, starts: Sequence[int], context: np.ndarray, dropout: tuple[int, float, int, int] = (0, 1.0, 0, 0)
) -> np.ndarray:
    """Write the context, (T, N, D), of qkv, (3, T, N, D); returns what backward needs of each softmax, (2, N, T)."""
    _, T, N, D = qkv.shape
    softmax = np.empty((2, N, T), qkv.dtype)
    units, bounds = _query_blocks(tuple(starts), N, threads.get_num_threads())
    scratch = _workspace(len(bounds), forward.scratch_rows(D), BLOCK, qkv.dtype)
    common = units, read_only(qkv), context, softmax, dropout, 1 / math.sqrt(D)
    threads.run(forward.forward_units, [(a, b, *common, scratch[i]) for i, (a, b) in enumerate(bounds)])
    return softmax


def attention_backward(
    dcontext: np.ndarray, saved: Saved, needs: tuple[bool, ...], *, starts: Sequence[int], p: float, key: Any
) -> tuple[np.ndarray | None]:
    """(T, N, D) to the gradient of qkv, (3, T, N, D)."""
    if not needs[0]:
        return (None,)
    qkv, context, softmax = saved
    _, _, N, D = qkv.shape
    dqkv = np.empty(qkv.shape, qkv.dtype)
    units, bounds = _heads(tuple(starts), N, threads.get_num_threads())
    scratch = _workspace(len(bounds), backward.scratch_rows(D), BLOCK, qkv.dtype)
    longest = max((b - a for a, b in pairwise(starts)), default=0)
    wide = _workspace(len(bounds), 2 * BLOCK + 2 * longest, -(-D // LANES) * LANES, qkv.dtype)
    common = (*map(read_only, (qkv, context, softmax, dcontext)), dqkv, _dropout(p, key), 1 / math.sqrt(D))
    parts = [(a, b, units, *common, scratch[i], wide[i]) for i, (a, b) in enumerate(bounds)]
    threads.run(backward.backward_units, parts)
    return (dqkv,)


def _dropout(p: float, key: Any) -> tuple[int, float, int, int]:
    """(threshold, factor of what is kept, seed, stream), as `philox.dropout_row` wants them."""
    if key is None:
        return 0, 1.0, 0, 0
    return min(int(p * 2**32), 2**32 - 1), 1 / (1 - p), key.seed, key.stream


Plan = tuple[np.ndarray, list[tuple[int, int]]]


@functools.lru_cache(maxsize=16)  # all layers of a model ask alike
def _query_blocks(starts: tuple[int, ...], N: int, team: int) -> Plan:
    """Forward's units (see `forward_units`), and each thread's share of them."""
    units = [
        (n, row, min(BLOCK, end - row), first, end)
        for first, end in pairwise(starts)
        for n in range(N)
        for row in range(first, end, BLOCK)
    ]
    table = np.asarray(units, np.int64).reshape(-1, 5)
    return table, _shares(table[:, 2] * (table[:, 4] - table[:, 3]), team)


@functools.lru_cache(maxsize=16)
def _heads(starts: tuple[int, ...], N: int, team: int) -> Plan:
    """Backward's units (see `backward_units`), and each thread's share of them."""
    units = [(n, first, end) for first, end in pairwise(starts) for n in range(N) if end > first]
    table = np.asarray(units, np.int64).reshape(-1, 3)
    return table, _shares((table[:, 2] - table[:, 1]) ** 2, team)


def _shares(cost: np.ndarray, team: int) -> list[tuple[int, int]]:
    """Contiguous ranges of units, one a thread, of about the same cost."""
    total = np.cumsum(cost)
    if len(total) == 0:
        return [(0, 0)]
    parts = max(1, min(team, int(total[-1]) // SMALL))
    inner = np.searchsorted(total, total[-1] * np.arange(1, parts) / parts)
    bounds = [0, *inner.tolist(), len(cost)]
    return [(a, b) for a, b in pairwise(bounds) if b > a]


def _workspace(parts: int, rows: int, columns: int, dtype: Any) -> np.ndarray:
    """An array (parts, rows, columns), not set, that begins at a cache line."""
    size = parts * rows * columns * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    aligned: np.ndarray = raw[start : start + size].view(dtype)
    return aligned.reshape(parts, rows, columns)
