"""Calling the tokenizer: shapes, keys, pairs, special tokens in the text, offsets, and what it refuses."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.tokenizer import AddedToken, BatchEncoding, BertTokenizer

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def test_one_text(uncased: BertTokenizer) -> None:
    out = uncased("The quick brown fox.")
    assert list(out) == ["input_ids", "token_type_ids", "attention_mask"]  # in the order a model reads them
    assert out.tokens() == ["[CLS]", "the", "quick", "brown", "fox", ".", "[SEP]"]
    assert out["token_type_ids"] == [0] * 7
    assert out.attention_mask == [1] * 7
    assert isinstance(out, dict)


def test_pair_types_follow_the_second_text(uncased: BertTokenizer) -> None:
    out = uncased("the fox", "a dog")
    assert out.tokens() == ["[CLS]", "the", "fox", "[SEP]", "a", "dog", "[SEP]"]
    assert out["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]
    assert out.sequence_ids() == [None, 0, 0, None, 1, 1, None]
    assert out.n_sequences == 2
    bare = uncased("the fox", "a dog", add_special_tokens=False)
    assert bare["token_type_ids"] == [0, 0, 1, 1]


def test_batch_as_arrays(uncased: BertTokenizer) -> None:
    out = uncased(["the fox", "the lazy dog."], padding=True, return_tensors="np", return_offsets_mapping=True)
    assert out["input_ids"].shape == (2, 6)
    assert out["input_ids"].dtype == np.int64
    assert out["offset_mapping"].shape == (2, 6, 2)
    assert out["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert out["input_ids"][0, 4] == uncased.pad_token_id
    assert uncased("the fox", return_tensors="np")["input_ids"].shape == (1, 4)


def test_batches_of_pairs_in_both_spellings(uncased: BertTokenizer) -> None:
    zipped = uncased([("the", "fox"), ("a", "dog")])
    apart = uncased(["the", "a"], ["fox", "dog"])
    assert zipped == apart


def test_special_tokens_in_the_text_are_never_split(uncased: BertTokenizer) -> None:
    assert uncased.tokenize("a[MASK]b [SEP]the") == ["a", "[MASK]", "b", "[SEP]", "the"]
    assert uncased.tokenize("[mask]") == ["[UNK]", "[UNK]", "[UNK]"]  # only in the spelling of the vocabulary
    mask = uncased("a [MASK]", return_special_tokens_mask=True)["special_tokens_mask"]
    assert mask == [1, 0, 0, 1]  # what was typed is text, what was put round it is special


def test_empty_text_and_a_single_long_word(uncased: BertTokenizer) -> None:
    assert uncased("").tokens() == ["[CLS]", "[SEP]"]
    assert uncased("a" * 5000).tokens() == ["[CLS]", "[UNK]", "[SEP]"]
    assert uncased(["", "the"], padding=True)["attention_mask"] == [[1, 1, 0], [1, 1, 1]]


def test_lone_surrogates_are_unknown_characters(uncased: BertTokenizer) -> None:
    """They come from reading bytes with surrogateescape, and must not stop anybody."""
    assert uncased.tokenize("the \udcff fox") == ["the", "[UNK]", "fox"]


def test_offsets_and_words(uncased: BertTokenizer) -> None:
    text = "The  naïve fox jumps 中文"
    out = uncased(text, return_offsets_mapping=True)
    parts = [text[start:stop] for start, stop in out["offset_mapping"]]
    assert parts == ["", "The", "naïve", "fox", "jump", "s", "中", "文", ""]
    assert out.word_ids() == [None, 0, 1, 2, 3, 3, 4, 5, None]
    assert out.char_to_token(text.index("jumps") + 4) == 5
    assert out.char_to_token(3) is None  # a space
    assert out.char_to_word(text.index("fox")) == 2
    assert out.word_to_tokens(3) == (4, 6)
    assert out.word_to_chars(3) == (text.index("jumps"), text.index("jumps") + 5)
    assert out.token_to_chars(4) == (text.index("jumps"), text.index("jumps") + 4)
    assert out.token_to_chars(0) is None
    assert out.token_to_word(5) == 3
    assert (out.token_to_sequence(5), out.token_to_sequence(0)) == (0, None)


@given(ANY_TEXT)
def test_each_offset_slice_tokenizes_to_its_token(text: str) -> None:
    """The slice of a whole word is that word again, whatever accents and controls it was written with."""
    tokenizer = BertTokenizer(["[UNK]", *map(chr, range(0x21, 0x17F))])
    out = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    spans = out["offset_mapping"]
    assert all(0 <= start < stop <= len(text) for start, stop in spans)
    assert [span[0] for span in spans] == sorted(span[0] for span in spans)
    for token, (start, stop) in zip(out.tokens(), spans, strict=True):
        again = tokenizer.tokenize(text[start:stop])
        assert token in again


@given(ANY_TEXT, ANY_TEXT)
def test_texts_do_not_influence_each_other(first: str, second: str) -> None:
    tokenizer = BertTokenizer(["[UNK]", *map(chr, range(0x21, 0x17F))])
    joined = tokenizer.encode(first + " " + second, add_special_tokens=False)
    parts = [tokenizer.encode(text, add_special_tokens=False) for text in (first, second)]
    assert joined == parts[0] + parts[1]


def test_words_given_as_a_list(uncased: BertTokenizer) -> None:
    out = uncased(["the", "jumps over", "dog"], is_split_into_words=True, return_offsets_mapping=True)
    assert out.tokens() == ["[CLS]", "the", "jump", "##s", "over", "dog", "[SEP]"]
    assert out.word_ids() == [None, 0, 1, 1, 1, 2, None]
    assert out["offset_mapping"][2:5] == [(0, 4), (4, 5), (6, 10)]  # within the word
    batch = uncased([["the"], ["a", "dog"]], is_split_into_words=True)
    assert [len(row) for row in batch["input_ids"]] == [3, 4]


def test_optional_outputs(uncased: BertTokenizer) -> None:
    out = uncased("the fox", return_token_type_ids=False, return_attention_mask=False, return_length=True)
    assert list(out) == ["input_ids", "length"]
    assert out["length"] == [4]


def test_encode_tokenize_and_ids(uncased: BertTokenizer) -> None:
    assert uncased.tokenize("jumped over") == ["jump", "##ed", "over"]
    ids = uncased.encode("jumped over", add_special_tokens=False)
    assert uncased.convert_ids_to_tokens(ids) == ["jump", "##ed", "over"]
    assert uncased.build_inputs_with_special_tokens(ids) == uncased.encode("jumped over")
    assert uncased.build_inputs_with_special_tokens(ids, ids) == uncased.encode("jumped over", "jumped over")
    types = uncased.create_token_type_ids_from_sequences(ids, ids)
    assert types == uncased("jumped over", "jumped over")["token_type_ids"]
    assert uncased.convert_tokens_to_ids("nosuchtoken") == uncased.unk_token_id == 1
    assert uncased.convert_tokens_to_ids(["[MASK]", "fox"]) == [4, uncased.get_vocab()["fox"]]
    assert uncased.convert_ids_to_tokens([0, 10**6]) == ["[PAD]", None]
    assert uncased.convert_ids_to_tokens(np.int64(4)) == "[MASK]"
    assert (uncased.mask_token, uncased.mask_token_id) == ("[MASK]", 4)
    assert (uncased.pad_token_id, uncased.cls_token_id, uncased.sep_token_id) == (0, 2, 3)
    assert uncased.all_special_ids == [1, 3, 0, 2, 4]
    assert uncased.get_special_tokens_mask([2, 7, 3]) == [1, 0, 1]
    assert (uncased.num_special_tokens_to_add(), uncased.num_special_tokens_to_add(True)) == (2, 3)


def test_uncased_and_cased_do_not_mix(uncased: BertTokenizer, cased: BertTokenizer) -> None:
    assert cased.tokenize("The the Élan") == ["The", "the", "Élan"]  # neither lower-cased nor stripped
    assert uncased.tokenize("Résumé RESUME") == ["resume", "resume"]


def test_added_tokens() -> None:
    tokenizer = BertTokenizer(["[UNK]", "a", "b", "re", "x"])
    size = len(tokenizer)
    assert tokenizer.vocab_size == 5
    assert size == 9  # [SEP], [PAD], [CLS], [MASK] were missing and stand behind the vocabulary
    assert tokenizer.add_tokens(["NewTok", "a"]) == 2
    assert tokenizer.add_tokens("NewTok") == 0
    assert tokenizer.tokenize("a newtok reNEWTOKx") == ["a", "NewTok", "re", "NewTok", "x"]
    assert tokenizer.add_special_tokens({"extra_special_tokens": ["<e>"], "mask_token": "<mask>"}) == 2
    assert tokenizer.tokenize("a<mask>b<e><E>") == ["a", "<mask>", "b", "<e>", "[UNK]", "[UNK]", "[UNK]"]
    assert tokenizer.mask_token_id == tokenizer.convert_tokens_to_ids("<mask>") >= size
    assert tokenizer.decode(tokenizer.encode("a<e>b"), skip_special_tokens=True) == "a b"
    with pytest.raises(ValueError, match="no special token called 'nose_token'"):
        tokenizer.add_special_tokens({"nose_token": "x"})


def test_added_tokens_that_take_spaces_or_want_to_stand_alone() -> None:
    tokenizer = BertTokenizer(["[UNK]", "a", "b", "ab"])
    tokenizer.add_tokens([AddedToken("<l>", lstrip=True, rstrip=True), AddedToken("b", single_word=True)])
    out = tokenizer("a  <l> a", return_offsets_mapping=True, add_special_tokens=False)
    assert out["offset_mapping"] == [(0, 1), (1, 7), (7, 8)]
    assert tokenizer.tokenize("b ab") == ["b", "ab"]


WRONG: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((None,), {}, "not None"),
    ((3,), {}, r"not 3 \(int\)"),
    ((b"bytes",), {}, "decode them first"),
    (([],), {}, "batch is empty"),
    ((["a", None],), {}, "entry 1 of the batch is neither a text nor a pair of texts but None"),
    (([["a", "b", "c"]],), {}, "entry 0 of the batch"),
    (([[["a"]]],), {}, "entry 0 of the batch"),
    (("a", ["b"]), {}, "text_pair must be one too"),
    ((["a"], "b"), {}, "list of 1 texts"),
    ((["a", "b"], ["c"]), {}, "list of 2 texts, not a list of length 1"),
    ((["a"], [None]), {}, "entry 0 of the batch is not a text"),
    (("a",), {"is_split_into_words": True}, "list of words"),
    (("a",), {"padding": "longes"}, "padding='longes' is unknown"),
    (("a",), {"truncation": "first"}, "truncation='first' is unknown"),
    (("a",), {"return_tensors": "pt"}, "ask for 'np'"),
    (("a",), {"padding_side": "up"}, "'right' or 'left'"),
    (("a",), {"truncation": True, "max_length": -1}, "max_length must be a non-negative integer, not -1"),
    (("a",), {"truncation": True, "max_length": 4.0}, "non-negative integer"),
    (("a",), {"truncation": True, "max_length": 1}, "does not even hold the 2 special tokens"),
    (("a",), {"truncation": True, "max_length": 5, "stride": 3}, "stride=3 leaves nothing new"),
    (("a",), {"truncation": True, "max_length": 5, "stride": 9}, "stride=9 leaves nothing new"),
    (("a b c d", "a b c d"), {"truncation": True, "max_length": 7, "stride": 2}, "must be smaller than the 2 tokens"),
    (("a b c d",), {"truncation": "only_second", "max_length": 4}, "needs a second text"),
    (("a b", "a b c d"), {"truncation": "only_first", "max_length": 5}, "4 tokens must go but that text has only 2"),
    (
        (["a b", "a"],),
        {"truncation": True, "max_length": 5, "padding": True, "pad_to_multiple_of": 4},
        "no multiple of pad_to_multiple_of=4",
    ),
    ((["a b", "a"],), {"return_tensors": "np"}, "differ in length"),
]


@pytest.mark.parametrize(("arguments", "options", "message"), WRONG)
def test_wrong_input_is_one_clear_value_error(
    uncased: BertTokenizer, arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        uncased(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_options_that_numpy_computed_and_options_left_open(uncased: BertTokenizer) -> None:
    want = uncased(["the fox", "a"], padding=True)
    got = uncased(["the fox", "a"], padding=np.True_, return_token_type_ids=None, return_attention_mask=None)
    assert got == want
    assert uncased(np.str_("the fox")) == uncased("the fox")


@pytest.mark.parametrize(
    "rows", [{"input_ids": [[1], 5]}, {"input_ids": 5}, {"input_ids": [[1], [1, 2]], "attention_mask": [[1]]},
             {"input_ids": [1, 2], "token_type_ids": [0]}],
)  # fmt: skip
def test_rows_that_cannot_be_padded(uncased: BertTokenizer, rows: Any) -> None:
    with pytest.raises(ValueError, match="input_ids"):
        uncased.pad(rows)


def test_too_long_for_the_model_warns_once() -> None:
    tokenizer = BertTokenizer(["[UNK]", "a"], model_max_length=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("a a a a", truncation=True)
    with pytest.warns(UserWarning, match="has 6 tokens and the model takes 4"):
        tokenizer("a a a a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("a a a a")


def test_the_cache_is_bounded_and_changes_nothing() -> None:
    tokenizer = BertTokenizer(["[UNK]", "a", "##a", "b"])
    cache = tokenizer._cutter.cache
    cache.limit = 10
    for repeat in range(2):
        for length in range(1, 60):
            assert len(tokenizer.encode("a" * length, add_special_tokens=False)) == length, repeat
            assert len(cache) <= 10
    tokenizer("b" * 101)
    assert "b" * 101 not in cache  # long runs are not words; they must not fill the memory
    tokenizer("b" * 100)
    assert "b" * 100 in cache


def test_tokenizers_can_be_copied_and_pickled(uncased: BertTokenizer) -> None:
    want = uncased("the naïve fox")
    for other in (copy.deepcopy(uncased), pickle.loads(pickle.dumps(uncased))):
        assert other("the naïve fox") == want
        other.add_tokens("fo")
        assert other.tokenize("fox") != uncased.tokenize("fox")
    batch = pickle.loads(pickle.dumps(want))
    assert isinstance(batch, BatchEncoding)
    assert batch.tokens() == want.tokens()


def test_unknown_attribute_says_what_there_is(uncased: BertTokenizer) -> None:
    with pytest.raises(AttributeError, match="no 'labels'; it has input_ids, token_type_ids, attention_mask"):
        _ = uncased("a").labels
    with pytest.raises(ValueError, match="there is no row 3"):
        uncased("a").tokens(3)
    with pytest.raises(ValueError, match="not made by calling"):
        BatchEncoding({"input_ids": [1]}).tokens()


def test_rows_by_number(uncased: BertTokenizer) -> None:
    batch = uncased(["the fox", "the"], padding=True)
    assert batch[0].tokens == batch.tokens(0)
    assert batch[-1].ids == batch["input_ids"][1]
    assert [row.ids for row in batch[:2]] == batch["input_ids"]
    assert repr(batch[0]) == f"Encoding({batch.tokens(0)})"
    assert batch.data["input_ids"] == batch["input_ids"]
    assert uncased.is_fast
    assert batch.is_fast
    with pytest.raises(ValueError, match="there is no row 2"):
        batch[2]
