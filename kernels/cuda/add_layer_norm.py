"""Launching add_layer_norm.cu: y = LayerNorm(residual + dropout(x + bias))."""

from __future__ import annotations

from typing import Any

from numpy import float32, int32

from .column_sums import column_sums
from .launch import draw, launch, namespace, real, rows_of
from .layer_norm import STRIP, backward_shape, forward_shape


def add_layer_norm_forward(
    x: Any, bias: Any, residual: Any, gamma: Any, beta: Any, *, eps: float, p: float, key: Any
) -> tuple[Any, tuple[Any, ...]]:
    """x and residual (..., H), the others (H,): the result (..., H), and what backward needs."""
    xp, rows, rest = namespace(x), rows_of(x), rows_of(residual)
    R, H = rows.shape
    y, mean, inv_std = xp.empty((R, H), dtype=x.dtype), xp.empty(R, dtype=gamma.dtype), xp.empty(R, dtype=gamma.dtype)
    grid, block, shared = forward_shape(R, H)
    arguments = (
        rows, bias, rest, gamma, beta, y, mean, inv_std, int32(R), int32(H), float32(eps), *draw(p, key)
    )  # fmt: skip
    launch("add_layer_norm", "add_layer_norm_forward", grid, block, arguments, shared=shared, defines={"REAL": real(x)})
    return y.reshape(x.shape), (rows, bias, rest, gamma, mean, inv_std)


def add_layer_norm_backward(
    dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], *, eps: float, p: float, key: Any
) -> tuple[Any, ...]:
    """dx (..., H), dbias (H,), dresidual (..., H), dgamma and dbeta (H,)."""
    xp = namespace(dy)
    x, bias, residual, gamma, mean, inv_std = saved
    R, H = x.shape
    dresidual = xp.empty((R, H), dtype=x.dtype)
    dx = dresidual if key is None else xp.empty((R, H), dtype=x.dtype)  # without dropout the two are equal
    grid, block, shared, defines = backward_shape(R, H)
    partial = xp.empty((grid[0], 3, H), dtype=gamma.dtype)
    arguments = (
        rows_of(dy), x, bias, residual, gamma, mean, inv_std, dx, dresidual, partial,
        int32(R), int32(H), int32(STRIP), *draw(p, key),
    )  # fmt: skip
    defines = {"REAL": real(x), **defines}
    launch("add_layer_norm", "add_layer_norm_backward", grid, block, arguments, shared=shared, defines=defines)
    dgamma, dbeta, dbias = column_sums(partial.reshape(-1, 3 * H)).reshape(3, H)
    return dx.reshape(dy.shape), dbias, dresidual.reshape(dy.shape), dgamma, dbeta
