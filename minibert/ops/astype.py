"""Another dtype for the same numbers."""

from __future__ import annotations

from typing import Any

from minibert import backend
from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace


class AsType(Op):
    """y = x in another dtype, rounded if that is narrower; the gradient comes back in x's own."""

    def forward(self, x: Array, *, dtype: Any) -> Array:
        self.save(x.dtype)
        return namespace(x).astype(x, dtype, copy=False)

    def backward(self, dy: Array) -> Array:
        (dtype,) = self.saved
        return namespace(dy).astype(dy, dtype, copy=False)


def astype(x: Tensor, dtype: Any) -> Tensor:
    """x in another dtype. Integers and booleans have no gradient, so the tape ends at them.

    Args:
        dtype: its name ("float32", "int64", ...), or NumPy's object for it.

    Raises:
        ValueError: a dtype that is not known.
    """
    return AsType.apply(x, dtype=dtype if dtype is x.dtype else backend.dtype_of(x.data, dtype))
