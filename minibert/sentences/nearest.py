"""How near vectors are to one another, and which of many are the nearest.

A search computes block by block, so that its memory does not grow with the product of queries and corpus. Matrix
products give the candidates; a candidate's score is computed again by itself, in float64, so that equal vectors have
equal scores wherever they stand, and ties are broken by the smaller number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from minibert.number_like import as_int
from minibert.pipelines.pooling import unit_length
from minibert.pipelines.scores import top

__all__ = ["SIMILARITIES", "Hit", "search", "similarity"]

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
"""More is nearer: the last two are distances with a minus in front."""

QUERIES_A_BLOCK = 256
NUMBERS_A_BLOCK = 1 << 22

Array = NDArray[Any]


class Hit(TypedDict):
    """A vector of the corpus by its number, and how near it is to the query."""

    corpus_id: int
    score: float


def similarity(a: Any, b: Any, measure: str = "cosine") -> Array:
    """(A, B) similarities of vectors (A, H), or (H,), with vectors (B, H), or (H,).

    Raises:
        ValueError: an unknown measure, or arrays that do not go together.
    """
    a, b = _vectors(a, b)
    _check(measure)
    if measure == "cosine":
        a, b = unit_length(a), unit_length(b)
    near = np.empty((len(a), len(b)), a.dtype)
    if measure in ("cosine", "dot"):
        return np.matmul(a, b.T, out=near)
    for row, vector in zip(near, a, strict=True):
        row[:] = _exact(vector, b, measure)
    return near


def search(queries: Any, corpus: Any, top_k: int = 10, measure: str = "cosine") -> list[list[Hit]]:
    """The `top_k` nearest vectors of the corpus for each query, nearest first, of equal ones the smaller number.

    Args:
        queries: (Q, H), or (H,) for one.
        corpus: (N, H).
        top_k: how many; all of a corpus that has fewer.
        measure: one of `SIMILARITIES`.

    Raises:
        ValueError: an unknown measure, arrays that do not go together or are not finite, an impossible `top_k`.
    """
    queries, corpus = _vectors(queries, corpus)
    _check(measure)
    top_k = as_int("top_k", top_k, least=1)
    hits: list[list[Hit]] = []
    for begin in range(0, len(queries), QUERIES_A_BLOCK):
        some = queries[begin : begin + QUERIES_A_BLOCK]
        best = [(np.zeros(0, np.int64), np.zeros(0))] * len(some)  # numbers and scores
        for first, block in _blocks(corpus, max(1, NUMBERS_A_BLOCK // max(len(some), corpus.shape[1], 1))):
            for q, near in enumerate(_candidates(some, block, top_k, measure)):
                numbers = np.concatenate([best[q][0], first + near])
                scores = np.concatenate([best[q][1], _exact(some[q], block[near], measure)])
                kept = np.sort(top(scores, top_k))  # the numbers rise, so the first of equals is the smaller one
                best[q] = numbers[kept], scores[kept]
        for numbers, scores in best:
            order = np.argsort(-scores, kind="stable")
            hits.append([{"corpus_id": int(numbers[i]), "score": float(scores[i])} for i in order])
    return hits


def _blocks(corpus: Array, size: int) -> Iterator[tuple[int, Array]]:
    for first in range(0, len(corpus), size):
        yield first, corpus[first : first + size]


def _candidates(queries: Array, block: Array, top_k: int, measure: str) -> Iterator[Array]:
    """For each query the rows of a block that may be among its nearest, ascending; a few more than needed."""
    if len(block) <= top_k:
        yield from (np.arange(len(block)) for _ in queries)
        return
    if measure == "manhattan":
        for query in queries:
            yield np.sort(top(_exact(query, block, measure), top_k))
        return
    if measure == "cosine":
        queries, block = unit_length(queries), unit_length(block)
    product = queries @ block.T  # (Q, C)
    size = np.linalg.norm(queries, axis=1) * np.linalg.norm(block, axis=1).max()  # (Q,) of the largest product
    if measure == "euclidean":
        squares = np.square(block).sum(axis=1)  # |q - c|^2 = |q|^2 - (2 q c - |c|^2)
        product, size = 2 * product - squares, 2 * size + squares.max()
    # A sum of H products is wrong by less than H roundings of the largest; twice that between two sums.
    slack = 2 * (queries.shape[1] + 2) * np.finfo(product.dtype).eps * size
    for row, more in zip(product, slack, strict=True):
        least = np.partition(row, -top_k)[-top_k]
        yield np.flatnonzero(row >= least - more)


def _exact(query: Array, vectors: Array, measure: str) -> NDArray[np.float64]:
    """(C,) similarities of (H,) and (C, H) in float64, each row by itself."""
    q, c = query.astype(np.float64), vectors.astype(np.float64)
    if measure == "manhattan":
        scores: NDArray[np.float64] = -np.abs(c - q).sum(axis=1)
    elif measure == "euclidean":
        scores = -np.sqrt(np.square(c - q).sum(axis=1))
    else:
        scores = (c * q).sum(axis=1)
        if measure == "cosine":
            lengths = np.sqrt(np.square(c).sum(axis=1) * np.square(q).sum())
            scores = scores / np.where(lengths == 0, 1, lengths)
    return scores


def _vectors(a: Any, b: Any) -> tuple[Array, Array]:
    """Both as (rows, H) of one floating dtype."""
    arrays = []
    for name, value in (("the first", a), ("the second", b)):
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
            raise ValueError(f"{name} argument must be vectors (N, H) of numbers, got {array.dtype} {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} argument holds numbers that are not finite")
        arrays.append(array)
    H = max(array.shape[-1] for array in arrays)
    first, second = (array.reshape(0, H) if array.size == 0 else np.atleast_2d(array) for array in arrays)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"vectors of {first.shape[1]} and of {second.shape[1]} numbers cannot be compared")
    dtype = np.result_type(first, second, np.float32)
    return first.astype(dtype, copy=False), second.astype(dtype, copy=False)


def _check(measure: str) -> None:
    if measure not in SIMILARITIES:
        raise ValueError(f"unknown similarity {measure!r}; expected one of {', '.join(SIMILARITIES)}")
