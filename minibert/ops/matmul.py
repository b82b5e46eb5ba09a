"""Matrix product."""

from __future__ import annotations

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.ops.broadcast import operand, unbroadcast


class Matmul(Op):
    """c = a b over the last two axes; leading axes broadcast."""

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return namespace(a).matmul(a, b)

    def backward(self, dc: Array) -> tuple[Array, Array]:
        a, b = self.saved
        xp = namespace(dc)
        da = xp.matmul(dc, xp.matrix_transpose(b))
        db = xp.matmul(xp.matrix_transpose(a), dc)
        return unbroadcast(da, a.shape), unbroadcast(db, b.shape)


def matmul(a: Tensor | Array, b: Tensor | Array) -> Tensor:
    """a @ b: (..., n, k) and (..., k, m) give (..., n, m); vectors as in NumPy.

    Raises:
        ValueError: the inner lengths differ.
    """
    like = next((v.data for v in (a, b) if isinstance(v, Tensor)), None)
    a, b = (v if isinstance(v, Tensor) else Tensor(v) if like is None else operand(v, like) for v in (a, b))
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"matmul needs (..., n, k) and (..., k, m), got {a.shape} and {b.shape}")
    if a.ndim == 1 and b.ndim == 1:
        return (a * b).sum()
    if a.ndim == 1:
        c = Matmul.apply(a.reshape(1, -1), b)
        return c.reshape(*c.shape[:-2], c.shape[-1])
    if b.ndim == 1:
        c = Matmul.apply(a, b.reshape(-1, 1))
        return c.reshape(*c.shape[:-1])
    return Matmul.apply(a, b)
