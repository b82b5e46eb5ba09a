"""Tiny sentence-transformers folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.pipelines import checkpoints

H = 12
TYPE = "sentence_transformers.models."
TEXTS = ["the cat sat", "a", "who sings in new york ?", "", "it is a dog and a cat", "the dog ran on the mat ."]


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write(
    folder: Path,
    modules: tuple[str, ...] = ("Pooling",),
    *,
    pooling: Any = None,
    transformer: str = "",
    **settings: Any,
) -> Path:
    """A folder with a Transformer and `modules`; `settings` go into the two files of settings."""
    checkpoints.write(folder / transformer, "encoder")
    listed = [{"idx": 0, "name": "0", "path": transformer, "type": TYPE + "Transformer"}]
    for idx, name in enumerate(modules, 1):
        listed.append({"idx": idx, "name": str(idx), "path": f"{idx}_{name}", "type": TYPE + name})
    write_json(folder / "modules.json", listed)
    if pooling is not None:
        write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": H, **pooling})
    lengths = {name: settings.pop(name) for name in ("max_seq_length", "do_lower_case") if name in settings}
    if lengths:
        write_json(folder / transformer / "sentence_bert_config.json", lengths)
    if settings:
        write_json(folder / "config_sentence_transformers.json", settings)
    return folder


def write_dense(folder: Path, outputs: int = 5, activation: str = "torch.nn.modules.activation.Tanh") -> Any:
    """A Dense module; its weight and bias."""
    rng = np.random.default_rng(0)
    weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((outputs, H), (outputs,)))
    config = {"in_features": H, "out_features": outputs, "bias": True, "activation_function": activation}
    write_json(folder / "config.json", config)
    save_file({"linear.weight": weight, "linear.bias": bias}, folder / "model.safetensors")
    return weight, bias
