"""Launching attention.cu: softmax attention over packed sequences.

What a block works on is a row of a small table, made on the host from `starts`: its first query (or key), and where
that row's sequence begins and ends. All layers of a model ask for the same table: it goes to the device once a batch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy import float32, int32

from .arrays import MAX_HEAD
from .launch import Grid, ceil_div, contiguous, draw, launch, namespace, real

Saved = tuple[Any, ...]

THREADS, KEYS, FORWARD_QUERIES, BACKWARD_QUERIES = 128, 32, 64, 32
"""As in attention.cu."""

LOG2_E = math.log2(math.e)


def attention_forward(qkv: Any, *, starts: Sequence[int], p: float, key: Any) -> tuple[Any, Saved]:
    """(3, T, N, D) to the context, (T, N, D)."""
    qkv = contiguous(qkv)
    xp, (_, T, N, D) = namespace(qkv), qkv.shape
    context, logs = xp.empty((T, N, D), dtype=qkv.dtype), xp.empty((N, T), dtype="float32")
    units, grid = _units(qkv, starts, FORWARD_QUERIES, N)
    scores = float32(LOG2_E / math.sqrt(D))
    arguments = qkv, units, context, logs, int32(T), int32(N), int32(D), scores, *draw(p, key)
    _launch("attention_forward", grid, arguments, shared=forward_shared(_head(D)))
    return context, (qkv, context, logs)


def attention_backward(
    dcontext: Any, saved: Saved, needs: tuple[bool, ...], *, starts: Sequence[int], p: float, key: Any
) -> tuple[Any | None]:
    """(T, N, D) to the gradient of qkv, (3, T, N, D)."""
    if not needs[0]:
        return (None,)
    qkv, context, logs = saved
    xp, (_, T, N, D), dcontext = namespace(qkv), qkv.shape, contiguous(dcontext)
    dqkv, delta = xp.empty(qkv.shape, dtype=qkv.dtype), xp.empty((N, T), dtype="float32")
    defines = _defines(qkv)
    rows = ceil_div(T * N, THREADS // 32)
    launch("attention", "attention_delta", (rows,), (THREADS,),
           (dcontext, context, delta, int32(T), int32(N), int32(D)), defines=defines)  # fmt: skip
    for kernel, tile, shared in (
        ("attention_backward_queries", BACKWARD_QUERIES, backward_queries_shared(_head(D))),
        ("attention_backward_keys", KEYS, backward_keys_shared(_head(D))),
    ):
        units, grid = _units(qkv, starts, tile, N)
        scales = float32(LOG2_E / math.sqrt(D)), float32(1 / math.sqrt(D))
        arguments = qkv, dcontext, logs, delta, units, dqkv, int32(T), int32(N), int32(D), *scales, *draw(p, key)
        _launch(kernel, grid, arguments, shared=shared)
    return (dqkv,)


def _launch(kernel: str, grid: Grid, arguments: tuple[Any, ...], *, shared: int) -> None:
    launch("attention", kernel, grid, (THREADS,), arguments, shared=shared, defines=_defines(arguments[0]))


def _head(D: int) -> int:
    """HEAD of attention.cu: D rounded up.

    Raises:
        ValueError: a head that is too large.
    """
    if D > MAX_HEAD:
        raise ValueError(f"attention on a GPU: heads have at most {MAX_HEAD} numbers, got {D}")
    return ceil_div(D, 16) * 16


def _defines(qkv: Any) -> dict[str, str | int]:
    return {"REAL": real(qkv), "HEAD": _head(qkv.shape[3])}


# Bytes of shared memory: rows of HEAD + 4 floats of Q, K, V or dcontext, and rows of KEYS + 4 floats of scores.


def forward_shared(head: int) -> int:
    """Queries, one tile that holds keys and then values, and the weights."""
    return 4 * ((FORWARD_QUERIES + KEYS) * (head + 4) + FORWARD_QUERIES * (KEYS + 4))


def backward_queries_shared(head: int) -> int:
    """Queries, their dcontext, one tile that holds values and then keys, and the scores' gradient."""
    return 4 * ((2 * BACKWARD_QUERIES + KEYS) * (head + 4) + BACKWARD_QUERIES * (KEYS + 4))


def backward_keys_shared(head: int) -> int:
    """Keys and values, queries and their dcontext, the weights and the scores' gradient."""
    queries = 16 if head > 96 else 32
    return 4 * ((2 * KEYS + 2 * queries) * (head + 4) + 2 * queries * (KEYS + 4))


def _units(x: Any, starts: Sequence[int], tile: int, N: int) -> tuple[Any, Grid]:
    """The table of units (units, 3) on x's device, and the grid that goes with it."""
    table = _table(tuple(starts), tile, namespace(x), x.device.id)
    return table, (table.shape[0], N)


@functools.lru_cache(maxsize=32)
def _table(starts: tuple[int, ...], tile: int, xp: Any, device: Any) -> Any:
    rows = [(row, begin, end) for begin, end in pairwise(starts) for row in range(begin, end, tile)]
    return xp.asarray(np.asarray(rows, np.int32).reshape(-1, 3))
