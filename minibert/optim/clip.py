"""Clip gradients by their global norm.

Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minibert import backend
from minibert.autograd import Tensor
from minibert.backend import Array


def clip_grad_norm(parameters: Tensor | Iterable[Tensor], max_norm: float, *, error_if_nonfinite: bool = True) -> float:
    """Scale all gradients by one factor so that, as one long vector, their Euclidean norm is at most `max_norm`.

    One factor for all keeps the direction of the step; clipping each tensor by its own norm would bend it. The factor
    is max_norm / (norm + 1e-6), as in torch; when that is 1 or more, nothing changes.

    Args:
        parameters: those without a gradient are left out, and one that is listed twice counts once.
        max_norm: above 0; `math.inf` measures without clipping.
        error_if_nonfinite: what to do when a gradient holds an infinity or NaN, which no factor can mend: raise (the
            default; torch would turn every gradient into NaN), or else leave all gradients alone and return the norm
            as it is, so that the caller can skip the step.

    Returns:
        The norm before clipping.

    Raises:
        ValueError: max_norm is not above 0, or the norm is not finite.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be above 0, got {max_norm!r}")
    params = {id(p): p for p in ([parameters] if isinstance(parameters, Tensor) else parameters)}
    grads = [p.grad for p in params.values() if p.grad is not None]
    norm = math.sqrt(sum(_sum_of_squares(grad.data) for grad in grads))
    if not math.isfinite(norm):
        if error_if_nonfinite:
            raise ValueError(
                f"clip_grad_norm: the norm of the gradients is {norm}: one overflowed or holds NaN; look at the loss "
                "and the learning rate, or pass error_if_nonfinite=False and skip the step"
            )
        return norm
    factor = max_norm / (norm + 1e-6)
    if factor < 1:
        for grad in grads:
            grad.data = grad.data * factor  # a new array: somebody may hold the old one
    return norm


def _sum_of_squares(array: Array) -> float:
    """In float64: in float32 the small squares would be lost. Overflow gives infinity, which the caller reports."""
    xp = backend.namespace(array)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(xp.sum(array * array, dtype=xp.float64))
