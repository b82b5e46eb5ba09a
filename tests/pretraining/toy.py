"""A corpus with a grammar, prepared; a recipe that trains on it in a second; a run's contents without its times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minibert.pretraining.corpus import Corpus
from minibert.pretraining.metrics import TIMES, read_metrics
from minibert.pretraining.prepare import prepare_corpus
from minibert.pretraining.recipe import Recipe
from minibert.tokenizer import BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NOUNS = [f"noun{i}" for i in range(12)]
VERBS = [f"verb{i}" for i in range(12)]
VOCAB = [*SPECIAL, "the", "a", ".", *NOUNS, *VERBS]


def tokenizer() -> BertTokenizer:
    return BertTokenizer(VOCAB, do_lower_case=True)


def write_texts(folder: Path, documents: int, seed: int) -> Path:
    """Documents of sentences "the noun3 verb3 a noun4 .", each document about neighbouring nouns."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for d in range(documents):
        lines = []
        for _ in range(12):
            i = int(rng.integers(d % 6, d % 6 + 4))
            lines.append(f"the {NOUNS[i]} {VERBS[i]} a {NOUNS[i + 1]}.")
        (folder / f"{d:03}.txt").write_text(" ".join(lines) + "\n", encoding="utf-8")
    return folder


def prepare(folder: Path, *, documents: int = 30, seed: int = 0, **options: Any) -> Path:
    """`folder`/data, prepared from texts of this seed."""
    texts = write_texts(folder / "texts", documents, seed)
    prepare_corpus(Corpus([texts]), tokenizer(), folder / "data", **options)
    return folder / "data"


def recipe(data: Path, held_out: Path | None = None, **changes: Any) -> Recipe:
    """A recipe with dropout, two phases, accumulation, and intervals that do not divide one another."""
    values: dict[str, Any] = {
        "seed": 7,
        "log_every": 4,
        "evaluate_every": 7,
        "evaluate_examples": 16,
        "save_every": 5,
        "model": {
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
            "max_position_embeddings": 32,
        },
        "data": {"folder": str(data), **({"held_out": str(held_out)} if held_out else {})},
        "phases": [
            {"share": 0.6, "max_length": 16, "batch_size": 8},
            {"share": 0.4, "max_length": 32, "batch_size": 8, "accumulation": 2},
        ],
        "optimizer": {"lr": 3e-3},
        "schedule": {"steps": 20, "warmup": 3},
    }  # fmt: skip
    return Recipe.from_dict({**values, **changes})


def timeless(run: Path) -> list[dict[str, Any]]:
    """The run's metrics without what no two runs have in common."""
    return [{k: v for k, v in line.items() if k not in TIMES} for line in read_metrics(run / "metrics.jsonl")]


def weights(folder: Path) -> bytes:
    """Every byte of a checkpoint's weights, and of the optimiser's moments if they are there."""
    files = [folder / name for name in ("model.safetensors", "optimizer.safetensors")]
    return b"".join(file.read_bytes() for file in files if file.exists())


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run's states, by name."""
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.glob("state-*/*"))}
