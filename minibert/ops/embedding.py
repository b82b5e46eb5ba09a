"""Looking rows up in a table."""

from __future__ import annotations

from typing import Any

from minibert import backend
from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace


class Embedding(Op):
    """y[t] = W[ids[t]]: the same as a one-hot vector times W, without the multiplication."""

    def forward(self, weight: Array, *, ids: Array) -> Array:
        xp = namespace(weight)
        self.save(ids, weight.shape)
        flat = xp.take(weight, xp.reshape(ids, (-1,)), axis=0)  # (number of ids, H)
        return xp.reshape(flat, (*ids.shape, weight.shape[1]))

    def backward(self, dy: Array) -> Array:
        ids, (vocabulary, hidden) = self.saved
        xp = namespace(dy)
        # a word that stands in many places gets the sum of its gradients
        return backend.scatter_add(xp.reshape(ids, (-1,)), xp.reshape(dy, (-1, hidden)), vocabulary)  # (V, H)


def embedding(ids: Any, weight: Tensor) -> Tensor:
    """Rows of `weight` for each id.

    Args:
        ids: integers, any shape (...).
        weight: (V, H).

    Returns:
        (..., H).

    Raises:
        ValueError: ids that are not integers, or outside 0..V-1.
    """
    given, ids = ids, backend.index_array(ids, like=weight.data)
    xp = namespace(ids)
    if not xp.isdtype(ids.dtype, "integral"):
        raise ValueError(f"ids must be integers, got {ids.dtype}")
    if ids.size:
        check_range(backend.checkable(given, ids), weight.shape[0], "ids")
    return Embedding.apply(weight, ids=ids)


def check_range(ids: Array, limit: int, what: str) -> None:
    """Refuse integers outside 0..limit-1 (NumPy would quietly count negative ones from the end)."""
    xp = namespace(ids)
    low, high = int(xp.min(ids)), int(xp.max(ids))
    if low < 0 or high >= limit:
        raise ValueError(f"{what} must lie in 0..{limit - 1}, got {low if low < 0 else high}")
