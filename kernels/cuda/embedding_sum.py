"""Launching embedding_sum.cu: the three embeddings of a token, and the scatter-add of their gradients."""

from __future__ import annotations

import os
from typing import Any

from numpy import int32

from . import activations
from .launch import WARP, ceil_div, contiguous, elementwise, launch, namespace, real

PIECE, COLUMNS = 64, 512
"""As in embedding_sum.cu: tokens in a piece, and columns of a block."""

deterministic = os.environ.get("MINIBERT_DETERMINISTIC", "1") != "0"
"""Whether gradients of tables are added up in a fixed order; with False, by atomics, in any."""


def embedding_sum_forward(
    words: Any, positions: Any, types: Any, *, ids: Any, position_ids: Any, type_ids: Any
) -> tuple[Any, tuple[Any, ...]]:
    """words (V, H), positions (P, H), types (K, H), row numbers (T,): the sum (T, H), and the tables' lengths."""
    numbers = [_numbers(index) for index in (ids, position_ids, type_ids)]
    T, H = numbers[0].shape[0], words.shape[1]
    y = namespace(words).empty((T, H), dtype=activations.dtype or words.dtype)
    grid, block = elementwise(T * ceil_div(H, 4))
    arguments = *map(contiguous, (words, positions, types)), *numbers, y, int32(T), int32(H)
    launch("embedding_sum", "embedding_sum_forward", grid, block, arguments, defines={"REAL": real(y)})
    return y, (*numbers, words.shape[0], positions.shape[0], types.shape[0])


def embedding_sum_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], **options: Any) -> tuple[Any, ...]:
    """dwords (V, H), dpositions (P, H), dtypes (K, H), float32."""
    *numbers, V, P, K = saved
    dy = contiguous(dy)
    return tuple(scatter_add(index, dy, length) for index, length in zip(numbers, (V, P, K), strict=True))


def scatter_add(ids: Any, dy: Any, length: int, *, in_order: bool | None = None) -> Any:
    """Row i of the result is the sum of the rows of dy (T, H) whose ids (T,) are i: (length, H), float32.

    Args:
        in_order: a fixed order of addition, or any; `deterministic` if None.
    """
    xp, (T, H) = namespace(dy), dy.shape
    table = xp.zeros((length, H), dtype="float32")
    defines, sizes = {"REAL": real(dy)}, (int32(T), int32(H))
    if not (deterministic if in_order is None else in_order):
        grid, block = elementwise(T * H)
        launch("embedding_sum", "scatter_atomic", grid, block, (dy, ids, table, *sizes), defines=defines)
        return table
    order = _numbers(xp.argsort(ids, kind="stable"))
    partial = xp.empty((2 * ceil_div(T, PIECE), H), dtype="float32")
    grid, block = (T, ceil_div(H, COLUMNS)), (min(COLUMNS // 4, ceil_div(H, 4 * WARP) * WARP),)
    launch("embedding_sum", "scatter_pieces", grid, block, (dy, order, ids, table, partial, *sizes), defines=defines)
    launch("embedding_sum", "scatter_join", grid, block, (partial, order, ids, table, *sizes), defines=defines)
    return table


def _numbers(index: Any) -> Any:
    """Row numbers as the kernels read them."""
    return contiguous(index if str(index.dtype) == "int64" else index.astype("int64"))
