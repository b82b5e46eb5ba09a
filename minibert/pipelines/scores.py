"""Scores from logits. They are few, so they are computed in float64 whatever the model's dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["sigmoid", "softmax", "top"]

Scores = NDArray[np.float64]


def softmax(logits: Any) -> Scores:
    """Probabilities over the last axis."""
    x = np.asarray(logits, np.float64)
    e: Scores = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def sigmoid(logits: Any) -> Scores:
    """1 / (1 + exp(-x)), by way of tanh, which cannot overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, np.float64)))


def top(scores: Scores, k: int) -> NDArray[np.intp]:
    """The places of the k largest of a row of scores, best first; of equal ones the first."""
    if k < len(scores):
        least = np.partition(scores, -k)[-k]  # sorting 30,000 scores for the best five would take longer than the rest
        near = np.flatnonzero(scores >= least)
    else:
        near = np.arange(len(scores))
    best: NDArray[np.intp] = near[np.argsort(-scores[near], kind="stable")][:k]
    return best
