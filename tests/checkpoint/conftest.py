"""A tiny checkpoint with odd sizes, in which no axis can be taken for another."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 99,
    "hidden_size": 39,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 37,
    "max_position_embeddings": 17,
    "type_vocab_size": 2,
}


def shapes_of(head: str, *, prefix: str = "bert.", labels: int = 2) -> dict[str, tuple[int, ...]]:
    """Names and shapes as transformers saves them. `head`: "", "pooler", "mlm", "pretraining" or "classifier"."""
    vocabulary, hidden, inner, positions = 99, 39, 37, 17
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefix}embeddings.word_embeddings.weight": (vocabulary, hidden),
        f"{prefix}embeddings.position_embeddings.weight": (positions, hidden),
        f"{prefix}embeddings.token_type_embeddings.weight": (2, hidden),
    }

    def norm(name: str) -> None:
        shapes[f"{name}.LayerNorm.weight"] = shapes[f"{name}.LayerNorm.bias"] = (hidden,)

    def linear(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    norm(f"{prefix}embeddings")
    for number in range(2):
        layer = f"{prefix}encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(f"{layer}.attention.{part}", hidden, hidden)
        norm(f"{layer}.attention.output")
        linear(f"{layer}.intermediate.dense", hidden, inner)
        linear(f"{layer}.output.dense", inner, hidden)
        norm(f"{layer}.output")
    if head in ("pooler", "pretraining", "classifier"):
        linear(f"{prefix}pooler.dense", hidden, hidden)
    if head in ("mlm", "pretraining"):
        shapes["cls.predictions.bias"] = (vocabulary,)
        linear("cls.predictions.transform.dense", hidden, hidden)
        norm("cls.predictions.transform")
    if head == "pretraining":
        linear("cls.seq_relationship", hidden, 2)
    if head == "classifier":
        linear("classifier", hidden, labels)
    return shapes


def random_state(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Float32 numbers for each name, the same for the same seed."""
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write(state, config)`: a checkpoint folder, its safetensors written by the safetensors library."""

    def folder(
        state: Mapping[str, np.ndarray], config: Mapping[str, Any] | None = None, name: str = "checkpoint"
    ) -> Path:
        path = tmp_path / name
        path.mkdir()
        (path / "config.json").write_text(json.dumps(CONFIG if config is None else dict(config)))
        save_file(dict(state), path / "model.safetensors", metadata={"format": "pt"})
        return path

    return folder


@pytest.fixture
def shapes() -> Callable[..., dict[str, tuple[int, ...]]]:
    """`shapes(head, prefix=..., labels=...)`, as `shapes_of`."""
    return shapes_of


@pytest.fixture
def state() -> Callable[..., dict[str, np.ndarray]]:
    """`state(head, prefix=..., labels=..., seed=...)`: random weights of a whole checkpoint."""

    def weights(head: str, *, seed: int = 0, **options: Any) -> dict[str, np.ndarray]:
        return random_state(shapes_of(head, **options), seed)

    return weights


@pytest.fixture
def config() -> dict[str, Any]:
    """The tiny configuration, to be changed at will."""
    return dict(CONFIG)
