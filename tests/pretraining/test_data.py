"""Examples: the statistics of the model card, and that any of them can be made again by itself."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import BertTokenizer, NextSentence
from minibert.pretraining import Corpus, CorpusError, CorpusWarning, DataError, PretrainingData, prepare_corpus
from minibert.pretraining.data import Epoch
from minibert.pretraining.shards import read_index
from tests.pretraining.texts import SPECIAL, random_documents, vocabulary, write_folder

PAD, UNK, CLS, SEP, MASK = range(5)
COUNT = 200_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million tokens in 200 documents, some with long sentences, one token in a hundred [UNK]."""
    lengths = [1, 2, 3, 7, *np.linspace(50, 10_000, 196).astype(int).tolist()]
    documents = random_documents(lengths[:100], sentence=25, unknown=0.01)
    documents += random_documents(lengths[100:], sentence=300, seed=1, unknown=0.01)
    return write_folder(tmp_path_factory.mktemp("data") / "data", documents, shard_tokens=200_000)


def data(folder: Path, *, max_length: int = 128, seed: int = 11, **options: Any) -> PretrainingData:
    return PretrainingData(folder, max_length=max_length, seed=seed, **options)


def test_numbers_may_be_numpys(folder: Path) -> None:
    plain = data(folder)
    made = PretrainingData(
        str(folder), max_length=np.int64(128), seed=np.uint64(11), short_sequence_probability=np.float64(0.1),
        masking_probability=np.float64(0.15),
    )  # fmt: skip
    batches = plain.epoch(0).batch(0, 4), made.epoch(np.int32(0)).batch(0, 4)
    for one, other in zip(*(batch.values() for batch in batches), strict=True):
        np.testing.assert_array_equal(one, other)
    for wrong in ({"max_length": 12.5}, {"seed": True}, {"masking_probability": "0.15"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong)).removeprefix('a ')} must be"):
            data(folder, **wrong)


def test_statistics_of_200_000_examples(folder: Path) -> None:
    made = data(folder)
    count: Counter[str] = Counter()
    epoch_number = 0
    while count["examples"] < COUNT:
        epoch = made.epoch(epoch_number)
        used = np.zeros(made.tokens + 1, np.int64)
        for first in range(0, len(epoch), 256):
            last = min(first + 256, len(epoch))
            count.update(check_batch(made, epoch, first, last, used))
        # Every text token is in some A or true B of the epoch, exactly once.
        assert (np.cumsum(used)[:-1] == 1).all()
        epoch_number += 1

    n, k = count["text tokens"], count["masked"]
    assert abs(k / n - 0.15) < 0.001
    for kind, share in (("[MASK]", 0.8), ("another", 0.1), ("kept", 0.1)):
        sigma = (share * (1 - share) / k) ** 0.5
        assert abs(count[kind] / k - share) < 4 * sigma, kind
    assert abs(count["negative"] / count["examples"] - 0.5) < 0.005
    assert abs(count["negative of one sentence"] / count["of one sentence"] - 0.5) < 0.02  # 4 sigma of 10,000
    assert count["of one sentence"] > 10_000
    # One in ten is made for a random length, and each document's end leaves a short one.
    assert 0.09 < count["short"] / count["examples"] < 0.2


