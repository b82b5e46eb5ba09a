"""Similarities against their definitions, and a search in blocks against sorting everything."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.sentences import SIMILARITIES, nearest, search, similarity


def defined(q: np.ndarray, c: np.ndarray, measure: str) -> float:
    q, c = q.astype(np.float64), c.astype(np.float64)
    if measure == "dot":
        return float(np.dot(q, c))
    if measure == "cosine":
        length = np.linalg.norm(q) * np.linalg.norm(c)
        return float(np.dot(q, c) / length) if length else 0.0
    return -float(np.linalg.norm(q - c, ord=2 if measure == "euclidean" else 1))


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 30),
    top_k=st.integers(1, 12),
    measure=st.sampled_from(SIMILARITIES),
    numbers=st.sampled_from([1, 12, 40, 1 << 22]),
)
def test_the_nearest_in_blocks_of_any_size(
    seed: int, count: int, top_k: int, measure: str, numbers: int
) -> None:
    rng = np.random.default_rng(seed)
    # Small integers: many equal vectors and many ties.
    queries, corpus = (rng.integers(-3, 4, (n, 3)).astype(np.float32) for n in (4, count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "NUMBERS_A_BLOCK", numbers)
        patch.setattr(nearest, "QUERIES_A_BLOCK", 3)
        found = search(queries, corpus, top_k, measure)
    table = similarity(queries, corpus, measure)
    for q, hits in enumerate(found):
        scores = [defined(queries[q], c, measure) for c in corpus]
        np.testing.assert_allclose(table[q], scores, atol=1e-5)  # float32 of numbers up to 27
        assert len(hits) == min(top_k, len(corpus))
        # 1e-9: equal by definition, such as (1, 2) and (2, 4) by their cosine, may differ by a rounding of float64.
        np.testing.assert_allclose([h["score"] for h in hits], sorted(scores, reverse=True)[: len(hits)], atol=1e-9)
        for one, other in pairwise(hits):
            assert one["score"] > other["score"] or (
                one["score"] == other["score"] and one["corpus_id"] < other["corpus_id"]
            )


@pytest.mark.parametrize("measure", SIMILARITIES)
def test_equal_vectors_come_in_their_order(measure: str) -> None:
    rng = np.random.default_rng(0)
    different = rng.standard_normal((7, 33)).astype(np.float32)
    corpus = np.tile(different, (40, 1))  # each vector 40 times
    (hits,) = search(different[3], corpus, 50, measure)
    assert [hit["corpus_id"] for hit in hits[:40]] == list(range(3, 280, 7))
    assert len({hit["score"] for hit in hits[:40]}) == 1


def test_what_cannot_be_compared() -> None:
    vectors = np.ones((2, 3), np.float32)
    assert search(vectors, np.zeros((0, 3))) == [[], []]
    assert search([], vectors) == []
    assert similarity([], vectors).shape == (0, 2)
    assert search([1, 0, 0], vectors, top_k=1) == [[{"corpus_id": 0, "score": pytest.approx(3**-0.5)}]]
    with pytest.raises(ValueError, match="vectors of 3 and of 4 numbers cannot be compared"):
        search(vectors, np.ones((2, 4)))
    with pytest.raises(ValueError, match="the second argument holds numbers that are not finite"):
        search(vectors, np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="the first argument must be vectors"):
        search(["text"], vectors)
    with pytest.raises(ValueError, match="top_k must be an integer of at least 1, got 0"):
        search(vectors, vectors, 0)
    with pytest.raises(ValueError, match="unknown similarity 'near'; expected one of cosine, dot"):
        similarity(vectors, vectors, "near")
