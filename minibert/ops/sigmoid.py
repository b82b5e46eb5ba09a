"""The logistic function, and the activations that multiply their input by it: SiLU and the quick GELU."""

from __future__ import annotations

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace


def logistic(x: Array) -> Array:
    """1 / (1 + e^-x), from e^-|x| <= 1, so that nothing overflows and the far left tail keeps its digits."""
    xp = namespace(x)
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(x), small) / (1.0 + small)


class Sigmoid(Op):
    """y = 1 / (1 + e^-x)."""

    def forward(self, x: Array) -> Array:
        y = logistic(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved
        return dy * y * (1.0 - y)


class Silu(Op):
    """y = x sigmoid(a x), with a = `scale`.

    Sources: Elfwing, Uchibe & Doya, "Sigmoid-Weighted Linear Units", section 2 (a = 1); Ramachandran, Zoph & Le,
    "Searching for Activation Functions", section 4 (Swish, any a); Hendrycks & Gimpel, "Gaussian Error Linear Units",
    section 2 (a = 1.702, an approximation of GELU).
    """

    def forward(self, x: Array, *, scale: float) -> Array:
        s = logistic(scale * x)
        self.save(x, s, scale)
        return x * s

    def backward(self, dy: Array) -> Array:
        x, s, scale = self.saved
        slope = s + scale * x * s * (1.0 - s)  # product rule: sigmoid' = sigmoid (1 - sigmoid)
        return dy * slope


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x), elementwise."""
    return Sigmoid.apply(x)


def silu(x: Tensor, *, scale: float = 1.0) -> Tensor:
    """x sigmoid(scale * x), elementwise: SiLU, also called Swish."""
    return Silu.apply(x, scale=scale)
