"""BERT once more, as the paper tells it: padded batches, an additive mask, one function, no engine.

Slow and plain on purpose, and sharing no line with the library: what the tests without torch hold the model against.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minibert.config import BertConfig

_erf = np.vectorize(math.erf, otypes=[np.float64])


def layer_norm(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str, eps: float) -> np.ndarray:
    spread = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    return (x - x.mean(axis=-1, keepdims=True)) / spread * weights[name + ".weight"] + weights[name + ".bias"]


def dense(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return np.einsum("...i,oi->...o", x, weights[name + ".weight"]) + weights[name + ".bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1.0 + _erf(x / math.sqrt(2.0)))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@dataclass
class Reference:
    hidden: np.ndarray  # (B, S, H)
    pooled: np.ndarray  # (B, H)
    words: np.ndarray  # (B, S, V)
    relation: np.ndarray  # (B, 2)
    maps: list[np.ndarray]  # (B, N, S, S) each


def run(
    config: BertConfig, weights: Mapping[str, np.ndarray], ids: np.ndarray, mask: np.ndarray, types: np.ndarray
) -> Reference:
    """A `BertForPreTraining` with these weights, on a padded batch, in float64."""
    w, eps, N = (
        {k: np.asarray(v, np.float64) for k, v in weights.items()},
        config.layer_norm_eps,
        config.num_attention_heads,
    )
    S, D = ids.shape[1], config.hidden_size // N
    x = w["bert.embeddings.word_embeddings.weight"][ids]
    x = x + w["bert.embeddings.position_embeddings.weight"][:S][None]
    x = x + w["bert.embeddings.token_type_embeddings.weight"][types]
    x = layer_norm(x, w, "bert.embeddings.LayerNorm", eps)
    hide = np.where(mask[:, None, None, :] == 1, 0.0, -1e30)  # added to the scores, before softmax
    maps = []
    for i in range(config.num_hidden_layers):
        at = f"bert.encoder.layer.{i}."
        context, heads = np.zeros_like(x), []
        q, k, v = (dense(x, w, f"{at}attention.self.{name}") for name in ("query", "key", "value"))
        for n in range(N):
            part = slice(n * D, (n + 1) * D)  # head n owns columns n D to (n + 1) D
            scores = np.einsum("bid,bjd->bij", q[..., part], k[..., part]) / math.sqrt(D)
            p = softmax(scores + hide[:, 0])
            context[..., part] = np.einsum("bij,bjd->bid", p, v[..., part])
            heads.append(p)
        maps.append(np.stack(heads, axis=1))
        x = layer_norm(x + dense(context, w, f"{at}attention.output.dense"), w, f"{at}attention.output.LayerNorm", eps)
        widened = gelu(dense(x, w, f"{at}intermediate.dense"))
        x = layer_norm(x + dense(widened, w, f"{at}output.dense"), w, f"{at}output.LayerNorm", eps)
    pooled = np.tanh(dense(x[:, 0], w, "bert.pooler.dense"))
    h = gelu(dense(x, w, "cls.predictions.transform.dense"))
    h = layer_norm(h, w, "cls.predictions.transform.LayerNorm", eps)
    words = np.einsum("bsh,vh->bsv", h, w["bert.embeddings.word_embeddings.weight"]) + w["cls.predictions.bias"]
    return Reference(x, pooled, words, dense(pooled, w, "cls.seq_relationship"), maps)


def mean_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -ln softmax(logits)[label] over the labels that are not -100."""
    rows, y = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    return float(np.mean([-math.log(softmax(row)[label]) for row, label in zip(rows, y, strict=True) if label != -100]))
