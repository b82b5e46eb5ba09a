"""Corpora and prepared folders for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minibert.pretraining.shards import ShardWriter, new_folder
from minibert.tokenizer import BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def vocabulary(size: int) -> list[str]:
    """Half words, half pieces that continue one."""
    half = (size - len(SPECIAL)) // 2
    return [*SPECIAL, *(f"w{i}" for i in range(size - len(SPECIAL) - half)), *(f"##p{i}" for i in range(half))]


def write_folder(
    folder: Path, documents: list[list[list[int]]], *, size: int = 400, shard_tokens: int = 1 << 24
) -> Path:
    """A prepared folder from token ids: documents of sentences of ids."""
    with new_folder(folder) as hidden:
        BertTokenizer(vocabulary(size), do_lower_case=False).save_pretrained(hidden)
        writer = ShardWriter(hidden, size, shard_tokens)
        for number, sentences in enumerate(documents):
            writer.add(f"document {number}", sentences)
        writer.finish()
    return folder


def random_documents(
    lengths: list[int], *, size: int = 400, sentence: int = 20, seed: int = 0, unknown: float = 0.0
) -> list[list[list[int]]]:
    """Documents of so many tokens each, in sentences of about `sentence` tokens; one token in four continues a word.

    The first token of a sentence does not.
    """
    rng = np.random.default_rng(seed)
    tokens = vocabulary(size)
    words = [i for i, token in enumerate(tokens) if token.startswith("w")]
    pieces = [i for i, token in enumerate(tokens) if token.startswith("##")]
    documents = []
    for n in lengths:
        ids = np.where(rng.random(n) < 0.75, rng.choice(words, n), rng.choice(pieces, n))
        ids = np.where(rng.random(n) < unknown, 1, ids)
        ends = np.flatnonzero(rng.random(n) < 1 / sentence)
        ids[ends] = rng.choice(words, len(ends))
        ids[:1] = words[0]
        documents.append([part.tolist() for part in np.split(ids, ends)])
    return documents
