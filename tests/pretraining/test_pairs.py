"""Pairs: every token is used, both halves hold something, the label cannot be told from the shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.philox import philox4x32
from minibert.pretraining import DataError, PretrainingData
from minibert.pretraining.data import Epoch, Places
from minibert.pretraining.draws import permuted, words
from tests.pretraining.texts import random_documents, write_folder


def all_places(epoch: Epoch) -> Places:
    return epoch.places(0, len(epoch))


def uses(data: PretrainingData, places: Places) -> np.ndarray:
    """How often each token is in some A or true B."""
    count = np.zeros(data.tokens + 1, np.int64)
    np.add.at(count, places.first_start, 1)
    np.add.at(count, np.where(places.negative, places.first_stop, places.second_stop), -1)
    return np.cumsum(count)[:-1]


LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 16, 17, 31, 33, 64, 70, 90, 130, 200]


@pytest.fixture(scope="module", params=[(1, 1), (2, 64), (7, 1 << 20), (30, 100), (10_000, 64)])
def odd_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of many lengths, for several lengths of sentences and of shards."""
    sentence, shard_tokens = request.param
    documents = random_documents(LENGTHS, sentence=sentence)
    return write_folder(tmp_path_factory.mktemp("odd") / "data", documents, shard_tokens=shard_tokens)


@given(
    max_length=st.integers(8, 70), short=st.sampled_from([0.0, 0.1, 1.0]), seed=st.integers(0, 2**64 - 1)
)
def test_every_token_once(odd_folder: Path, max_length: int, short: float, seed: int) -> None:
    data = PretrainingData(odd_folder, max_length=max_length, seed=seed, short_sequence_probability=short, verify=False)
    places = all_places(data.epoch(3))
    assert uses(data, places).tolist() == [1] * sum(LENGTHS)
    first, second = places.first_stop - places.first_start, places.second_stop - places.second_start
    assert first.min() >= 1
    assert second.min() >= 1
    assert (first + second).max() <= max_length - 3
    for a, b, c, d, negative in zip(*(part.tolist() for part in places), strict=True):
        one, two = data.document_of(a), data.document_of(c)
        assert data.document_of(b - 1) == one
        assert data.document_of(d - 1) == two
        assert (one != two) == negative
        assert negative or c == b
        assert negative or LENGTHS[one] > 1


def test_one_token_documents_can_only_be_negative(tmp_path: Path) -> None:
    data = PretrainingData(write_folder(tmp_path / "d", [[[5]], [[6]], [[7]]]), max_length=8, seed=0)
    assert all_places(data.epoch(0)).negative.all()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PretrainingData:
    folder = tmp_path_factory.mktemp("pairs") / "data"
    documents = random_documents([int(n) for n in np.linspace(50, 20_000, 60)], sentence=25)
    return PretrainingData(write_folder(folder, documents, shard_tokens=100_000), max_length=64, seed=5)


def test_the_shape_does_not_tell_the_label(data: PretrainingData) -> None:
    """Lengths, and how A and B begin and end, are alike in positive and negative pairs."""
    starts = np.concatenate([shard.first_token + shard.segments[:-1].astype(np.int64) for shard in data.shards])
    columns: dict[str, list[np.ndarray]] = {}
    for number in range(4):
        p = all_places(data.epoch(number))
        told = {
            "length of A": p.first_stop - p.first_start,
            "length of B": p.second_stop - p.second_start,
            "length": p.first_stop - p.first_start + p.second_stop - p.second_start,
            "A begins a sentence": np.isin(p.first_start, starts),
            "B begins a sentence": np.isin(p.second_start, starts),
            "A ends a sentence": np.isin(p.first_stop, starts),
        }
        for name, column in told.items():
            columns.setdefault(name, []).append(np.stack([column.astype(float), p.negative]))
    for name, parts in columns.items():
        value, negative = np.concatenate(parts, axis=1)
        yes, no = value[negative == 1], value[negative == 0]
        error = np.sqrt(yes.var() / len(yes) + no.var() / len(no))
        # 4 sigma of the difference of means; 2 % of the spread for what word ends and short documents shift.
        assert abs(yes.mean() - no.mean()) < 4 * error + 0.02 * value.std(), name


