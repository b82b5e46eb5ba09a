"""Launching dropout.cu: dropout by itself, forward and backward alike."""

from __future__ import annotations

from typing import Any

from numpy import int32

from .launch import ceil_div, draw, elementwise, launch, namespace, real, rows_of


def _dropped(x: Any, p: float, key: Any) -> Any:
    rows = rows_of(x)
    y = namespace(x).empty(rows.shape, dtype=rows.dtype)
    R, C = rows.shape
    grid, block = elementwise(R * ceil_div(C, 4))
    launch("dropout", "dropout", grid, block, (rows, y, int32(R), int32(C), *draw(p, key)), defines={"REAL": real(x)})
    return y.reshape(x.shape)


def dropout_forward(x: Any, *, p: float, key: Any) -> tuple[Any, tuple[Any, ...]]:
    """x (..., C): the result, and nothing to keep."""
    return _dropped(x, p, key), ()


def dropout_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], *, p: float, key: Any) -> tuple[Any]:
    """dx (..., C)."""
    return (_dropped(dy, p, key),)
