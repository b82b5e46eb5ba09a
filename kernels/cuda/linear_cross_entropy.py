"""The masked-word decoder and its loss, with score_rows of cross_entropy.cu between the library's matrix products.

Rows are taken in blocks, and a block's scores turned into their gradient in place, as on the CPU (see
kernels/cpu/linear_cross_entropy.py for why that may happen before dL/dloss is known). The number of rows that count
stays on the device: gradients are made for a sum over rows, and backward multiplies with dL/dloss / that number.
"""

from __future__ import annotations

from typing import Any

from numpy import int32, int64

from .column_sums import column_sums
from .cross_entropy import SHARED, THREADS, as_labels, mean_loss, row_weight
from .launch import contiguous, launch, namespace, real

ROWS = 2048
"""Rows in a block: 250 MB of float32 scores for a vocabulary of 30,522."""


class Gradients:
    """dx, dweight and dbias of the sum of all rows' losses, handed over once: they may be large.

    Kept in an object, since the tape makes saved arrays read-only. A second backward pass over the same tape finds it
    empty and computes them again.
    """

    def __init__(self, arrays: tuple[Any, ...]) -> None:
        self.arrays: tuple[Any, ...] | None = arrays

    def take(self) -> tuple[Any, ...] | None:
        """The arrays the first time, then None."""
        arrays, self.arrays = self.arrays, None
        return arrays


def linear_cross_entropy_forward(
    x: Any, weight: Any, bias: Any,
    *, labels: Any, ignore_index: int, needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Any, tuple[Any, ...]]:  # fmt: skip
    """x (M, H), weight (V, H), bias (V,), labels (M,): the mean loss, and the gradients in `needs` for backward."""
    x, labels = contiguous(x), as_labels(labels)
    losses, gradients = _blocks(x, weight, bias, labels, ignore_index, needs)
    row = row_weight(labels, ignore_index)
    return mean_loss(losses, row), (x, weight, bias, labels, row, Gradients(gradients))


def linear_cross_entropy_backward(
    dloss: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], *, labels: Any, ignore_index: int
) -> tuple[Any, ...]:
    """dx (M, H), dweight (V, H), dbias (V,)."""
    x, weight, bias, labels, row, held = saved
    gradients: tuple[Any, ...] | None = held.take()
    if gradients is None:
        _, gradients = _blocks(x, weight, bias, labels, ignore_index, needs)
    factor = dloss.reshape(1) * row  # float32: with a scaled loss it may be more than float16 holds
    dx, *of_parameters = gradients
    for gradient in of_parameters:
        if gradient is not None:
            gradient *= factor
    return None if dx is None else (dx * factor).astype(dx.dtype), *of_parameters


def _blocks(
    x: Any, weight: Any, bias: Any, labels: Any, ignore_index: int, needs: tuple[bool, ...]
) -> tuple[Any, tuple[Any, ...]]:
    """The loss of each row, and the gradients of the losses' sum (None where not needed)."""
    xp, (M, H), V = namespace(x), x.shape, weight.shape[0]
    losses = xp.empty(M, dtype="float32")
    narrow = contiguous(weight.astype(x.dtype) if weight.dtype != x.dtype else weight)
    dx = xp.empty((M, H), dtype=x.dtype) if needs[0] else None
    dweight = xp.zeros((V, H), dtype=weight.dtype) if needs[1] else None
    dbias = xp.zeros(V, dtype="float32") if needs[2] else None
    for first in range(0, M, ROWS):
        end = min(first + ROWS, M)
        scores = contiguous(xp.matmul(x[first:end], narrow.T))  # (R, V)
        arguments = (
            scores, bias, labels[first:end], losses[first:end], int32(V), int64(ignore_index), int32(any(needs))
        )  # fmt: skip
        defines = {"REAL": real(x)}
        launch("cross_entropy", "score_rows", (end - first,), (THREADS,), arguments, shared=SHARED, defines=defines)
        dscores = scores  # the same memory, rewritten if a gradient is wanted
        if dx is not None:
            dx[first:end] = xp.matmul(dscores, narrow)
        if dweight is not None:
            dweight += xp.matmul(dscores.T, x[first:end])
        if dbias is not None:
            dbias += column_sums(dscores)
    return losses, (dx, dweight, dbias)
