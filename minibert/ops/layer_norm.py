"""Layer normalisation."""

from __future__ import annotations

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.number_like import as_float


class LayerNorm(Op, kernel="layer_norm"):
    """y = gamma (x - mean) / sqrt(var + eps) + beta, mean and variance over the last axis.

    The variance is the biased one (divided by H, not H - 1) and eps stands inside the root.

    Source: Ba, Kiros, Hinton, "Layer Normalization", equation 4.
    """

    def forward(self, x: Array, gamma: Array, beta: Array, *, eps: float) -> Array:
        xp = namespace(x)
        mean = xp.mean(x, axis=-1, keepdims=True)  # (..., 1)
        centred = x - mean  # (..., H)
        var = xp.mean(centred * centred, axis=-1, keepdims=True)  # (..., 1)
        inv_std = 1.0 / xp.sqrt(var + eps)  # (..., 1)
        x_hat = centred * inv_std  # (..., H)
        self.save(x_hat, inv_std, gamma)
        return x_hat * gamma + beta

    def backward(self, dy: Array) -> tuple[Array, Array, Array]:
        x_hat, inv_std, gamma = self.saved
        xp = namespace(dy)
        leading = tuple(range(dy.ndim - 1))
        dgamma = xp.sum(dy * x_hat, axis=leading)  # (H,)
        dbeta = xp.sum(dy, axis=leading)  # (H,)
        dx_hat = dy * gamma  # (..., H)
        # x moves x_hat directly, through the mean, and through the variance
        through_mean = xp.mean(dx_hat, axis=-1, keepdims=True)
        through_var = x_hat * xp.mean(dx_hat * x_hat, axis=-1, keepdims=True)
        dx = inv_std * (dx_hat - through_mean - through_var)  # (..., H)
        return dx, dgamma, dbeta


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, *, eps: float = 1e-12) -> Tensor:
    """Layer normalisation over the last axis.

    Args:
        x: (..., H).
        gamma: (H,), the scale.
        beta: (H,), the shift.

    Returns:
        (..., H).

    Raises:
        ValueError: gamma or beta is not (H,); eps is no number, or below 0.
    """
    if gamma.shape != x.shape[-1:] or beta.shape != x.shape[-1:]:
        raise ValueError(
            f"layer_norm of {x.shape} needs gamma and beta {x.shape[-1:]}, got {gamma.shape}, {beta.shape}"
        )
    return LayerNorm.apply(x, gamma, beta, eps=as_float("eps", eps, least=0.0))
