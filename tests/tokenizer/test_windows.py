"""Truncation, overflowing windows and padding."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minibert.tokenizer import BertTokenizer
from minibert.tokenizer.encoding import kept_lengths, windows

TEXT = "a b c d a b c d"


@pytest.mark.parametrize(
    ("lengths", "room", "kept"),
    [
        ([3, 9], 8, [3, 5]),  # the shorter stays whole
        ([9, 3], 8, [5, 3]),
        ([9, 9], 8, [4, 4]),
        ([9, 9], 7, [3, 4]),  # the odd token goes to the longer, of equals to the second
        ([9, 8], 7, [4, 3]),
        ([9], 7, [7]),
        ([9, 9], 0, [0, 0]),
    ],
)
def test_longest_first(lengths: list[int], room: int, kept: list[int]) -> None:
    assert kept_lengths(lengths, room, "longest_first") == kept


@given(st.lists(st.integers(0, 30), min_size=2, max_size=2), st.integers(0, 30))
def test_longest_first_is_taking_one_token_at_a_time_from_the_longer(lengths: list[int], room: int) -> None:
    assume(sum(lengths) > room)
    left = list(lengths)
    while sum(left) > room:
        left[0 if left[0] > left[1] else 1] -= 1
    kept = kept_lengths(lengths, room, "longest_first")
    assert sum(kept) == room
    # Who gives up the odd token at the end differs between implementations; the lengths do not.
    assert sorted(kept) == sorted(left)


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 19), st.sampled_from(["left", "right"]))
def test_windows_cover_the_text_and_share_stride_tokens(length: int, size: int, stride: int, side: str) -> None:
    assume(stride < size)
    found = windows(length, size, stride, side)
    assert {place for start, stop in found for place in range(start, stop)} == set(range(length))
    assert all(stop - start <= size for start, stop in found)
    assert all(stop - start == size for start, stop in found[:-1])
    ordered = found if side == "right" else [(length - stop, length - start) for start, stop in found]
    for before, after in pairwise(ordered):
        assert before[1] - after[0] == stride


def test_the_four_strategies(uncased: BertTokenizer) -> None:
    def kept(strategy: str | bool) -> tuple[int, int]:
        ids = uncased(TEXT, "a b c", truncation=strategy, max_length=9).sequence_ids()
        return ids.count(0), ids.count(1)

    assert kept("longest_first") == kept(True) == (3, 3)
    assert kept("only_first") == (3, 3)
    assert kept(False) == kept("do_not_truncate") == (8, 3)
    with pytest.raises(ValueError, match="5 tokens must go but that text has only 3"):
        kept("only_second")
    ids = uncased("a", TEXT, truncation="only_second", max_length=7).sequence_ids()
    assert (ids.count(0), ids.count(1)) == (1, 3)


def test_overflowing_windows(uncased: BertTokenizer) -> None:
    out = uncased(
        [TEXT, "a"],
        truncation=True,
        max_length=6,
        stride=1,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
        return_tensors="np",
    )
    rows = [" ".join(out.tokens(k)) for k in range(4)]
    assert rows == [
        "[CLS] a b c d [SEP]",
        "[CLS] d a b c [SEP]",
        "[CLS] c d [SEP] [PAD] [PAD]",
        "[CLS] a [SEP] [PAD] [PAD] [PAD]",
    ]
    assert out["overflow_to_sample_mapping"].tolist() == [0, 0, 0, 1]
    assert out["offset_mapping"][1, 1:5].tolist() == [[6, 7], [8, 9], [10, 11], [12, 13]]  # still the whole text's
    assert out.word_ids(1) == [None, 3, 4, 5, 6, None]
    assert out.char_to_token(1, 6) == 1
    assert out.char_to_token(1, 0) is None


def test_question_answering_windows_keep_the_question(uncased: BertTokenizer) -> None:
    out = uncased("the fox", TEXT, truncation="only_second", max_length=9, stride=2, return_overflowing_tokens=True)
    assert [row[:4] for row in out["input_ids"]] == [out["input_ids"][0][:4]] * 3
    assert out.overflow_to_sample_mapping == [0, 0, 0]


def test_truncation_from_the_left(uncased: BertTokenizer) -> None:
    out = uncased("a b c d", truncation=True, max_length=4, truncation_side="left", return_overflowing_tokens=True)
    assert [out.tokens(k)[1:-1] for k in range(2)] == [["c", "d"], ["a", "b"]]


def test_max_length_alone_truncates_and_model_max_length_is_the_default() -> None:
    tokenizer = BertTokenizer(["[UNK]", "a"], model_max_length=5)
    assert len(tokenizer("a a a a", max_length=4)["input_ids"]) == 4
    assert len(tokenizer("a a a a", truncation=True)["input_ids"]) == 5
    assert len(tokenizer("a", padding="max_length")["input_ids"]) == 5
    unlimited = BertTokenizer(["[UNK]", "a"])
    assert len(unlimited("a " * 600, truncation=True, padding="max_length")["input_ids"]) == 602
    with pytest.warns(UserWarning, match="max_length does nothing"):
        tokenizer(["a"], padding=True, max_length=4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_every_list(uncased: BertTokenizer, side: str) -> None:
    out = uncased(
        ["a b c", "a"],
        padding="max_length",
        max_length=7,
        padding_side=side,
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
        return_tensors="np",
    )
    pads = slice(0, 4) if side == "left" else slice(3, 7)
    assert (out["input_ids"][1, pads] == uncased.pad_token_id).all()
    assert not out["attention_mask"][1, pads].any()
    assert not out["token_type_ids"][1, pads].any()
    assert out["special_tokens_mask"][1, pads].all()
    assert not out["offset_mapping"][1, pads].any()
    assert out["attention_mask"].sum(axis=1).tolist() == [5, 3]
    assert out.word_ids(1)[pads] == [None] * 4


def test_padding_to_a_multiple(uncased: BertTokenizer) -> None:
    assert uncased(["a b c", "a"], padding=True, pad_to_multiple_of=8, return_tensors="np")["input_ids"].shape == (2, 8)


def test_pad_what_was_made_one_by_one(uncased: BertTokenizer) -> None:
    rows = [uncased(text) for text in ("a b c", "a")]
    together = uncased(["a b c", "a"], padding=True)
    assert uncased.pad(rows) == together
    assert uncased.pad(uncased(["a b c", "a"])) == together
    arrays = uncased.pad([{"input_ids": np.array([1, 2])}, {"input_ids": np.array([3])}], return_tensors="np")
    assert arrays["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert uncased.pad({"input_ids": [1, 2]}, padding="max_length", max_length=3)["input_ids"] == [1, 2, 0]
    for wrong in ([], [3], {"attention_mask": [[1]]}, [{"input_ids": [1]}, {"ids": [1]}]):
        with pytest.raises(ValueError, match="pad|rows"):
            uncased.pad(wrong)