def test_texts_begin_with_words(data: PretrainingData) -> None:
    """No word is cut in two, but where the room is for a few tokens only."""
    p = all_places(data.epoch(0))
    for begins in (p.first_start, p.second_start):
        cut = sum(bool(data.continues[data.read(b, b + 1)[0]]) for b in begins.tolist())
        assert cut <= 0.01 * len(begins)


def test_other_documents_are_met_by_their_length(data: PretrainingData) -> None:
    """B of a negative pair is a random place of the corpus, not a random document: each token is as likely."""
    count = np.zeros(data.documents)
    lengths = np.concatenate([np.diff(shard.documents.astype(np.int64)) for shard in data.shards])
    for number in range(6):
        p = all_places(data.epoch(number))
        for place in p.second_start[p.negative].tolist():
            count[data.document_of(place)] += 1
    expected = lengths / lengths.sum() * count.sum()
    # 5 sigma for the largest of sixty; 5 % since a document's own pairs never meet it, and it has more of them the
    # longer it is
    assert (np.abs(count - expected) < 5 * np.sqrt(expected) + 0.05 * expected + 1).all()


def test_cuts_are_spread_over_sentences(data: PretrainingData) -> None:
    pairs = data.epoch(0).pairs
    whole = pairs["first"].astype(int) + pairs["second"] == 61
    share = (pairs["first"] / 61.0)[whole]
    assert 0.4 < share.mean() < 0.6
    assert share.std() > 0.15


def test_another_epoch_or_seed_is_another_plan(data: PretrainingData) -> None:
    def plan(seed: int, number: int) -> bytes:
        return PretrainingData(data.folder, max_length=64, seed=seed).epoch(number).pairs.tobytes()

    plans = {plan(seed, number) for seed in (0, 1, 2**40) for number in (0, 1)}
    assert len(plans) == 6
    assert plan(1, 1) == plan(1, 1)


def test_shards_do_not_matter(data: PretrainingData, tmp_path: Path) -> None:
    documents = random_documents([300] * 9)
    one = write_folder(tmp_path / "one", documents)
    many = write_folder(tmp_path / "many", documents, shard_tokens=500)
    here, there = (all_places(PretrainingData(f, max_length=32, seed=1).epoch(2)) for f in (one, many))
    assert all(np.array_equal(x, y) for x, y in zip(here, there, strict=True))


def test_a_single_document(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", random_documents([5000]))
    with pytest.raises(DataError, match=r"single document: .*next_sentence=False"):
        PretrainingData(folder, max_length=32, seed=0)
    data = PretrainingData(folder, max_length=32, seed=0, next_sentence=False)
    places = all_places(data.epoch(0))
    assert not places.negative.any()
    assert uses(data, places).tolist() == [1] * 5000


@given(n=st.integers(1, 3000), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_the_order_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    whole = permuted(0, n, n, np.uint64(seed), epoch)
    assert sorted(whole.tolist()) == list(range(n))
    assert permuted(n // 2, n, n, np.uint64(seed), epoch).tolist() == whole[n // 2 :].tolist()


def test_the_order_is_random() -> None:
    n = 10_000
    orders = [permuted(0, n, n, np.uint64(7), epoch).astype(float) for epoch in range(4)]
    place = np.arange(n)
    for order in orders:  # 4 sigma of a correlation of n independent numbers is 0.04
        assert abs(np.corrcoef(order, place)[0, 1]) < 0.04
        assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.04
    assert abs(np.corrcoef(orders[0], orders[1])[0, 1]) < 0.04


@given(seed=st.integers(0, 2**64 - 1), item=st.integers(0, 2**56 - 1), epoch=st.integers(0, 2**32 - 1))
def test_words_are_philox(seed: int, item: int, epoch: int) -> None:
    purpose, draw = 2, 77
    counter = tuple(np.array([c], np.uint64) for c in (draw, item % 2**32, epoch, purpose | item >> 32 << 8))
    expected = philox4x32(counter, (seed % 2**32, seed >> 32))  # type: ignore[arg-type]
    assert [int(w) for w in words(np.uint64(seed), purpose, epoch, item, draw)] == [int(w[0]) for w in expected]
