"""The numbers that go into a workload: the same in every process, drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.bench.workloads import SIZES, Workload
from minibert.config import BertConfig

MASKED = 0.15
"""Share of tokens with a label in pretraining. (BERT, section 3.1)"""


def config_of(size: str) -> BertConfig:
    """The configuration of a model of this size."""
    return BertConfig(**SIZES[size])


@dataclass(frozen=True)
class Batch:
    """A padded batch. B sequences, S positions, in int64.

    Attributes:
        ids: (B, S); 0 at pads.
        mask: (B, S), 1 for tokens.
        labels: (B, S) a word for 15 % of the tokens, -100 elsewhere.
        relation: (B,) labels of next-sentence prediction, or of a classifier with two classes.
    """

    ids: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    relation: np.ndarray


def batch(workload: Workload, config: BertConfig) -> Batch:
    """The batch of a workload, padded on the right to its longest sequence."""
    rng = np.random.default_rng(20181011)
    lengths = np.array(workload.lengths)
    B, S, V = len(lengths), int(lengths.max()), config.vocab_size
    mask = (np.arange(S) < lengths[:, None]).astype(np.int64)  # (B, S)
    ids = rng.integers(V // 8, V, (B, S)) * mask  # (B, S); low ids are special tokens
    picked = (rng.random((B, S)) < MASKED) & (mask == 1)
    picked[:, 1] = True  # every sequence has one, however short
    labels = np.where(picked, rng.integers(V // 8, V, (B, S)), -100)  # (B, S)
    return Batch(ids, mask, labels, rng.integers(0, 2, B))


def sorted_batches(lengths: tuple[int, ...], size: int = 16) -> list[np.ndarray]:
    """Numbers of sequences, in batches of similar length: what users do against padding. At most `size` in each."""
    order = np.argsort(lengths, kind="stable")
    return [order[first : first + size] for first in range(0, len(order), size)]


def attention_arrays(workload: Workload, config: BertConfig) -> dict[str, np.ndarray]:
    """q, k, v and the gradient dcontext, each (B, S, N, D) float32, of sequences of one length."""
    rng = np.random.default_rng(20170612)
    shape = (len(workload.lengths), workload.lengths[0], config.num_attention_heads, config.head_size)
    return {name: rng.standard_normal(shape, dtype=np.float32) for name in ("q", "k", "v", "dcontext")}


def gradient_summary(named: Any) -> dict[str, np.ndarray]:
    """What two libraries' gradients are compared by: of each its norm and eight of its numbers, over the global norm.

    Args:
        named: pairs (name, gradient as array).

    Returns:
        For each name (9,) float64.
    """
    rows = {}
    for name, gradient in named:
        flat = np.asarray(gradient).reshape(-1)
        few = flat[:: max(1, flat.size // 8)][:8].astype(np.float64)
        rows[f"gradient of {name}"] = np.array([np.sqrt(float(flat @ flat)), *few, *[0.0] * (8 - len(few))])
    total = np.sqrt(sum(row[0] ** 2 for row in rows.values()))
    return {name: row / total for name, row in rows.items()}
