"""Launching attention.cu: softmax attention over packed sequences.

What a block works on is a row of a small table, made on the host from `starts`: its first query (or key), and where
that row's sequence begins and ends. All layers of a model ask for the same table: it goes to the device, for the
current stream, once a batch.
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
from .launch import WARP, ceil_div, contiguous, draw, launch, namespace, queue_of, real
from .sources import Defines

Saved = tuple[Any, ...]

THREADS = 128
"""Of a block, as in attention.cuh."""

TENSOR_CORES = {"float16": 75, "bfloat16": 80}
"""The compute capability from which on there are the products that attention_half.cu wants."""

LOG2_E = math.log2(math.e)


def attention_forward(qkv: Any, *, starts: Sequence[int], p: float, key: Any) -> tuple[Any, Saved]:
    """(3, T, N, D) to the context, (T, N, D)."""
    qkv = contiguous(qkv)
    xp, (_, T, N, D) = namespace(qkv), qkv.shape
    context, logs = xp.empty((T, N, D), dtype=qkv.dtype), xp.empty((N, T), dtype="float32")
    arguments = context, logs, int32(T), int32(N), int32(D), float32(LOG2_E / math.sqrt(D)), *draw(p, key)
    _launch("attention_forward", qkv, (), starts, arguments)
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
    sizes = int32(T), int32(N), int32(D)
    grid, block = (ceil_div(T * N, THREADS // WARP),), (THREADS,)
    source, defines = _specialised(qkv)
    launch(source, "attention_delta", grid, block, (dcontext, context, delta, *sizes), defines=defines)
    scales = float32(LOG2_E / math.sqrt(D)), float32(1 / math.sqrt(D))
    for kernel in ("attention_backward_queries", "attention_backward_keys"):
        _launch(kernel, qkv, (dcontext, logs, delta), starts, (dqkv, *sizes, *scales, *draw(p, key)))
    return (dqkv,)


def _launch(kernel: str, qkv: Any, before: tuple[Any, ...], starts: Sequence[int], after: tuple[Any, ...]) -> None:
    """Grid (units, N): a block for each tile of rows of each sequence, and each head."""
    source, defines = _specialised(qkv)
    tile, shared = shape(source, kernel, int(defines["HEAD"]))
    units = _table(tuple(starts), tile, namespace(qkv), queue_of(qkv))
    grid, arguments = (units.shape[0], qkv.shape[2]), (qkv, *before, units, *after)
    launch(source, kernel, grid, (THREADS,), arguments, shared=shared, defines=defines)


def _specialised(qkv: Any) -> tuple[str, Defines]:
    """The source for these numbers, and its defines.

    Raises:
        ValueError: a head that is too large, or numbers of another kind.
    """
    D = qkv.shape[3]
    if D > MAX_HEAD:
        raise ValueError(f"attention on a GPU: heads have at most {MAX_HEAD} numbers, got {D}")
    kind = real(qkv)
    capability = int(getattr(qkv.device, "compute_capability", "80"))
    plain = kind == "float" or capability < TENSOR_CORES[kind]
    return "attention" if plain else "attention_half", {"REAL": kind, "HEAD": ceil_div(D, 16) * 16}


def shape(source: str, kernel: str, head: int) -> tuple[int, int]:
    """The rows (queries or keys) that a block has, and its bytes of shared memory."""
    if source == "attention":  # rows of HEAD + 4 floats of Q, K, V or dcontext, and rows of 32 + 4 floats of scores
        inner = 16 if head > 96 else 32
        rows, tiles, scores = {
            "attention_forward": (64, 64 + 32, 64),  # queries; keys and then values; weights
            "attention_backward_queries": (32, 32 + 32 + 32, 32),  # queries, dcontext; values and then keys; dscores
            "attention_backward_keys": (32, 32 + 32 + 2 * inner, 2 * inner),  # K, V; queries, dcontext; both of scores
        }[kernel]
        return rows, 4 * (tiles * (head + 4) + scores * (32 + 4))
    tiles, kept, numbers = {  # rows of HEAD + 8 numbers of 2 bytes, the mask's bytes, floats
        "attention_forward": (64 + 64 + 64, 64 * 64 // 4, 0),
        "attention_backward_queries": (64 + 64 + 32 + 32, 64 * 32 // 4, 0),
        "attention_backward_keys": (64 + 64 + 32 + 32, 32 * 64 // 4, 2 * 32),
    }[kernel]
    return 64, 2 * tiles * (head + 8) + kept + 4 * numbers


@functools.lru_cache(maxsize=32)
def _table(starts: tuple[int, ...], tile: int, xp: Any, queue: tuple[int, int]) -> Any:
    """(units, 3) on the device: the first row of each tile, and where its sequence begins and ends."""
    rows = [(row, begin, end) for begin, end in pairwise(starts) for row in range(begin, end, tile)]
    return xp.asarray(np.asarray(rows, np.int32).reshape(-1, 3))
