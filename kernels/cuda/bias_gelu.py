"""Launching bias_gelu.cu: gelu(x + bias)."""

from __future__ import annotations

from typing import Any

from numpy import int32

from .column_sums import column_sums
from .launch import WARP, ceil_div, elementwise, launch, namespace, real, rows_of

STRIP = 64
"""Rows that a block of backward takes; their column sums are one line of partial sums."""


def bias_gelu_forward(x: Any, bias: Any) -> tuple[Any, tuple[Any, ...]]:
    """x (..., F), bias (F,): the result (..., F), and what backward needs."""
    rows = rows_of(x)
    R, F = rows.shape
    y = namespace(x).empty((R, F), dtype=x.dtype)
    grid, block = elementwise(R * ceil_div(F, 4))
    arguments = rows, bias, y, int32(R), int32(F)
    launch("bias_gelu", "bias_gelu_forward", grid, block, arguments, defines={"REAL": real(x)})
    return y.reshape(x.shape), (rows, bias)


def bias_gelu_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """dx (..., F) and dbias (F,)."""
    xp, (rows, bias) = namespace(dy), saved
    R, F = rows.shape
    strips, groups = ceil_div(R, STRIP), ceil_div(F, 4)
    threads = min(128, ceil_div(groups, WARP) * WARP)
    dx, partial = xp.empty((R, F), dtype=rows.dtype), xp.empty((strips, F), dtype=bias.dtype)
    arguments = rows_of(dy), rows, bias, dx, partial, int32(R), int32(F), int32(STRIP)
    grid = ceil_div(groups, threads), strips
    launch("bias_gelu", "bias_gelu_backward", grid, (threads,), arguments, defines={"REAL": real(rows)})
    return dx.reshape(dy.shape), column_sums(partial)
