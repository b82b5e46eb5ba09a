"""The masked-word decoder and its loss without an array of all scores.

The scores of one row are as many as the vocabulary has words, forty times the row itself. So the rows are taken in
blocks of at most `ROWS`: scores by a matrix product, one pass that turns them into the loss and, in place, into the
gradient of the scores, then the two products that lead from there to x and to the weights. The buffer is used again for
the next block, and rows without a label never enter it.

This needs the gradients in forward, before dL/dloss is known. But the loss is a single number: everything is computed
for dL/dloss = 1, and backward multiplies, which in training means doing nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import arrays, threads
from .compiled import njit
from .layer_norm import BLOCK, add_blocks
from .matmul import linear, matmul, multiply
from .softmax import row_exp, row_max

ROWS = 512
"""Rows in a block: enough for the matrix products to run at full speed, which read all weights for each block."""


class Gradients:
    """dx, dweight and dbias for dL/dloss = 1, handed over once: they may be large, and a copy takes time.

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
    x: Any,
    weight: Any,
    bias: Any,
    *,
    labels: Any,
    ignore_index: int,
    needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Any, tuple[Any, ...]]:
    """x (M, H), weight (V, H), bias (V,), labels (M,): the mean loss, and the gradients in `needs` for backward."""
    loss, gradients = _loss_and_gradients(x, weight, bias, labels, ignore_index, needs)
    return loss, (x, weight, bias, Gradients(gradients))


def linear_cross_entropy_backward(
    dloss: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], *, labels: Any, ignore_index: int
) -> tuple[Any, ...]:
    """dx (M, H), dweight (V, H), dbias (V,)."""
    x, weight, bias, held = saved
    gradients = held.take()
    if gradients is None:
        _, gradients = _loss_and_gradients(x, weight, bias, labels, ignore_index, needs)
    scale = x.dtype.type(dloss)
    if scale != 1:
        for gradient in gradients:
            if gradient is not None:
                threads.split(len(gradient), _scale, gradient, scale, grain=BLOCK)
    return tuple(gradients)


def _loss_and_gradients(
    x: Any, weight: Any, bias: Any, labels: Any, ignore_index: int, needs: tuple[bool, ...]
) -> tuple[Any, tuple[Any, ...]]:
    """The mean loss, and dx, dweight, dbias for dL/dloss = 1 (None where not needed)."""
    counts = np.flatnonzero(labels != ignore_index)
    if len(counts) == len(x):
        every = arrays.inputs(x, weight, bias, np.asarray(labels, np.int64))
        losses, gradients = _blocks(every, needs)
    else:
        counted = arrays.inputs(x[counts], weight, bias, np.asarray(labels[counts], np.int64))
        losses, (dx_counted, *others) = _blocks(counted, needs)
        dx = None
        if dx_counted is not None:
            dx = np.zeros(x.shape, x.dtype)
            dx[counts] = dx_counted
        gradients = (dx, *others)
    return np.asarray(losses.sum() / max(len(losses), 1), x.dtype), gradients


def _blocks(inputs: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, tuple[Any, ...]]:
    """The loss of each row of x, and the gradients of their mean, from (x, weight, bias, labels); every row counts."""
    x, weight, bias, labels = inputs
    (M, H), V, wanted = x.shape, len(weight), any(needs)
    height = max(-(-M // (BLOCK * max(-(-M // ROWS), 1))), 1) * BLOCK  # blocks of about the same number of rows
    buffer = np.empty((min(height, M), V), x.dtype)
    losses = np.empty(M)
    dx = np.empty((M, H), x.dtype) if needs[0] else None
    dweight = np.empty((V, H), x.dtype) if needs[1] else None
    partial = np.empty((-(-M // BLOCK) if wanted else 0, 1, V), x.dtype)  # of dbias
    for first in range(0, M, height):
        end = min(first + height, M)
        scores = linear(x[first:end], weight, None, buffer[: end - first])  # (R, V)
        threads.split(
            -(-len(scores) // BLOCK), _score, scores, bias, labels[first:end], 1.0 / M, wanted,
            losses[first:end], partial[first // BLOCK :],
        )  # fmt: skip
        dscores = scores  # the same memory, rewritten if a gradient is wanted
        if dx is not None:
            matmul(dscores, weight, dx[first:end])
        if dweight is not None:
            multiply(dscores.T, x[first:end], None, dweight, add=first > 0)
    if dweight is not None and M == 0:
        dweight[:] = 0
    return losses, (dx, dweight, _sum(partial) if needs[2] else None)


def _sum(partial: Any) -> Any:
    total = np.empty(partial.shape[1:], partial.dtype)
    add_blocks(partial, total)
    return total[0]


def _scale(first: int, end: int, gradient: Any, scale: Any) -> None:
    gradient[first:end] *= scale


@njit(error_model="numpy")
def _score(
    first: int, end: int, scores: Any, bias: Any, labels: Any, weight: float, wanted: bool, losses: Any, partial: Any
) -> None:
    """Blocks of `BLOCK` rows of scores (R, V), still without bias: losses (R,), and, if wanted, dscores in place and
    its column sums in partial (blocks, 1, V)."""
    for block in range(first, end):
        if wanted:
            partial[block] = 0
        for r in range(block * BLOCK, min((block + 1) * BLOCK, scores.shape[0])):
            y, label = scores[r], labels[r]
            for c in range(y.shape[0]):
                y[c] += bias[c]
            top, at_label = row_max(y), np.float64(y[label])
            total = row_exp(y, top, y)
            losses[r] = math.log(total) + (np.float64(top) - at_label)
            if wanted:
                _gradient_row(y, label, y.dtype.type(weight / total), y.dtype.type(weight), partial[block, 0])


@njit(fastmath={"contract"})
def _gradient_row(y: Any, label: int, scale: float, weight: float, sums: Any) -> None:
    """From exp(y - top) to the gradient of one row, (p - one-hot) weight; added to `sums` too."""
    for c in range(y.shape[0]):
        y[c] *= scale
        sums[c] += y[c]
    y[label] -= weight
    sums[label] -= weight
