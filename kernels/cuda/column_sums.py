"""Launching column_sums.cu: the sum of an array's rows."""

from __future__ import annotations

from typing import Any

from numpy import int32

from .launch import ceil_div, launch, namespace, real


def column_sums(x: Any, dtype: Any = None) -> Any:
    """x (R, C), contiguous: its column sums (C,), float32."""
    R, C = x.shape
    sums = namespace(x).empty(C, dtype="float32")
    arguments = x, sums, int32(R), int32(C)
    launch("column_sums", "column_sums", (ceil_div(C, 128),), (128,), arguments, defines={"REAL": real(x)})
    return sums
