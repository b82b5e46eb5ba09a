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
from minibert.number_like import is_float


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
    if not is_float(max_norm) or not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be above 0, got {max_norm!r}")
    max_norm = float(max_norm)
    params = {id(p): p for p in ([parameters] if isinstance(parameters, Tensor) else parameters)}
    grads = [p.grad for p in params.values() if p.grad is not None]
    norm, factor = norm_and_factor([grad.data for grad in grads], max_norm, error_if_nonfinite=error_if_nonfinite)
    if factor < 1:
        # new arrays: somebody may hold the old ones
        for grad, array in zip(grads, _scaled([grad.data for grad in grads], factor), strict=True):
            grad.data = array
    return norm


def norm_and_factor(grads: list[Array], max_norm: float, *, error_if_nonfinite: bool = True) -> tuple[float, float]:
    """The global norm of the arrays, and what `clip_grad_norm` would multiply them with.

    The factor is 1 at most, and 1 for a norm that is not finite.

    Raises:
        ValueError: the norm is not finite (if error_if_nonfinite).
    """
    norm = math.sqrt(_sum_of_squares(grads))
    if math.isfinite(norm):
        return norm, min(1.0, max_norm / (norm + 1e-6))
    if error_if_nonfinite:
        raise ValueError(
            f"clip_grad_norm: the norm of the gradients is {norm}: one overflowed or holds NaN; look at the loss "
            "and the learning rate, or pass error_if_nonfinite=False and skip the step"
        )
    return norm, 1.0


def _sum_of_squares(grads: list[Array]) -> float:
    """The sum in float64: in float32 small squares are lost beside a large sum. Infinity if it overflows."""
    if (kernel := backend.kernel_module("adam", grads)) is not None:
        return float(kernel.sum_of_squares(grads))
    with np.errstate(over="ignore", invalid="ignore"):
        return sum(float(xp.sum(g * g, dtype=xp.float64)) for g in grads for xp in [backend.namespace(g)])


def _scaled(grads: list[Array], factor: float) -> list[Array]:
    if (kernel := backend.kernel_module("adam", grads)) is not None:
        return list(kernel.scaled(grads, factor))
    return [grad * factor for grad in grads]
