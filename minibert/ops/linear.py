"""The linear layer's product."""

from __future__ import annotations

import math

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace


class Linear(Op, kernel="linear"):
    """y = x W^T + b.

    The weight is stored (out, in), as in the published checkpoints: a row of W holds what one output looks at.
    """

    def forward(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        xp = namespace(x)
        self.save(x, weight)
        flat = xp.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))  # (R, I)
        y = xp.matmul(flat, xp.matrix_transpose(weight))  # (R, O)
        if bias is not None:
            y += bias
        return xp.reshape(y, (*x.shape[:-1], weight.shape[0]))

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, weight = self.saved
        xp = namespace(dy)
        rows = math.prod(x.shape[:-1])
        dy = xp.reshape(dy, (rows, weight.shape[0]))  # (R, O)
        x_shape, x = x.shape, xp.reshape(x, (rows, x.shape[-1]))  # (R, I)
        dx = xp.reshape(xp.matmul(dy, weight), x_shape) if self.needs[0] else None
        dweight = xp.matmul(xp.matrix_transpose(dy), x) if self.needs[1] else None  # (O, I)
        dbias = [xp.sum(dy, axis=0) if wanted else None for wanted in self.needs[2:]]  # (O,), if there is a bias
        return dx, dweight, *dbias


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b.

    Args:
        x: (..., I).
        weight: (O, I).
        bias: (O,), or None for no bias.

    Returns:
        (..., O).

    Raises:
        ValueError: the shapes do not fit.
    """
    fits = x.ndim > 0 and weight.ndim == 2 and x.shape[-1] == weight.shape[1]
    if not fits or (bias is not None and bias.shape != weight.shape[:1]):
        shapes = [None if t is None else t.shape for t in (x, weight, bias)]
        raise ValueError(
            f"linear needs x (..., I), weight (O, I), bias (O,); got {shapes[0]}, {shapes[1]}, {shapes[2]}"
        )
    return Linear.apply(x, weight) if bias is None else Linear.apply(x, weight, bias)
