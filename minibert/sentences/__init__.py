"""Vectors of sentences, and what is near: `SentenceEncoder`.

    from minibert import SentenceEncoder
    encoder = SentenceEncoder("sentence-transformers/all-MiniLM-L6-v2")
    encoder.encode(["It's so sunny outside!", "He drove to the stadium."])      # (2, 384)

folder        what a sentence-transformers folder says about pooling and the steps after it
dense         the linear layer that some models have after the pooling
encoder       SentenceEncoder
nearest       cosines and other measures, and the nearest vectors
"""

from __future__ import annotations

from minibert.sentences.encoder import SentenceEncoder
from minibert.sentences.nearest import SIMILARITIES, Hit, search, similarity

__all__ = ["SIMILARITIES", "Hit", "SentenceEncoder", "search", "similarity"]
