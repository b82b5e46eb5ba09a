"""Adam's update and the global norm of the gradients: each number is read once for the norm and once for the step.

Both are bound by memory: a step reads p, g, m and v and writes p, m and v back, 28 bytes a parameter, and the
arithmetic hides behind that. So the only thing to win is to touch memory as seldom as possible: one loop instead of
the explicit version's dozen, and the factor of clipping applied to g on its way in, not written back to it.

The arrays of a model lie end to end in thought only: `_cut` gives each thread a stretch of the whole range of
numbers, which may begin and end in the middle of an array, so that 199 arrays of very different sizes are shared
out evenly.

The update does the operations of the explicit one in the same order and rounds each of them (no fast-math), so that
it gives the same bits, on any number of threads. The norm is added up in fixed blocks, in float64.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from . import arrays, threads
from .compiled import njit

GRAIN = 32_768
"""Fewest numbers worth a thread of their own."""

BLOCK = 2**18
"""Numbers whose squares are added up in one go."""


@njit(error_model="numpy")
def _update(first: int, end: int, p: Any, g: Any, m: Any, v: Any, numbers: Any, l2: bool) -> None:
    scale, decay, root, eps, rate = numbers[0], numbers[1], numbers[6], numbers[7], numbers[8]
    beta1, rest1, beta2, rest2 = numbers[2], numbers[3], numbers[4], numbers[5]
    p, g, m, v = p[first:end], g[first:end], m[first:end], v[first:end]  # indices from 0: none can be negative
    for i in range(p.shape[0]):
        before = p[i]
        gradient = g[i] * scale
        if l2:
            gradient += decay * before
        else:
            before *= decay
        mean = m[i] * beta1 + rest1 * gradient
        square = v[i] * beta2 + rest2 * (gradient * gradient)
        m[i], v[i] = mean, square
        p[i] = before - rate * (mean / (np.sqrt(square) / root + eps))


@njit(fastmath={"contract", "reassoc", "nsz"})
def _sum_of_squares(first: int, end: int, x: Any) -> float:
    x, total = x[first:end], 0.0
    for i in range(x.shape[0]):
        total += np.float64(x[i] * x[i])
    return total


@njit
def _scale(first: int, end: int, x: Any, factor: float, y: Any) -> None:
    x, y = x[first:end], y[first:end]
    for i in range(x.shape[0]):
        y[i] = x[i] * factor


def _cut(first: int, end: int, starts: list[int], kernel: Callable[..., Any], items: list[tuple[Any, ...]]) -> None:
    """`kernel(a, b, *item)` for what lies in first..end of the concatenated range; item i begins at starts[i]."""
    i = bisect_right(starts, first) - 1
    while i < len(items) and starts[i] < end:
        a, b = max(first - starts[i], 0), min(end, starts[i + 1]) - starts[i]
        if b > a:
            kernel(a, b, *items[i])
        i += 1


def _spread(kernel: Callable[..., Any], items: list[tuple[Any, ...]]) -> None:
    """`kernel(first, end, *item)` over all numbers of all items; the first entry of each is an array."""
    starts = [0, *accumulate(item[0].size for item in items)]
    threads.split(starts[-1], _cut, starts, kernel, items, grain=GRAIN)


def adam_step(updates: Sequence[tuple[Any, Any, Any, Any, Sequence[float], bool]]) -> None:
    """One step of many parameters, in place.

    Args:
        updates: for each parameter p, g, m, v, arrays of one shape and dtype, contiguous (g need not be); the numbers
            of its group: the factor of the gradient, what p is multiplied with (or with `l2` the weight of p in the
            gradient), beta1, 1 - beta1, beta2, 1 - beta2, the root of v's bias correction, eps, and the rate over m's
            bias correction; and `l2`, whether weight decay enters through the gradient.
    """
    items = []
    for p, g, m, v, numbers, l2 in updates:
        (gradient,) = arrays.inputs(g.reshape(-1))
        items.append((p.reshape(-1), gradient, m.reshape(-1), v.reshape(-1), np.array(numbers, p.dtype), l2))
    _spread(_update, items)


def sum_of_squares(grads: Sequence[Any]) -> float:
    """The sum of all squares of all arrays, each square rounded to the array's dtype, the sum in float64."""
    flat = arrays.inputs(*(grad.reshape(-1) for grad in grads))
    blocks = [(i, first) for i, x in enumerate(flat) for first in range(0, x.size, BLOCK)]
    sums = [0.0] * len(blocks)

    def part(first: int, end: int) -> None:
        for k in range(first, end):
            i, begin = blocks[k]
            sums[k] = _sum_of_squares(begin, min(begin + BLOCK, flat[i].size), flat[i])

    sizes = np.array([min(BLOCK, flat[i].size - first) for i, first in blocks])
    if sizes.sum() > GRAIN:
        threads.split_weighted(sizes, part)
    else:
        part(0, len(blocks))
    return float(sum(sums))


def scaled(grads: Sequence[Any], factor: float) -> list[Any]:
    """Each array times `factor`, in new arrays."""
    results = [np.empty(grad.shape, grad.dtype) for grad in grads]
    flat = arrays.inputs(*(grad.reshape(-1) for grad in grads))
    _spread(_scale, [(x, x.dtype.type(factor), y.reshape(-1)) for x, y in zip(flat, results, strict=True)])
    return results
