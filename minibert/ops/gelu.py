"""GELU: the Gaussian error linear unit, exact and in its tanh approximation."""

from __future__ import annotations

import math

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.ops.normal import normal_cdf, normal_density

_SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)


class Gelu(Op, kernel="gelu"):
    """y = x Phi(x), with Phi the normal distribution function.

    Source: Hendrycks & Gimpel, "Gaussian Error Linear Units", section 2. This is what the released BERT checkpoints
    were trained with.
    """

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * normal_cdf(x)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved
        slope = normal_cdf(x) + x * normal_density(x)  # product rule: Phi' is the density
        return dy * slope


class GeluTanh(Op, kernel="gelu_tanh"):
    """y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).

    Source: the same paper's approximation; only for configurations that ask for it ("gelu_new").
    """

    def forward(self, x: Array) -> Array:
        u = _SQRT_2_OVER_PI * (x + 0.044715 * x * x * x)
        t = namespace(x).tanh(u)
        self.save(x, t)
        return 0.5 * x * (1.0 + t)

    def backward(self, dy: Array) -> Array:
        x, t = self.saved
        du = _SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044715 * x * x)
        slope = 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * du
        return dy * slope


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """GELU, elementwise.

    Args:
        x: any shape.
        approximate: "none" for the exact one, "tanh" for the approximation.

    Raises:
        ValueError: another value of `approximate`.
    """
    if approximate == "none":
        return Gelu.apply(x)
    if approximate == "tanh":
        return GeluTanh.apply(x)
    raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
