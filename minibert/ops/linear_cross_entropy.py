"""The masked-word decoder and its loss as one op: scores of every word of the vocabulary, never kept."""

from __future__ import annotations

from typing import Any

from minibert import backend
from minibert.autograd import Op, Tensor
from minibert.backend import Array
from minibert.ops.cross_entropy import IGNORE_INDEX, CrossEntropy, check_labels
from minibert.ops.linear import Linear


class LinearCrossEntropy(Op, kernel="linear_cross_entropy", kernel_parts=(Linear, CrossEntropy)):
    """loss = mean over the rows that count of  ln(sum_k exp(y_k)) - y_label,  y = x W^T + b.

    It is the one op after the other, forward and backward. What is gained by having them together is memory: 2048
    masked words against a vocabulary of 30,522 are 250 MB of scores, and as much again for their gradient. The kernel
    takes a block of rows at a time and turns its scores into their gradient in place.
    """

    def forward(self, x: Array, weight: Array, bias: Array, *, labels: Array, ignore_index: int) -> Array:
        linear, cross_entropy = Linear(), CrossEntropy()
        logits = linear.forward(x, weight, bias)  # (M, V)
        loss = cross_entropy.forward(logits, labels=labels, ignore_index=ignore_index)
        self.save(linear.saved, cross_entropy.saved)
        return loss

    def backward(self, dloss: Array) -> tuple[Array | None, ...]:
        linear, cross_entropy = Linear(), CrossEntropy()
        linear.saved, cross_entropy.saved = self.saved
        linear.needs = self.needs
        return linear.backward(cross_entropy.backward(dloss))


def linear_cross_entropy(
    x: Tensor, weight: Tensor, bias: Tensor, labels: Any, *, ignore_index: int = IGNORE_INDEX
) -> Tensor:
    """cross_entropy(linear(x, weight, bias), labels).

    Args:
        x: (M, H).
        weight: (V, H).
        bias: (V,).
        labels: (M,) integers in 0..V-1, or `ignore_index` for a row that does not count.

    Returns:
        A single number, the mean over the rows that count; 0 when there are none.

    Raises:
        ValueError: shapes that do not fit, labels that are not integers or are out of range.
    """
    given, labels = labels, backend.index_array(labels, like=x.data)
    shapes = (x.shape, weight.shape, bias.shape, tuple(labels.shape))
    M, H, V = x.shape[0] if x.ndim else 0, x.shape[-1] if x.ndim else 0, weight.shape[0] if weight.ndim else 0
    if shapes != ((M, H), (V, H), (V,), (M,)):
        raise ValueError(
            "linear_cross_entropy needs x (M, H), weight (V, H), bias (V,) and labels (M,); got "
            + ", ".join(map(str, shapes))
        )
    check_labels(backend.checkable(given, labels), V, ignore_index)
    return LinearCrossEntropy.apply(x, weight, bias, labels=labels, ignore_index=ignore_index)
