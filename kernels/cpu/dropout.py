"""Dropout: each row's mask is drawn into a buffer of one row, used, and forgotten; backward draws it again."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import arrays, threads
from .compiled import njit
from .philox import dropout_numbers, dropout_row

GRAIN = 8_192
"""Fewest elements worth a thread of their own."""


@njit
def _scale(first: int, end: int, x: Any, y: Any, threshold: int, scale: float, seed: int, stream: int) -> None:
    mask = np.empty(x.shape[1], x.dtype)
    for r in range(first, end):
        dropout_row(mask, r, threshold, scale, seed, stream)
        given, result = x[r], y[r]
        for c in range(mask.shape[0]):
            result[c] = given[c] * mask[c]


def _dropped(x: Any, p: float, key: Any) -> Any:
    (rows,) = arrays.rows(x)
    y = np.empty_like(rows)
    grain = GRAIN // max(rows.shape[1], 1) + 1
    threads.split(len(rows), _scale, rows, y, *dropout_numbers(p, key), grain=grain)
    return y.reshape(x.shape)


def dropout_forward(x: Any, *, p: float, key: Any) -> tuple[Any, tuple[Any, ...]]:
    """x (..., C): the result, and nothing to keep."""
    return _dropped(x, p, key), ()


def dropout_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], *, p: float, key: Any) -> tuple[Any]:
    """dx (..., C)."""
    return (_dropped(dy, p, key),)