def check_batch(made: PretrainingData, epoch: Epoch, first: int, last: int, used: np.ndarray) -> dict[str, int]:
    """Checks one batch against the text it comes from; returns counts."""
    batch, places = epoch.batch(first, last), epoch.places(first, last)
    ids, labels, mask = batch["input_ids"], batch["labels"], batch["attention_mask"]
    assert all(part.dtype == np.int64 for part in batch.values())
    lengths = mask.sum(axis=1)
    assert ids.shape[1] == lengths.max() <= made.max_length
    assert lengths.min() >= 5
    chosen = labels != -100
    original = np.where(chosen, labels, ids)

    # [CLS] A [SEP] B [SEP], A and B as they stand in the text.
    one = places.first_stop - places.first_start
    two = places.second_stop - places.second_start
    position, row = np.arange(ids.shape[1]), np.arange(len(ids))
    assert (lengths == one + two + 3).all()
    assert (mask == (position < lengths[:, None])).all()
    assert (batch["token_type_ids"] == mask * (position >= one[:, None] + 2)).all()
    text = np.concatenate([np.asarray(shard.tokens) for shard in made.shards]) if first == 0 else None
    assert (ids[:, 0] == CLS).all()
    assert (ids[row, one + 1] == SEP).all()
    assert (ids[row, lengths - 1] == SEP).all()
    assert (ids[mask == 0] == PAD).all()
    if text is not None:
        for r in range(len(ids)):
            assert (original[r, 1 : one[r] + 1] == text[places.first_start[r] : places.first_stop[r]]).all()
            second = text[places.second_start[r] : places.second_stop[r]]
            assert (original[r, one[r] + 2 : lengths[r] - 1] == second).all()

    # Masked words.
    assert (original[chosen] >= len(SPECIAL)).all()
    put = ids[chosen]
    replaced = (put != MASK) & (put != labels[chosen])
    assert (put[replaced] >= len(SPECIAL)).all()
    maskable = original >= len(SPECIAL)
    assert (chosen.any(axis=1) == maskable.any(axis=1)).all()

    # Next sentence.
    negative = batch["next_sentence_label"] == NextSentence.NOT_NEXT
    assert (negative == places.negative).all()
    assert (places.second_start[~negative] == places.first_stop[~negative]).all()
    begins = np.concatenate([shard.first_token + shard.documents[:-1].astype(np.int64) for shard in made.shards])
    owner = [np.searchsorted(begins, place, "right") for place in (places.first_start, places.second_start)]
    assert ((owner[0] != owner[1]) == negative).all()
    np.add.at(used, places.first_start, 1)
    np.add.at(used, np.where(negative, places.first_stop, places.second_stop), -1)

    whole = epoch.pairs[epoch._chosen(first, last)]["aligned"] == 0  # no sentence begins inside
    return {
        "examples": len(ids),
        "text tokens": int(maskable.sum()),
        "masked": int(chosen.sum()),
        "[MASK]": int((put == MASK).sum()),
        "another": int(replaced.sum()),
        "kept": int((put == labels[chosen]).sum()),
        "negative": int(negative.sum()),
        "of one sentence": int((whole & (one > 1)).sum()),
        "negative of one sentence": int((whole & (one > 1) & negative).sum()),
        "short": int((lengths < made.max_length - 16).sum()),
    }


def rows(batch: dict[str, np.ndarray]) -> list[dict[str, list[int]]]:
    """Each example by itself, without padding."""
    lengths = batch["attention_mask"].sum(axis=1)
    return [{name: np.atleast_1d(part[r])[:n].tolist() for name, part in batch.items()} for r, n in enumerate(lengths)]


@pytest.mark.parametrize("options", [{}, {"whole_word_masking": True}, {"max_length": 17, "masking_probability": 0.5}])
def test_any_example_can_be_made_again(folder: Path, options: dict[str, Any]) -> None:
    """Whatever batch it is in, whatever was made before, in another process's object."""
    epoch = data(folder, **options).epoch(4)
    together = rows(epoch.batch(100, 140))
    apart = data(folder, verify=False, **options)
    apart.epoch(5).batch(0, 3)
    assert [rows(apart.epoch(4).batch(i, i + 1))[0] for i in range(139, 99, -1)] == together[::-1]
    assert rows(epoch.batch(110, 120)) == together[10:20]


def test_another_epoch_or_seed_is_another_draw(folder: Path) -> None:
    drawn = [str(rows(data(folder, seed=seed).epoch(number).batch(0, 4))) for seed in (0, 1) for number in (0, 1)]
    assert len(set(drawn)) == 4


def test_an_epoch_in_pieces_is_the_whole_epoch(folder: Path) -> None:
    epoch = data(folder, max_length=512).epoch(0)
    order = np.concatenate([epoch._chosen(i, min(i + 7, len(epoch))) for i in range(0, len(epoch), 7)])
    assert sorted(order.tolist()) == list(range(len(epoch)))
    assert (np.diff(order) != 1).mean() > 0.99


def test_what_makes_no_sense(folder: Path) -> None:
    for options, message in (
        ({"max_length": 7}, "max_length is 8 to"),
        ({"seed": -1}, "a seed is an integer from 0"),
        ({"short_sequence_probability": 1.5}, "short-sequence probability is 0 to 1"),
        ({"masking_probability": 0.0}, "above 0 and at most 1"),
    ):
        with pytest.raises(DataError, match=message):
            data(folder, **options)  # type: ignore[arg-type]
    made = data(folder)
    with pytest.raises(DataError, match="epochs are numbered from 0"):
        made.epoch(-1)
    epoch = made.epoch(0)
    for first, last in ((-1, 3), (3, 3), (0, len(epoch) + 1)):
        with pytest.raises(DataError, match=f"the epoch has {len(epoch)}"):
            epoch.batch(first, last)


