"""A bias and GELU together: what stands between the two products of the feed-forward layer."""

from __future__ import annotations

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.ops.normal import normal_cdf, normal_density


class BiasGelu(Op, kernel="bias_gelu"):
    """y = u Phi(u) with u = x + b.

    The same as an addition and a `Gelu`; one op, because this array is the widest of the model and a kernel can then
    pass over it once instead of twice.
    """

    def forward(self, x: Array, bias: Array) -> Array:
        self.save(x, bias)
        u = x + bias  # (..., F)
        return u * normal_cdf(u)

    def backward(self, dy: Array) -> tuple[Array | None, Array | None]:
        x, bias = self.saved
        u = x + bias
        dx = dy * (normal_cdf(u) + u * normal_density(u))  # (..., F); product rule, Phi' is the density
        dbias = namespace(dx).sum(dx, axis=tuple(range(dx.ndim - 1))) if self.needs[1] else None  # (F,)
        return (dx if self.needs[0] else None), dbias


def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    """gelu(x + bias), the exact GELU.

    Args:
        x: (..., F).
        bias: (F,).

    Returns:
        (..., F).

    Raises:
        ValueError: the shapes do not fit.
    """
    if x.ndim == 0 or bias.shape != x.shape[-1:]:
        raise ValueError(f"bias_gelu needs x (..., F) and bias (F,); got {x.shape} and {bias.shape}")
    return BiasGelu.apply(x, bias)
