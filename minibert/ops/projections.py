"""Several linear layers of one input at once: queries, keys and values."""

from __future__ import annotations

from collections.abc import Sequence

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace


class Projections(Op, kernel="projections"):
    """y_i = x W_i^T + b_i for i = 1..n, one behind the other.

    Source: Vaswani et al., section 3.2.2, the products with W^Q, W^K and W^V of all heads together.
    """

    def forward(self, x: Array, *parameters: Array) -> Array:
        weights, biases = parameters[::2], parameters[1::2]
        xp = namespace(x)
        self.save(x, *weights)
        return xp.stack([xp.matmul(x, xp.matrix_transpose(w)) + b for w, b in zip(weights, biases, strict=True)])

    def backward(self, dy: Array) -> tuple[Array, ...]:
        x, *weights = self.saved
        xp = namespace(dy)
        dx = xp.zeros_like(x)  # (T, I)
        dparameters = []
        for i, weight in enumerate(weights):
            dy_i = dy[i, ...]  # (T, O)
            dx += xp.matmul(dy_i, weight)
            dparameters += [xp.matmul(xp.matrix_transpose(dy_i), x), xp.sum(dy_i, axis=0)]  # (O, I), (O,)
        return dx, *dparameters


def projections(x: Tensor, layers: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """x W^T + b for several pairs of W and b.

    Args:
        x: (T, I).
        layers: n pairs of a weight (O, I) and a bias (O,).

    Returns:
        (n, T, O).

    Raises:
        ValueError: the shapes do not fit.
    """
    first = layers[0][0].shape
    if x.ndim != 2 or any(w.shape != first or w.shape[-1] != x.shape[-1] or b.shape != w.shape[:1] for w, b in layers):
        shapes = [(w.shape, b.shape) for w, b in layers]
        raise ValueError(f"projections needs x (T, I) and pairs (O, I), (O,) of one shape; got {x.shape} and {shapes}")
    return Projections.apply(x, *(parameter for pair in layers for parameter in pair))
