"""Cross-entropy between scores and labels, and its two-class form for several labels at once."""

from __future__ import annotations

from typing import Any

from minibert import backend
from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.ops.embedding import check_range
from minibert.ops.sigmoid import logistic
from minibert.ops.softmax import softmax_forward

IGNORE_INDEX = -100
"""Label of a row that does not count, as everywhere in the field."""


class CrossEntropy(Op, kernel="cross_entropy"):
    """loss = mean over the rows that count of  ln(sum_k exp(x_k)) - x_label.

    Worked out from the scores: ln of a probability that has rounded to 0 would be -inf. With no row that counts the
    loss is 0.
    """

    def forward(self, logits: Array, *, labels: Array, ignore_index: int) -> Array:
        xp = namespace(logits)
        counts = labels != ignore_index  # (M,)
        label = xp.where(counts, labels, xp.zeros_like(labels))  # (M,)
        top = xp.max(logits, axis=-1, keepdims=True)  # (M, 1)
        log_sum_exp = xp.log(xp.sum(xp.exp(logits - top), axis=-1, keepdims=True)) + top  # (M, 1)
        at_label = xp.take_along_axis(logits, xp.expand_dims(label, axis=-1), axis=-1)  # (M, 1)
        loss = xp.where(xp.expand_dims(counts, axis=-1), log_sum_exp - at_label, xp.zeros_like(at_label))  # (M, 1)
        n = max(int(xp.sum(xp.astype(counts, xp.int64))), 1)
        self.save(logits, label, counts, n)
        return xp.asarray(xp.sum(loss) / n)

    def backward(self, dloss: Array) -> Array:
        logits, label, counts, n = self.saved
        xp = namespace(logits)
        p = softmax_forward(logits)  # (M, V)
        classes = xp.arange(logits.shape[-1], dtype=label.dtype, device=label.device)
        target = xp.astype(classes == xp.expand_dims(label, axis=-1), p.dtype)  # (M, V), one-hot
        weight = xp.expand_dims(xp.astype(counts, p.dtype), axis=-1) * (dloss / n)  # (M, 1)
        return (p - target) * weight


class BinaryCrossEntropy(Op):
    """loss = mean of  max(x, 0) - x y + ln(1 + exp(-|x|)): each score its own yes-or-no question.

    The rearranged form of -y ln s(x) - (1 - y) ln(1 - s(x)), s the logistic function, that cannot overflow.
    """

    def forward(self, logits: Array, *, targets: Array) -> Array:
        xp = namespace(logits)
        self.save(logits, targets)
        positive = xp.where(logits > 0, logits, xp.zeros_like(logits))
        loss = positive - logits * targets + xp.log1p(xp.exp(-xp.abs(logits)))
        return xp.asarray(xp.mean(loss))

    def backward(self, dloss: Array) -> Array:
        logits, targets = self.saved
        return (logistic(logits) - targets) * (dloss / logits.size)


def cross_entropy(logits: Tensor, labels: Any, *, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Mean cross-entropy over the rows whose label is not `ignore_index`.

    Args:
        logits: (M, V) scores, any real numbers.
        labels: (M,) integers in 0..V-1, or `ignore_index`.

    Returns:
        A single number; 0 when no row counts.

    Raises:
        ValueError: shapes that do not fit, labels that are not integers or are out of range.
    """
    given, labels = labels, backend.index_array(labels, like=logits.data)
    if logits.ndim != 2 or tuple(labels.shape) != logits.shape[:1]:
        raise ValueError(
            f"cross_entropy needs logits (M, V) and labels (M,), got {logits.shape} and {tuple(labels.shape)}"
        )
    check_labels(backend.checkable(given, labels), logits.shape[1], ignore_index)
    return CrossEntropy.apply(logits, labels=labels, ignore_index=ignore_index)


def check_labels(labels: Array, classes: int, ignore_index: int) -> None:
    """ValueError unless labels are integers in 0..classes-1, or `ignore_index`."""
    xp = namespace(labels)
    if not xp.isdtype(labels.dtype, "integral"):
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    if labels.size:
        counted = xp.where(labels == ignore_index, xp.zeros_like(labels), labels)
        check_range(counted, classes, f"labels (other than {ignore_index})")


def binary_cross_entropy(logits: Tensor, targets: Any) -> Tensor:
    """Mean over all elements of the two-class cross-entropy between scores and targets.

    Args:
        logits: any shape.
        targets: the same shape, numbers in 0..1.

    Raises:
        ValueError: the shapes differ.
    """
    targets = backend.asarray(targets.data if isinstance(targets, Tensor) else targets, like=logits.data)
    if tuple(targets.shape) != logits.shape:
        raise ValueError(f"targets have shape {tuple(targets.shape)}, logits {logits.shape}; they must be equal")
    return BinaryCrossEntropy.apply(logits, targets=targets)
