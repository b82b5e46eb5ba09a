"""Pretraining as on the model card: text in, BERT out.

Data, to read in this order:

    corpus        files of several formats to documents (compressed, wikipedia, sentences: its parts)
    vocabulary    a WordPiece vocabulary trained on a corpus
    prepare       a corpus to token files (shards)
    pairs         documents to pairs A, B for next-sentence prediction
    masking       which tokens are hidden, and what stands in their place
    draws         the random numbers of both, from counters
    data          `PretrainingData`: the examples of an epoch, each a function of (seed, epoch, index)

Names are looked up when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "minibert.pretraining.corpus": ("Corpus", "Document"),
    "minibert.pretraining.data": ("PretrainingData",),
    "minibert.pretraining.errors": ("CorpusError", "CorpusWarning", "DataError"),
    "minibert.pretraining.prepare": ("prepare_corpus",),
    "minibert.pretraining.vocabulary": ("train_vocabulary",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Corpus",
    "CorpusError",
    "CorpusWarning",
    "DataError",
    "Document",
    "PretrainingData",
    "prepare_corpus",
    "train_vocabulary",
]

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from minibert.pretraining.corpus import Corpus, Document
    from minibert.pretraining.data import PretrainingData
    from minibert.pretraining.errors import CorpusError, CorpusWarning, DataError
    from minibert.pretraining.prepare import prepare_corpus
    from minibert.pretraining.vocabulary import train_vocabulary


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return globals().setdefault(name, getattr(importlib.import_module(_HOME_OF[name]), name))
    raise AttributeError(f"module 'minibert.pretraining' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
