"""The residual connection: what a sub-layer found, added to what was there, and normalised."""

from __future__ import annotations

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.number_like import as_float
from minibert.ops.dropout import check_probability, dropout_scale
from minibert.philox import Key, next_key


class AddLayerNorm(Op, kernel="add_layer_norm"):
    """y = LayerNorm(residual + dropout(x + bias)), where x is the product of a dense layer, its bias not yet added.

    The same as four ops in a row: add, `Dropout`, add, `LayerNorm`. They are one op because they stand together at the
    end of each half of each layer, and because every one of them does little with much memory.

    Source: Vaswani et al., "Attention Is All You Need", sections 3.1 (LayerNorm(x + Sublayer(x))) and 5.4 (dropout on
    the sub-layer's output); Ba, Kiros, Hinton, "Layer Normalization", equation 4.
    """

    def forward(
        self, x: Array, bias: Array, residual: Array, gamma: Array, beta: Array,
        *, eps: float, p: float, key: Key | None,
    ) -> Array:  # fmt: skip
        xp = namespace(x)
        added = x + bias  # (..., H)
        if key is not None:
            added = added * dropout_scale(x, p, key)
        total = residual + added  # (..., H)
        mean = xp.mean(total, axis=-1, keepdims=True)  # (..., 1)
        centred = total - mean  # (..., H)
        var = xp.mean(centred * centred, axis=-1, keepdims=True)  # (..., 1)
        inv_std = 1.0 / xp.sqrt(var + eps)  # (..., 1)
        x_hat = centred * inv_std  # (..., H)
        self.save(x_hat, inv_std, gamma, p, key)
        return x_hat * gamma + beta

    def backward(self, dy: Array) -> tuple[Array, Array, Array, Array, Array]:
        x_hat, inv_std, gamma, p, key = self.saved
        xp = namespace(dy)
        leading = tuple(range(dy.ndim - 1))
        dgamma = xp.sum(dy * x_hat, axis=leading)  # (H,)
        dbeta = xp.sum(dy, axis=leading)  # (H,)
        dx_hat = dy * gamma  # (..., H)
        through_mean = xp.mean(dx_hat, axis=-1, keepdims=True)
        through_var = x_hat * xp.mean(dx_hat * x_hat, axis=-1, keepdims=True)
        dtotal = inv_std * (dx_hat - through_mean - through_var)  # (..., H)
        dresidual = dtotal
        dx = dtotal * 1.0 if key is None else dtotal * dropout_scale(dtotal, p, key)  # an array of its own
        dbias = xp.sum(dx, axis=leading)  # (H,)
        return dx, dbias, dresidual, dgamma, dbeta


def add_layer_norm(
    x: Tensor,
    bias: Tensor,
    residual: Tensor,
    gamma: Tensor,
    beta: Tensor,
    *,
    eps: float = 1e-12,
    p: float = 0.0,
    training: bool = False,
    key: Key | None = None,
) -> Tensor:
    """LayerNorm(residual + dropout(x + bias)) over the last axis.

    Args:
        x: (..., H), the product of a dense layer without its bias.
        bias: (H,), that layer's bias.
        residual: (..., H), of x's shape.
        gamma, beta: (H,), scale and shift of the normalisation.
        p: probability of dropping, 0 <= p < 1; nothing is dropped when not training.
        key: what to draw from, as in `dropout`; the next key of the run's sequence if None.

    Returns:
        (..., H).

    Raises:
        ValueError: the shapes do not fit, p is not in [0, 1), or eps is below 0.
    """
    p, eps = check_probability(p), as_float("eps", eps, least=0.0)
    if x.ndim == 0 or residual.shape != x.shape or any(v.shape != x.shape[-1:] for v in (bias, gamma, beta)):
        raise ValueError(
            "add_layer_norm needs x and residual of one shape (..., H), and bias, gamma, beta (H,); got "
            f"{x.shape}, {residual.shape}, {bias.shape}, {gamma.shape}, {beta.shape}"
        )
    if not training or p == 0.0:
        key = None
    elif key is None:
        key = next_key()
    return AddLayerNorm.apply(x, bias, residual, gamma, beta, eps=eps, p=p, key=key)
