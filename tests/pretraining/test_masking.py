"""Masking of one batch: which positions, what comes in their place, and from what it is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.pretraining import DataError
from minibert.pretraining.masking import Masking
from tests.pretraining.texts import SPECIAL, vocabulary

TOKENS = (*vocabulary(200), "[unused0]", "[unused1]")
MASK = SPECIAL.index("[MASK]")
FIRST_PIECE = TOKENS.index("##p0")


def masking(probability: float = 0.15, whole_words: bool = False) -> Masking:
    return Masking(TOKENS, tuple(range(len(SPECIAL))), MASK, probability, whole_words)


def rows(lengths: list[int], *, seed: int = 0) -> np.ndarray:
    """(B, S) rows [CLS] ... [SEP], padded; one token in four continues a word, one in forty is [UNK]."""
    rng = np.random.default_rng(seed)
    S = max(lengths) + 2
    ids = np.zeros((len(lengths), S), np.int64)
    for row, n in zip(ids, lengths, strict=True):
        text = np.where(rng.random(n) < 0.75, rng.integers(5, FIRST_PIECE, n), rng.integers(FIRST_PIECE, 200, n))
        row[0], row[1 : n + 1], row[n + 1] = 2, np.where(rng.random(n) < 1 / 40, 1, text), 3
    return ids


@pytest.mark.parametrize("whole_words", [False, True])
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    probability=st.sampled_from([0.01, 0.15, 0.5, 1.0]),
    seed=st.integers(0, 2**64 - 1),
)
def test_what_holds_always(whole_words: bool, lengths: list[int], probability: float, seed: int) -> None:
    ids = rows(lengths, seed=seed % 1000)
    before = ids.copy()
    masked, labels = masking(probability, whole_words)(ids, np.arange(len(ids)), seed=seed, epoch=1)
    assert (ids == before).all()
    chosen = labels != -100
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    assert (ids[chosen] >= len(SPECIAL)).all()  # no special token is masked
    put = masked[chosen & (masked != ids)]
    assert ((put == MASK) | ((put >= len(SPECIAL)) & (put < 200))).all()  # nor put there, nor an unused one
    n, k = (ids >= len(SPECIAL)).sum(axis=1), chosen.sum(axis=1)
    assert ((k > 0) == (n > 0)).all()
    if not whole_words:
        low, high = np.floor(probability * n), np.ceil(probability * n)
        assert ((k >= low) & (k <= np.maximum(high, np.minimum(n, 1)))).all()


def test_what_is_drawn_depends_on_its_place_alone() -> None:
    """The same example in another batch, padded further, is masked the same way; other counters differ."""
    ids, draw = rows([30, 12, 25, 40]), masking()
    masked, labels = draw(ids, np.array([7, 8, 9, 10]), seed=3, epoch=2)
    alone, label = draw(ids[1:2, :14], np.array([8]), seed=3, epoch=2)
    assert (alone == masked[1:2, :14]).all()
    assert (label == labels[1:2, :14]).all()
    for examples, seed, epoch in (([8, 7, 9, 10], 3, 2), ([7, 8, 9, 10], 4, 2), ([7, 8, 9, 10], 3, 3)):
        assert (draw(ids, np.array(examples), seed=seed, epoch=epoch)[1] != labels).any()
    assert (draw(ids, np.array([7, 8, 9, 10]) + 2**32, seed=3, epoch=2)[1] != labels).any()
    assert (draw(ids, np.array([7, 8, 9, 10]), seed=3 + 2**32, epoch=2)[1] != labels).any()


def test_whole_words_are_masked_whole() -> None:
    ids = rows([60] * 50, seed=1)
    labels = masking(whole_words=True)(ids, np.arange(50), seed=0, epoch=0)[1]
    chosen = labels != -100
    pieces = (ids >= FIRST_PIECE) & (ids < 200)
    inside = pieces[:, 1:] & (ids[:, :-1] >= len(SPECIAL))  # continues the token before it
    assert (chosen[:, 1:] == chosen[:, :-1])[inside].all()
    lonely = masking()(ids, np.arange(50), seed=0, epoch=0)[1] != -100
    assert (lonely[:, 1:] != lonely[:, :-1])[inside].any()  # the test would notice


@pytest.mark.parametrize("whole_words", [False, True])
def test_the_rate(whole_words: bool) -> None:
    ids = rows([60] * 4000, seed=2)
    chosen = masking(whole_words=whole_words)(ids, np.arange(4000), seed=1, epoch=0)[1] != -100
    n = (ids >= len(SPECIAL)).sum()
    # The number of a row varies by less than a word's length (3 here), so 4 sigma of the mean is below 3 / 60 / 16 %.
    assert abs(chosen.sum() / n - 0.15) < 0.003


def test_every_place_and_every_token_is_as_likely() -> None:
    ids = np.full((20_000, 22), 9)
    ids[:, 0], ids[:, -1] = 2, 3
    masked, labels = masking()(ids, np.arange(20_000), seed=1, epoch=0)
    chosen = labels != -100
    places = chosen[:, 1:-1].sum(axis=0)  # 3 of 20 each
    assert (np.abs(places - 3000) < 5 * np.sqrt(20_000 * 0.15 * 0.85)).all()  # 5 sigma, the worst of 20
    put = np.bincount(masked[chosen & (masked != ids) & (masked != MASK)], minlength=len(TOKENS))
    assert put[9] == put[:5].sum() == put[200:].sum() == 0
    others = np.delete(put[5:200], 4)
    assert (np.abs(others - others.mean()) < 5 * np.sqrt(others.mean())).all()  # 5 sigma, the worst of 194


def test_another_token_is_never_the_same() -> None:
    """With two words to choose from, chance would put the same one back every other time."""
    draw = Masking((*SPECIAL, "a", "b"), tuple(range(len(SPECIAL))), MASK)
    ids = np.full((20_000, 22), 5)
    ids[:, ::2], ids[:, 0], ids[:, -1] = 6, 2, 3
    masked, labels = draw(ids, np.arange(20_000), seed=1, epoch=0)
    chosen = labels != -100
    kept = (masked == ids)[chosen].mean()
    assert abs(kept - 0.1) < 4 * np.sqrt(0.1 * 0.9 / chosen.sum())  # 4 sigma, 0.005; it would be 0.15


def test_what_makes_no_sense() -> None:
    for probability in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(DataError, match="above 0 and at most 1"):
            masking(probability)
    with pytest.raises(DataError, match="two ordinary tokens"):
        Masking(("[PAD]", "[MASK]", "a", "[unused1]"), (0, 1), 1)
