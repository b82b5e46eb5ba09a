"""Tiny checkpoints of every kind, on disk with a vocabulary, for pipelines and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import minibert
from minibert import BertTokenizer
from tests import tiny

WORDS = (
    "the a cat dog sat ran on mat wolfgang lives in berlin new york is it and . , ? ! who where sings s ' é "
    "##s ##ing ##gang ##lin ##ork un ##aff ##able wolf ber"
)
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(WORDS.split(" "))]
LABELS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
POSITIONS = 32

NAMES = {
    "mlm": "BertForMaskedLM",
    "pretraining": "BertForPreTraining",
    "next": "BertForNextSentencePrediction",
    "classes": "BertForSequenceClassification",
    "tokens": "BertForTokenClassification",
    "answers": "BertForQuestionAnswering",
    "encoder": "BertModel",
}


def model(kind: str, *, dtype: str = "float32", scale: float = 0.6, seed: int = 1, **changes: Any) -> Any:
    """A model whose answers differ clearly from input to input."""
    sizes = {"vocab_size": len(VOCAB), "max_position_embeddings": POSITIONS, "type_vocab_size": 2}
    if kind == "tokens":
        sizes |= {"num_labels": len(LABELS), "id2label": LABELS}
    return tiny.model(getattr(minibert, NAMES[kind]), dtype=dtype, scale=scale, seed=seed, **{**sizes, **changes})


def tokenizer() -> BertTokenizer:
    return BertTokenizer(VOCAB, model_max_length=POSITIONS)


def write(folder: Path, kind: str, **changes: Any) -> Path:
    """The checkpoint's folder."""
    model(kind, **changes).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
