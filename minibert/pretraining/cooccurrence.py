"""A start from co-occurrence: what counting neighbours can tell is in the weights before the first step.

A small BERT that starts from normal noise spends most of a small budget on what a count finds in seconds: which words
are alike, and that a masked word depends on those beside it. This module counts, and sets three things:

    words        Word embeddings from a truncated singular value decomposition of the positive pointwise mutual
                 information between each word and its neighbours. (Levy & Goldberg, "Neural Word Embedding as Implicit
                 Matrix Factorization", 2014; context counts to the power 0.75 and the square root of the singular
                 values as in Levy, Goldberg & Dagan, "Improving Distributional Similarity", 2015, sections 3 and 7)
    positions    Position embeddings made of sines and cosines, as in Vaswani et al., section 3.5.
    neighbours   Queries and keys of the first layer, so that each head looks at one place: one before, one behind, two
                 before, two behind. Moving a sine by an offset is a rotation, which is a linear map.

It is a start and no more: the model is a plain BERT, and training may change every number of it.

H hidden size, N heads, D = H / N, V vocabulary, S positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from minibert.backend import asarray
from minibert.bert import BertModel, BertPreTrainedModel
from minibert.nn import Parameter
from minibert.pretraining.errors import DataError, MissingLibrary

__all__ = ["count_pairs", "positive_pmi", "sinusoids", "start_from_cooccurrence", "word_vectors"]

SCALE = 0.04
"""Root mean square of a row of word or position embeddings: twice a normal start's, so that what is known outweighs the
noise around it, and equal for both, so that LayerNorm shows the layers half of each."""

DISTANCES = 1, 2
OFFSETS = -1, 1, -2, 2
CONTEXT_POWER = 0.75
PEAK = 9.0
"""About the score of the place that a head looks at, where other places have about 0: it gets most of the attention."""

MOST_TOKENS = 1 << 25
"""Tokens that are counted at most, in pieces from all over the data: what bounds time and memory on a large corpus."""

PIECE = 1 << 20


class Tokens(Protocol):
    """A stretch of documents: tokens (n,) and where in it each document begins, (documents + 1,)."""

    @property
    def tokens(self) -> np.ndarray: ...
    @property
    def documents(self) -> np.ndarray: ...


class TokenData(Protocol):
    """The part of `PretrainingData` that is used here."""

    @property
    def vocabulary_size(self) -> int: ...
    @property
    def shards(self) -> Sequence[Tokens]: ...


def start_from_cooccurrence(
    model: BertPreTrainedModel,
    data: TokenData,
    *,
    words: bool = True,
    positions: bool = True,
    neighbours: bool = True,
    seed: int = 0,
) -> None:
    """Set the embeddings and the first layer of a new model from the neighbours that words have in `data`.

    Args:
        model: a BERT with or without heads, on the CPU; changed in place.
        data: `PretrainingData`, or anything with its `vocabulary_size` and `shards`.
        words: set the word embeddings; those of words that never occur, such as [MASK], keep the start that they have.
        positions: set the position embeddings.
        neighbours: set queries and keys of the first layer; needs `positions` to have an effect worth having.
        seed: of the decomposition's first guess. The same seed, data and libraries give the same bits.

    Raises:
        DataError: the data's vocabulary is not the model's, or is smaller than the hidden size.
        MissingLibrary: `words` without SciPy.
    """
    bert: BertModel = model if isinstance(model, BertModel) else model.bert  # type: ignore[attr-defined]
    embeddings, H = bert.embeddings, bert.config.hidden_size
    frequencies = wave_numbers(H)
    if words:
        V = bert.config.vocab_size
        if data.vocabulary_size != V:
            raise DataError(
                f"the model's vocab_size is {V} and the data's is {data.vocabulary_size}: make the model for the data"
            )
        rows = word_vectors(data, H, seed=seed)  # (V, H)
        known = rows.any(axis=1)
        table = embeddings.word_embeddings.weight.numpy().copy()
        table[known] = rows[known]
        _set(embeddings.word_embeddings.weight, table)
    if positions:
        table = sinusoids(bert.config.max_position_embeddings, H, frequencies)  # (S, H)
        _set(embeddings.position_embeddings.weight, table)
    if neighbours:
        attention: Any = bert.encoder.layer[0].attention.self  # type: ignore[attr-defined]
        query, key = attention.query.weight, attention.key.weight
        Q, K = look_at_offsets(attention.heads, H, frequencies)
        _set(query, query.numpy() + Q)
        _set(key, key.numpy() + K)


def _set(parameter: Parameter, table: np.ndarray) -> None:
    parameter.data = asarray(table, like=parameter.data)


# ---- words


def word_vectors(data: TokenData, H: int, *, seed: int = 0) -> np.ndarray:
    """Vectors of words, alike for words that have like neighbours.

    The contexts of a word are the words at distance 1 and 2 on its left and on its right, each place for itself.

    Returns:
        (V, H) float32, each row of root mean square `SCALE`, and zero for words without neighbours.

    Raises:
        DataError: a vocabulary that is not larger than H.
        MissingLibrary: SciPy is not installed.
    """
    sparse, linalg = _scipy()
    V = data.vocabulary_size
    if V <= H:
        raise DataError(f"a vocabulary of {V} words does not fill vectors of {H} numbers: make it larger")
    parts = []
    for distance in DISTANCES:
        pairs = count_pairs(data, distance)  # (V, V): rows before, columns behind
        parts += [positive_pmi(pairs.T), positive_pmi(pairs)]
    information = sparse.hstack(parts, format="csr")  # (V, 4 V)
    if information.nnz == 0:
        raise DataError("no word of the data has a neighbour that it is seen with more often than by chance")
    guess = np.random.default_rng(seed).standard_normal(V, np.float32)  # ARPACK's own would differ from call to call
    with threadpool_limits(1, "blas"):  # its steps are short: more threads mostly wait, and would change the last bits
        left, values, _ = linalg.svds(information.astype(np.float32), k=H, v0=guess, return_singular_vectors="u")
    # The smallest come first, where the quickest sinusoids are that the first layer's heads go by: they disturb least.
    order = np.argsort(values)
    rows = left[:, order] * np.sqrt(np.maximum(values[order], 0.0))  # (V, H)
    size = np.sqrt(np.mean(rows**2, axis=1, keepdims=True))  # (V, 1)
    seen = np.diff(information.indptr)[:, None] > 0
    return np.where(seen & (size > 0), rows * (SCALE / np.where(size > 0, size, 1.0)), 0.0).astype(np.float32)


def count_pairs(data: TokenData, distance: int) -> Any:
    """How often word a stands `distance` tokens before word b, in one document.

    Returns:
        (V, V) sparse (CSR) int64, a the row and b the column.
    """
    sparse, _ = _scipy()
    V = data.vocabulary_size
    counts = sparse.csr_array((V, V), dtype=np.int64)
    for before, behind in _pairs(data.shards, distance):
        which, often = np.unique(before * np.int64(V) + behind, return_counts=True)
        counts = counts + sparse.csr_array((often, np.divmod(which, V)), shape=(V, V))
    return counts


def _pairs(shards: Sequence[Tokens], distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Piece by piece, the tokens before and behind, int64, of all pairs that do not span two documents."""
    stride = max(1, -(-sum(len(shard.tokens) for shard in shards) // MOST_TOKENS))
    number = 0
    for shard in shards:
        for start in range(0, len(shard.tokens) - distance, PIECE):
            number += 1
            if number % stride:  # one piece of `stride`, when there are too many
                continue
            tokens = np.asarray(shard.tokens[start : start + PIECE + distance], np.int64)
            inside = np.ones(len(tokens) - distance, bool)
            first, last = np.searchsorted(shard.documents, [start + 1, start + len(tokens)])
            for begin in np.asarray(shard.documents[first:last], np.int64) - start:
                inside[max(0, begin - distance) : begin] = False
            yield tokens[:-distance][inside], tokens[distance:][inside]


def positive_pmi(counts: Any) -> Any:
    """max(0, log(P(word, context) / (P(word) P'(context)))), with P' from context counts to the power 0.75.

    The power lifts the rare contexts' share, which a plain PMI overrates.

    Args:
        counts: (V, C) sparse, words by contexts.

    Returns:
        (V, C) sparse (CSR) float64, holding only what is above zero.
    """
    sparse, _ = _scipy()
    pairs = counts.tocoo()
    words = np.asarray(counts.sum(axis=1)).ravel().astype(np.float64)  # (V,)
    contexts = np.asarray(counts.sum(axis=0)).ravel() ** CONTEXT_POWER  # (C,)
    share = contexts / max(contexts.sum(), 1e-300)
    value = np.log(pairs.data / (words[pairs.row] * share[pairs.col]))
    keep = value > 0
    return sparse.csr_array((value[keep], (pairs.row[keep], pairs.col[keep])), shape=counts.shape)


def _scipy() -> tuple[Any, Any]:
    try:
        from scipy import sparse
        from scipy.sparse import linalg
    except ImportError:
        raise MissingLibrary("scipy", "a start from co-occurrence") from None
    return sparse, linalg


# ---- places


def wave_numbers(H: int) -> np.ndarray:
    """How far one step turns each pair of numbers: from half a turn down to pi / 10000, (H // 2,) float64.

    Vaswani et al. begin at 1 instead of pi. A neighbour is told from its neighbour by the quick pairs alone.
    """
    pairs = H // 2
    return np.pi * 10000.0 ** (-np.arange(pairs) / max(pairs, 1))


def sinusoids(S: int, H: int, frequencies: np.ndarray) -> np.ndarray:
    """Row t holds sin(w t), cos(w t) for each frequency w, side by side, times sqrt(2) `SCALE`.

    Returns:
        (S, H) float32; its rows have root mean square `SCALE`. The last column of an odd H is zero.
    """
    angle = np.arange(S)[:, None] * frequencies  # (S, H // 2)
    table = np.zeros((S, H), np.float32)
    table[:, 0 : 2 * len(frequencies) : 2] = np.sqrt(2.0) * SCALE * np.sin(angle)
    table[:, 1 : 2 * len(frequencies) : 2] = np.sqrt(2.0) * SCALE * np.cos(angle)
    return table


def look_at_offsets(heads: int, H: int, frequencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What to add to the weights of Q and K, so that head n of the first layer looks OFFSETS[n] places away.

    A query is the quick pairs of its own position, a key those of its position turned back by the offset; their product
    is the sum of cos(w (j - i - offset)) over the pairs, which is largest where j = i + offset. Heads beyond the fourth
    keep the start that they have.

    Returns:
        Two (H, H) float64 arrays.
    """
    head_size = H // heads
    pairs = min(head_size // 2, max(1, H // 8))  # not the slow ones, whose numbers hold most of what words say
    size = np.sqrt(PEAK * np.sqrt(head_size) / max(1, pairs))
    Q, K = np.zeros((2, H, H))
    for head, offset in zip(range(heads), OFFSETS, strict=False):
        for pair, w in enumerate(frequencies[:pairs].tolist()):
            row, column = head * head_size + 2 * pair, 2 * pair
            cos, sin = np.cos(w * offset), np.sin(w * offset)
            Q[row : row + 2, column : column + 2] = size * np.eye(2)
            K[row : row + 2, column : column + 2] = size * np.array([[cos, -sin], [sin, cos]])
    return Q, K
