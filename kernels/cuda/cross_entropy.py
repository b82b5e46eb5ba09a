"""Launching cross_entropy.cu: the mean cross-entropy of rows of scores."""

from __future__ import annotations

from typing import Any

from numpy import int32, int64

from .launch import contiguous, launch, namespace, real

THREADS = 256
SHARED = 2 * (THREADS // 32) * 4
"""Bytes: two floats a warp."""


def as_labels(labels: Any) -> Any:
    """Labels as the kernels read them."""
    return contiguous(labels if str(labels.dtype) == "int64" else labels.astype("int64"))


def row_weight(labels: Any, ignore_index: int) -> Any:
    """(1,): 1 / the number of rows that count, on the device."""
    weight, M = namespace(labels).empty(1, dtype="float32"), labels.shape[0]
    arguments = labels, weight, int32(M), int64(ignore_index)
    launch("cross_entropy", "weigh_rows", (1,), (THREADS,), arguments, shared=SHARED)
    return weight


def mean_loss(losses: Any, weight: Any) -> Any:
    """The sum of losses (M,) times weight (1,): a single number, on the device."""
    loss, M = namespace(losses).empty(1, dtype="float32"), losses.shape[0]
    launch("cross_entropy", "mean_loss", (1,), (THREADS,), (losses, weight, loss, int32(M)), shared=SHARED)
    return loss.reshape(())


def cross_entropy_forward(logits: Any, *, labels: Any, ignore_index: int) -> tuple[Any, tuple[Any, ...]]:
    """logits (M, V), labels (M,): the mean loss over the rows that count, float32, and what backward needs."""
    logits, labels = contiguous(logits), as_labels(labels)
    xp, (M, V) = namespace(logits), logits.shape
    losses, logs = xp.empty(M, dtype="float32"), xp.empty(M, dtype="float32")
    arguments = logits, labels, losses, logs, int32(V), int64(ignore_index)
    defines = {"REAL": real(logits)}
    launch("cross_entropy", "cross_entropy_forward", (M,), (THREADS,), arguments, shared=SHARED, defines=defines)
    weight = row_weight(labels, ignore_index)
    return mean_loss(losses, weight), (logits, labels, logs, weight)


def cross_entropy_backward(
    dloss: Any, saved: tuple[Any, ...], needs: tuple[bool, ...], *, labels: Any, ignore_index: int
) -> tuple[Any, ...]:
    """dlogits (M, V)."""
    logits, labels, logs, weight = saved
    M, V = logits.shape
    dlogits = namespace(logits).empty((M, V), dtype=logits.dtype)
    arguments = logits, labels, logs, weight, dloss.reshape(1), dlogits, int32(V), int64(ignore_index)
    defines = {"REAL": real(logits)}
    launch("cross_entropy", "cross_entropy_backward", (M,), (THREADS,), arguments, defines=defines)
    return (dlogits,)