# ---- from texts

TEXTS = {
    "a.txt": "w1 w2 w3. w4 ##p1!\n\n[MASK] w5",
    "b.txt": "w6p1 w7. W8 w9p2p3. " * 5,
    "c.txt": "w10 " * 30,
}


@pytest.fixture
def tokenizer() -> BertTokenizer:
    return BertTokenizer([*vocabulary(100), ".", "!", "[", "]", "#", "##w"], do_lower_case=False)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "texts" / name).write_text(text)
    return tmp_path / "texts"


def test_prepared_tokens_are_the_tokenizers(texts: Path, tokenizer: BertTokenizer, tmp_path: Path) -> None:
    told = prepare_corpus(Corpus(texts), tokenizer, tmp_path / "data")
    made = data(tmp_path / "data", max_length=16)
    for number, text in enumerate(TEXTS.values()):
        start, stop = made.span_of_document(int(made.shards[0].documents[number]))
        ids = made.read(start, stop).tolist()
        assert made.name_of(number) == list(TEXTS)[number]
        plain = text.replace("[MASK]", "[ MASK ]")  # written out in a text, it is no special token
        assert ids == tokenizer(plain, add_special_tokens=False)["input_ids"]
        assert MASK not in ids
    assert made.tokenizer.get_vocab() == tokenizer.get_vocab()
    assert (told["documents"], told["tokens"], told["skipped"]) == (3, made.tokens, [])
    assert made.shards[0].segments.tolist()[:4] == [0, 9, 13, 17]  # "##" is two tokens of three in a text


def test_held_out(texts: Path, tokenizer: BertTokenizer, tmp_path: Path) -> None:
    told = prepare_corpus(Corpus(texts), tokenizer, tmp_path / "data", held_out=["b.*"])
    assert told["train"]["documents"] == 2
    assert read_index(tmp_path / "data" / "held-out")["documents"] == 1
    names = [name for shard in data(tmp_path / "data" / "train").shards for name in shard.names()]
    assert names == ["a.txt", "c.txt"]
    with pytest.raises(CorpusError, match=r"no document is called 'd\.txt'"):
        prepare_corpus(Corpus(texts), tokenizer, tmp_path / "more", held_out=["b.txt", "d.txt"])
    with pytest.raises(CorpusError, match="nothing to prepare"):
        prepare_corpus(Corpus(texts), tokenizer, tmp_path / "more", held_out=["*"])
    assert not (tmp_path / "more").exists()


def test_documents_without_tokens(texts: Path, tokenizer: BertTokenizer, tmp_path: Path) -> None:
    (texts / "a1.txt").write_text("\u200d")
    with pytest.warns(CorpusWarning, match=r"a1\.txt has no token"):
        told = prepare_corpus(Corpus(texts), tokenizer, tmp_path / "data")
    assert told["documents"] == 3
    assert told["skipped"] == ["a1.txt has no token"]
    with pytest.raises(CorpusError, match=r"a1\.txt has no token"):
        prepare_corpus(Corpus(texts, on_error="refuse"), tokenizer, tmp_path / "more")


def test_memory_does_not_grow_with_the_corpus(texts: Path, tokenizer: BertTokenizer, tmp_path: Path) -> None:
    """Twenty times the text, read, prepared and made into examples. (Mapped files are not counted here.)"""

    def peak(count: int) -> int:
        paths = [texts / "c.txt"] * count
        tracemalloc.start()
        prepare_corpus(Corpus(paths), tokenizer, tmp_path / f"data {count}", shard_tokens=5000)
        made = data(tmp_path / f"data {count}", max_length=16)
        epoch = made.epoch(0)
        for first in range(0, len(epoch) - 64, 64):
            epoch.batch(first, first + 64)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    (texts / "c.txt").write_text("w10 w11p1 w12. " * 100)
    peak(2)  # imports and compilation
    # 0.15 MB allow for 20 open shards and the list of files; the larger corpus would take 0.8 MB as a list of ids, and
    # its documents' text 0.3 MB.
    assert peak(200) < peak(10) + 150_000


def test_no_room_for_a_plan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    made = data(folder)
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(DataError, match="cannot write the plan of an epoch, 14 bytes .* No space left on device"):
        made.epoch(0)
