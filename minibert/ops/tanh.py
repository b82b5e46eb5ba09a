"""tanh: the pooler's activation."""

from __future__ import annotations

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace


class Tanh(Op, kernel="tanh"):
    """y = tanh x."""

    def forward(self, x: Array) -> Array:
        y = namespace(x).tanh(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved
        return dy * (1.0 - y * y)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, elementwise."""
    return Tanh.apply(x)
