"""The start from co-occurrence: counts made by hand, information by its formula, and where the first heads look."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="the start from co-occurrence needs SciPy (extra `pretraining`)")

from minibert import BertConfig, BertForPreTraining, BertModel
from minibert.philox import manual_seed
from minibert.pretraining import cooccurrence
from minibert.pretraining.cooccurrence import (
    OFFSETS,
    SCALE,
    count_pairs,
    positive_pmi,
    sinusoids,
    start_from_cooccurrence,
    wave_numbers,
    word_vectors,
)
from minibert.pretraining.errors import DataError, MissingLibrary


@dataclass
class Stretch:
    tokens: np.ndarray
    documents: np.ndarray


@dataclass
class Corpus:
    vocabulary_size: int
    shards: list[Stretch]


def corpus(V: int, *shards: list[list[int]]) -> Corpus:
    """Shards as lists of documents."""
    stretches = []
    for documents in shards:
        ends = np.cumsum([0, *map(len, documents)]).astype(np.uint32)
        stretches.append(Stretch(np.array([t for d in documents for t in d], np.uint16), ends))
    return Corpus(V, stretches)


def by_hand(V: int, documents: list[list[int]], distance: int) -> np.ndarray:
    counts = np.zeros((V, V), np.int64)
    for document in documents:
        for before, behind in zip(document, document[distance:], strict=False):
            counts[before, behind] += 1
    return counts


V = 7
DOCUMENTS = st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=9), min_size=1, max_size=6)


@given(first=DOCUMENTS, second=DOCUMENTS, distance=st.integers(1, 2), piece=st.integers(1, 12))
def test_pairs_are_counted_within_documents_whatever_the_pieces(
    first: list[list[int]], second: list[list[int]], distance: int, piece: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cooccurrence, "PIECE", piece)
        counts = count_pairs(corpus(V, first, second), distance)
    np.testing.assert_array_equal(counts.toarray(), by_hand(V, first + second, distance))


def test_a_large_corpus_is_counted_in_pieces_from_all_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "PIECE", 10)
    monkeypatch.setattr(cooccurrence, "MOST_TOKENS", 250)
    documents = [[1, 2] * 250, [3, 4] * 250]
    counts = count_pairs(corpus(V, documents), 1)
    assert 200 <= counts.sum() <= 250
    assert counts[1, 2] > 40
    assert counts[3, 4] > 40


@given(st.integers(0, 2**32 - 1))
def test_information_is_the_formula(seed: int) -> None:
    dense = np.random.default_rng(seed).poisson(0.7, (V, 11))
    from scipy import sparse

    got = positive_pmi(sparse.csr_array(dense)).toarray()
    if dense.sum() == 0:
        assert not got.any()
        return
    joint = dense / dense.sum()
    word = joint.sum(axis=1, keepdims=True)
    context = dense.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore", invalid="ignore"):
        want = np.log(joint / (word * (context / context.sum())))
    want = np.where(dense > 0, np.maximum(want, 0), 0)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)  # float64, a handful of operations


def language(V: int = 60, sentences: int = 4000) -> Corpus:
    """Words 10 to 19 stand where 20 to 29 do, 30 to 39 where 40 to 49 do; 0 to 4 never occur."""
    rng = np.random.default_rng(5)
    kinds = np.array([[5, 6], [10, 30], [50, 51], [30, 10], [7, 8]])  # two patterns of five words
    text: list[int] = []
    for _ in range(sentences):
        pattern = kinds[:, rng.integers(2)]
        text += [int(w) + int(rng.integers(20)) if w in (10, 30) else int(w) for w in pattern]
    return corpus(V, [text[:9995], text[9995:]])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_words_with_like_neighbours_are_alike() -> None:
    rows = word_vectors(language(), 16)
    same = [cosine(rows[a], rows[b]) for a in range(10, 15) for b in range(25, 30)]
    different = [cosine(rows[a], rows[b]) for a in range(10, 15) for b in range(30, 35)]
    assert np.mean(same) > np.mean(different) + 0.3
    assert not rows[:5].any()
    size = np.sqrt(np.mean(rows[10:] ** 2, axis=1))
    seen = size > 0
    np.testing.assert_allclose(size[seen], SCALE, rtol=1e-5)  # one float32 rounding a number
    assert rows.dtype == np.float32


def test_the_same_seed_gives_the_same_bits() -> None:
    data = language()
    np.testing.assert_array_equal(word_vectors(data, 16, seed=3), word_vectors(data, 16, seed=3))


@pytest.mark.parametrize("H", [2, 7, 64])
def test_positions_are_waves_of_one_size(H: int) -> None:
    table = sinusoids(50, H, wave_numbers(H))
    assert table.shape == (50, H)
    np.testing.assert_allclose(
        np.sqrt(np.mean(table[:, : H // 2 * 2] ** 2, axis=1)), SCALE, rtol=1e-5
    )  # sin^2 + cos^2 = 1, in float32


def config(**changes: Any) -> BertConfig:
    sizes = {"vocab_size": 60, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return BertConfig(**{**sizes, "intermediate_size": 96, "max_position_embeddings": 40, **changes})


def started(**parts: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """State of a model before and after."""
    manual_seed(1)
    model = BertForPreTraining(config())
    before = {name: array.copy() for name, array in model.state_dict().items()}
    start_from_cooccurrence(model, language(), **parts)
    return before, model.state_dict()


WORDS = {"bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"}
POSITIONS = {"bert.embeddings.position_embeddings.weight"}
NEIGHBOURS = {f"bert.encoder.layer.0.attention.self.{part}.weight" for part in ("query", "key")}


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ({}, WORDS | POSITIONS | NEIGHBOURS),
        ({"positions": False, "neighbours": False}, WORDS),
        ({"words": False, "neighbours": False}, POSITIONS),
        ({"words": False}, POSITIONS | NEIGHBOURS),
        ({"words": False, "positions": False, "neighbours": False}, set()),
    ],
)
def test_each_part_sets_its_own_weights_and_no_others(parts: dict[str, bool], names: set[str]) -> None:
    before, after = started(**parts)
    assert before.keys() == after.keys()
    assert {name for name in before if not np.array_equal(before[name], after[name])} == names
    assert all(before[name].shape == after[name].shape and after[name].dtype == np.float32 for name in before)


def test_words_that_never_occur_keep_their_rows() -> None:
    before, after = started()
    name = "bert.embeddings.word_embeddings.weight"
    np.testing.assert_array_equal(before[name][:5], after[name][:5])
    assert (before[name][10:50] != after[name][10:50]).all(axis=1).all()


@pytest.mark.parametrize("heads", [1, 4, 6])
def test_heads_of_the_first_layer_look_at_their_neighbours(heads: int) -> None:
    manual_seed(2)
    model = BertModel(config(hidden_size=192, num_attention_heads=heads, vocab_size=400)).eval()
    rng = np.random.default_rng(0)
    data = corpus(400, [rng.integers(5, 400, 20000).tolist()])
    start_from_cooccurrence(model, data)
    ids = rng.integers(5, 400, (8, 40))
    maps = model(ids, output_attentions=True).attentions[0].numpy()  # (B, N, S, S)
    places = np.arange(2, 38)
    for head, offset in zip(range(heads), OFFSETS, strict=False):
        # An even gaze would put 1/40 here.
        assert maps[:, head, places, places + offset].mean() > 0.6, f"head {head} does not look {offset} away"


def test_a_vocabulary_that_is_not_the_models_is_refused() -> None:
    with pytest.raises(DataError, match="vocab_size is 61 and the data's is 60"):
        start_from_cooccurrence(BertModel(config(vocab_size=61)), language())


def test_a_vocabulary_smaller_than_the_vectors_is_refused() -> None:
    with pytest.raises(DataError, match="60 words does not fill vectors of 64"):
        word_vectors(language(), 64)


def test_data_without_neighbours_is_refused() -> None:
    with pytest.raises(DataError, match="no word of the data"):
        word_vectors(corpus(V, [[1], [2], [3]]), 4)


def test_without_scipy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "scipy":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingLibrary, match=r"minibert-numpy\[pretraining\]"):
        word_vectors(language(), 16)
