"""Launching layer_norm.cu, and what it shares with add_layer_norm.cu."""

from __future__ import annotations

from typing import Any

from numpy import float32, int32

from .arrays import MAX_WIDTH
from .column_sums import column_sums
from .launch import STATIC_SHARED, WARP, Grid, ceil_div, launch, namespace, real, rows_of
from .sources import Defines

STRIP = 32
"""Rows that a block of backward takes; their column sums are one line of partial sums."""


def forward_shape(R: int, H: int) -> tuple[Grid, Grid, int]:
    """Grid, block and shared bytes of forward: a warp a row, four warps a block, fewer where rows are long.

    Raises:
        ValueError: a single row does not fit.
    """
    row = 4 * 4 * ceil_div(H, 4)  # bytes
    if H > MAX_WIDTH:
        raise ValueError(f"layer normalisation on a GPU: rows have at most {MAX_WIDTH} columns, got {H}")
    warps = max(1, min(4, STATIC_SHARED // max(row, 1)))
    return (ceil_div(R, warps),), (warps * WARP,), warps * row


def backward_shape(R: int, H: int) -> tuple[Grid, Grid, int, Defines]:
    """Grid, block, shared bytes and PER of backward: a block a strip of rows, each thread PER groups of columns."""
    groups = ceil_div(H, 4)
    threads = min(256, ceil_div(groups, WARP) * WARP)
    warps = threads // WARP
    return (ceil_div(R, STRIP),), (threads,), 2 * 2 * warps * 4, {"PER": ceil_div(groups, threads)}


def layer_norm_forward(x: Any, gamma: Any, beta: Any, *, eps: float) -> tuple[Any, tuple[Any, ...]]:
    """x (..., H), gamma and beta (H,): the result (..., H), and what backward needs."""
    xp, rows = namespace(x), rows_of(x)
    R, H = rows.shape
    y, mean, inv_std = xp.empty((R, H), dtype=x.dtype), xp.empty(R, dtype=gamma.dtype), xp.empty(R, dtype=gamma.dtype)
    grid, block, shared = forward_shape(R, H)
    arguments = rows, gamma, beta, y, mean, inv_std, int32(R), int32(H), float32(eps)
    launch("layer_norm", "layer_norm_forward", grid, block, arguments, shared=shared, defines={"REAL": real(x)})
    return y.reshape(x.shape), (rows, mean, inv_std, gamma)


def layer_norm_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], *, eps: float) -> tuple[Any, ...]:
    """dx (..., H), dgamma and dbeta (H,)."""
    rows, mean, inv_std, gamma = saved
    R, H = rows.shape
    dx = namespace(dy).empty((R, H), dtype=rows.dtype)
    grid, block, shared, defines = backward_shape(R, H)
    partial = namespace(dy).empty((grid[0], 2, H), dtype=gamma.dtype)
    arguments = rows_of(dy), rows, gamma, mean, inv_std, dx, partial, int32(R), int32(H), int32(STRIP)
    defines = {"REAL": real(rows), **defines}
    launch("layer_norm", "layer_norm_backward", grid, block, arguments, shared=shared, defines=defines)
    sums = column_sums(partial.reshape(-1, 2 * H)).reshape(2, H)
    return dx.reshape(dy.shape), sums[0], sums[1]
