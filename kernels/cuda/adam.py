"""Launching adam.cu: a step of all parameters, and the global norm of the gradients; the GPU is asked nothing.

Norm and factor are arrays of one number on the device. Where the CPU's sibling raises because a norm is not finite,
here the factor is NaN and the step leaves everything as it is: to raise, somebody would have to wait.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import float32, int32

from .launch import ceil_div, contiguous, launch, namespace, queue_of

THREADS, PIECE = 256, 4096
"""As in adam.cu."""


def adam_step(
    updates: Sequence[tuple[Any, Any, Any, Any, Sequence[Any], bool]], skipped: Any = None
) -> None:
    """One step of many parameters, in place.

    Args:
        updates: as for the CPU's `adam_step`: for each parameter p, g, m, v, the numbers of its group, and `l2`. The
            first of the numbers, the factor of the gradients, is the same for all, and may be an array on the device.
            With `skipped`, the numbers (now a list, the same for all of a group) are those for 0, 1, ... steps that
            were left out.
        skipped: (1,) int32 on the device: how many steps were left out. None, and `numbers` is a single case.
    """
    given = [(p, contiguous(g), m, v) for p, g, m, v, _, _ in updates]
    xp, lines, cases = namespace(given[0][0]), list[int](), list[list[Any]]()
    known: dict[Any, int] = {}
    for *_, numbers, l2 in updates:
        key = (id(numbers) if skipped is not None else tuple(numbers[1:]), l2)
        if key not in known:
            known[key] = len(cases)
            cases += [[*case[1:], l2] for case in (numbers if skipped is not None else [numbers])]
        lines.append(known[key])
    factor = updates[0][4][0] if skipped is None else updates[0][4][0][0]
    if not hasattr(factor, "dtype") or isinstance(factor, np.generic):
        factor = xp.asarray(np.full(1, factor, np.float32))
    skipped = xp.asarray(np.zeros(1, np.int32)) if skipped is None else skipped
    pieces = _pieces(tuple(p.size for p, *_ in given), xp, queue_of(given[0][0]))
    arguments = _table(given, lines), pieces, xp.asarray(np.array(cases, np.float32)), factor.reshape(1), skipped
    launch("adam", "adam_step", (pieces.shape[0],), (THREADS,), arguments, touches=[x for four in given for x in four])


def norm_and_factor(grads: Sequence[Any], max_norm: float, scale: Any = None) -> tuple[Any, Any]:
    """The global norm of all gradients times `scale`, and what they are to be multiplied with; each a single number.

    Args:
        scale: (1,) on the device, what gradients are multiplied with before all else; 1 if None.
    """
    grads = [contiguous(g) for g in grads]
    xp = namespace(grads[0])
    pieces = _pieces(tuple(g.size for g in grads), xp, queue_of(grads[0]))
    partial, norm = xp.empty(pieces.shape[0], dtype="float32"), xp.empty(2, dtype="float32")
    table, shared = _table([(g, g, g, g) for g in grads], [0] * len(grads)), 4 * (THREADS // 32)
    grid, block = (pieces.shape[0],), (THREADS,)
    launch("adam", "sum_of_squares", grid, block, (table, pieces, partial), shared=shared, touches=grads)
    scale = xp.asarray(np.ones(1, np.float32)) if scale is None else scale
    arguments = partial, norm, int32(pieces.shape[0]), float32(max_norm), scale
    launch("adam", "norm_and_factor", (1,), (THREADS,), arguments, shared=8 * THREADS)
    return norm[0], norm[1]


def sum_of_squares(grads: Sequence[Any]) -> float:
    """The sum of all squares of all arrays; waits for the GPU."""
    norm, _ = norm_and_factor(grads, math.inf)
    return float(norm) ** 2


def scaled(grads: Sequence[Any], factor: float) -> list[Any]:
    """Each array times `factor`, in new arrays."""
    return [g * float32(factor) for g in grads]


def _table(arrays: Sequence[tuple[Any, Any, Any, Any]], lines: Sequence[int]) -> Any:
    """(n, 6) on the device: four addresses, the length, and the row of the numbers."""
    rows = [[*(x.data.ptr for x in four), four[0].size, line] for four, line in zip(arrays, lines, strict=True)]
    return namespace(arrays[0][0]).asarray(np.array(rows, np.int64))


@functools.lru_cache(maxsize=16)  # the same at every step
def _pieces(sizes: tuple[int, ...], xp: Any, queue: tuple[int, int]) -> Any:
    """(blocks, 2) on the device: the number of an array, and of a piece of it."""
    rows = [(i, piece) for i, size in enumerate(sizes) for piece in range(ceil_div(size, PIECE))]
    return xp.asarray(np.array(rows, np.int32).reshape(-1, 2))
