"""The encoder without a tape: all layers in the same few arrays.

With nothing to keep for a backward pass, an array is free as soon as the next step has read it. So the states are
overwritten by each LayerNorm, GELU is applied to rows of a product as soon as they are complete, and the wide states of
the feed-forward part lie where queries, keys, values and context were: BERT-base with 8 x 128 tokens works in 19 MB,
which a third-level cache can hold.

Everything is the formulas of `minibert.ops` (projections, attention, linear, add_layer_norm, bias_gelu).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .add_layer_norm import add_layer_norm_in_place
from .attention import attend
from .few_rows_encoder import MOST_ROWS, few_rows_encoder
from .matmul import linear, multiply

Layer = Sequence[np.ndarray]


def encoder(x: np.ndarray, starts: Sequence[int], layers: Sequence[Layer], *, heads: int, eps: float) -> np.ndarray:
    """The states after the last layer.

    Args:
        x: (T, H), T >= 1.
        starts: where each sequence begins, and T.
        layers: of each, weight and bias of query, key, value and attention.output.dense, attention.output.LayerNorm,
            then of intermediate.dense, output.dense and output.LayerNorm: 16 arrays.
        heads: N.
        eps: of the LayerNorms.

    Returns:
        (T, H).
    """
    T, H = x.shape
    if T <= MOST_ROWS:
        return few_rows_encoder(x, starts, layers, heads=heads, eps=eps)
    F = len(layers[0][10])
    shared = np.empty(T * max(4 * H, F), x.dtype)
    qkv, context = shared[: 3 * T * H].reshape(3, T, heads, H // heads), shared[3 * T * H : 4 * T * H].reshape(T, H)
    wide, sums, states = shared[: T * F].reshape(T, F), np.empty_like(x), np.array(x)
    for layer in layers:
        for part, weight, bias in zip(qkv, layer[0:6:2], layer[1:6:2], strict=True):
            linear(states, weight, bias, part.reshape(T, H))
        attend(qkv, starts, context.reshape(T, heads, -1))
        linear(context, layer[6], None, sums)
        add_layer_norm_in_place(sums, layer[7], states, *layer[8:10], eps=eps)
        multiply(states, layer[10].T, layer[11], wide, gelu=True)
        linear(wide, layer[12], None, sums)
        add_layer_norm_in_place(sums, layer[13], states, *layer[14:16], eps=eps)
    return states
