"""A BERT of odd sizes, so that an axis in the wrong place cannot hide; a ragged batch, a hole in a mask, labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert import BertConfig, manual_seed
from minibert.nn import Module

CONFIG = {
    "vocab_size": 37, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 17,
    "max_position_embeddings": 11, "type_vocab_size": 3,
}  # fmt: skip


def config(**changes: Any) -> BertConfig:
    return BertConfig(**{**CONFIG, **changes})


@dataclass
class Batch:
    ids: np.ndarray
    mask: np.ndarray
    types: np.ndarray
    labels: np.ndarray
    relation: np.ndarray

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        return {"input_ids": self.ids, "attention_mask": self.mask, "token_type_ids": self.types}


def batch(seed: int = 0, B: int = 4, S: int = 7) -> Batch:
    """Row 0 is full, row 1 ends early, row 2 has a hole, the others have drawn lengths. Label 0 is among the labels."""
    rng = np.random.default_rng(seed)
    ids, types = rng.integers(0, 37, (B, S)), rng.integers(0, 3, (B, S))
    lengths = rng.integers(1, S + 1, B)
    lengths[:3] = S, S - 2, S
    mask = (np.arange(S) < lengths[:, None]).astype(np.int64)
    mask[2, 3] = 0
    labels = np.where(rng.random((B, S)) < 0.5, rng.integers(0, 37, (B, S)), -100)
    labels[0, 1:3] = 0, 5
    return Batch(ids, mask, types, np.where(mask == 1, labels, -100), rng.integers(0, 2, B))


def model(cls: type[Any], *, seed: int = 1, dtype: str = "float64", scale: float = 0.3, **changes: Any) -> Any:
    """A model with weights and biases large enough for every part to matter, in evaluation mode."""
    manual_seed(seed)
    made: Module = cls(config(**changes)).to(dtype=dtype).eval()
    rng = np.random.default_rng(seed)
    for name, parameter in made.named_parameters():
        centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0  # scales near 0 would fade everything before them
        parameter.data = (centre + scale * rng.standard_normal(parameter.shape)).astype(dtype)
    return made
