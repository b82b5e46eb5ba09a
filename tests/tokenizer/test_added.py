"""Added tokens, the names of the special ones, and what may be set."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from minibert.tokenizer import AddedToken, BertTokenizer
from minibert.tokenizer.added import AddedTokenMatcher

BASE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "ab", "क", "##र", "##ी"]


def found(patterns: list[str], text: str, **flags: bool) -> list[tuple[int, int]]:
    matcher = AddedTokenMatcher()
    for pattern in patterns:
        matcher.add(pattern, AddedToken(pattern, **flags))
    cuts = list(matcher(text))
    assert [cut[0] for cut in cuts[1:]] == [cut[1] for cut in cuts[:-1]]  # they cover the text
    return [(start, stop) for start, stop, token in cuts if token is not None]


@pytest.mark.parametrize(
    ("patterns", "text", "expected"),
    [
        (["ab", "abc", "a"], "xabcab", [(1, 4), (4, 6)]),  # of those that begin at one place the longest
        (["bcd", "ab"], "abcd", [(0, 2)]),  # the leftmost before the longest
        (["abcx", "b"], "abcy", [(1, 2)]),  # one that breaks off does not hide another
        (["[M]", "]-^\\"], "a[M]]-^\\", [(1, 4), (4, 8)]),  # nothing in a token has a meaning of its own
        (["", "a"], "a", [(0, 1)]),
        ([], "a", []),
    ],
)
def test_leftmost_then_longest(patterns: list[str], text: str, expected: list[tuple[int, int]]) -> None:
    assert found(patterns, text) == expected
    assert found(patterns[::-1], text) == expected


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("xx", True), (" xx.", True), ("-xx½", True), ("xx\u2019s", True), ("中xx", False),
        ("xx\u0301", False), ("e\u0301xx", False), ("xx\u0940", False), ("xx_", False), ("5xx", False),
        ("xx\u200d", False), ("xxⅫ", False), ("ⓐxx", False), ("xx\U00010d40", False),
    ],
)  # fmt: skip
def test_what_touches_a_single_word(text: str, alone: bool) -> None:
    assert bool(found(["xx"], text, single_word=True)) == alone


def test_a_word_with_a_vowel_sign_stays_whole() -> None:
    tokenizer = BertTokenizer(BASE, do_lower_case=False)
    tokenizer.add_tokens(AddedToken("कर", single_word=True, special=False))
    assert tokenizer.tokenize("करी") == ["क", "##र", "##ी"]
    assert tokenizer.tokenize("कर") == ["कर"]


def test_spaces_that_are_swallowed() -> None:
    assert found(["<l>"], "a \u00a0\x85<l> b", lstrip=True) == [(1, 7)]
    assert found(["<r>"], "<r>\t\x1cb", rstrip=True) == [(0, 4)]  # U+001C is no white space, whatever Python says
    assert found(["<r>", " b"], "<r>  b", rstrip=True) == [(0, 5), (5, 6)]


def test_tokens_in_normalised_text_are_found_in_any_spelling() -> None:
    tokenizer = BertTokenizer(BASE)
    tokenizer.add_tokens(["NewTok", "中a"])
    text = "a\u0301 N\u0301ewTOK\u200dab 中 a 中a"
    out = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    assert out.tokens() == ["a", "NewTok", "ab", "[UNK]", "a", "中a"]
    assert [text[start:stop] for start, stop in out["offset_mapping"]][1] == "N\u0301ewTOK"
    assert out.word_ids() == [0, 1, 2, 3, 4, 5]


def test_tokens_added_after_a_text_count_from_then_on() -> None:
    tokenizer = BertTokenizer(BASE)
    assert tokenizer.tokenize("ab xy") == ["ab", "[UNK]"]
    for token in ("xy", AddedToken("b"), AddedToken("xy", single_word=True, special=False)):
        tokenizer.add_tokens(token)
    assert tokenizer.tokenize("ab xy xyz") == ["a", "b", "xy", "[UNK]"]


def test_threads_share_a_tokenizer() -> None:
    """The search for added tokens is made at the first text, whichever thread has it."""
    for _ in range(20):
        tokenizer = BertTokenizer([*BASE, *(f"<{k}>" for k in range(50))])
        tokenizer.add_tokens([f"<{k}>" for k in range(50)], special_tokens=True)
        with ThreadPoolExecutor(4) as pool:
            rows = list(pool.map(tokenizer.tokenize, ["a<7>b<49>"] * 8))
        assert rows == [["a", "<7>", "b", "<49>"]] * 8


def test_what_is_no_token_is_refused_and_adds_nothing() -> None:
    tokenizer = BertTokenizer(BASE)
    size = len(tokenizer)
    wrong: Any
    for wrong in (5, None, ["x", None], [b"x"], {"x": 1}.values()):
        with pytest.raises(ValueError, match="token"):
            tokenizer.add_tokens(wrong)
    assert tokenizer.add_tokens(["", []][0]) == 0
    assert len(tokenizer) == size


def test_special_tokens_can_be_named_again() -> None:
    tokenizer = BertTokenizer([*BASE, "<pad>", "<unk>"])
    tokenizer.pad_token = "<pad>"
    assert tokenizer.pad_token_id == 11
    assert tokenizer(["a", "a b"], padding=True)["input_ids"][0][-1] == 11
    tokenizer.pad_token_id = np.int64(0)
    assert tokenizer.pad_token == "[PAD]"
    tokenizer.unk_token = "<unk>"
    assert tokenizer.tokenize("zzz") == ["<unk>"]
    for name, value in (("pad_token", "nothing"), ("pad_token_id", 99), ("pad_token_id", True), ("mask_token", None)):
        with pytest.raises(ValueError, match=name.removesuffix("_id")):
            setattr(tokenizer, name, value)


def test_bert_has_no_beginning_and_end_of_its_own() -> None:
    tokenizer = BertTokenizer(BASE)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.bos_token_id, tokenizer.eos_token_id) == (None,) * 4
    tokenizer.bos_token = None
    with pytest.raises(ValueError, match="BERT has no eos_token: a row begins with cls_token"):
        tokenizer.eos_token = "[SEP]"


def test_extra_special_tokens_are_replaced_or_joined() -> None:
    tokenizer = BertTokenizer(BASE, extra_special_tokens=["<1>"])
    assert tokenizer.add_special_tokens({"extra_special_tokens": ["<2>"]}, replace_extra_special_tokens=False) == 1
    assert tokenizer.extra_special_tokens == tokenizer.additional_special_tokens == ["<1>", "<2>"]
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<3>", "<1>"]}) == 1
    assert tokenizer.extra_special_tokens == ["<3>", "<1>"]
    assert tokenizer.additional_special_tokens_ids == tokenizer.convert_tokens_to_ids(["<3>", "<1>"])
    assert tokenizer.tokenize("a<2>") == ["a", "<2>"]  # a former one is never split either
    with pytest.raises(ValueError, match="no token of the vocabulary"):
        tokenizer.extra_special_tokens = ["<4>"]
    with pytest.raises(ValueError, match="list of tokens, not 'x'"):
        tokenizer.add_special_tokens({"extra_special_tokens": "x"})


def test_flags_of_a_special_token_are_kept() -> None:
    tokenizer = BertTokenizer(BASE, mask_token=AddedToken("[MASK]", lstrip=True))
    assert tokenizer("a [MASK]", return_offsets_mapping=True)["offset_mapping"][2] == (1, 8)
    assert tokenizer.mask_token == "[MASK]"


def test_how_texts_are_normalised_can_be_set() -> None:
    tokenizer = BertTokenizer([*BASE, "A", "á"])
    assert (tokenizer.do_lower_case, tokenizer.strip_accents, tokenizer.tokenize_chinese_chars) == (True, None, True)
    assert tokenizer.tokenize("A á") == ["a", "a"]
    tokenizer.do_lower_case = False
    assert tokenizer.tokenize("A á") == ["A", "á"]
    tokenizer.strip_accents = True
    assert tokenizer.tokenize("A á") == ["A", "a"]
    with pytest.raises(ValueError, match="must be True or False, not 'yes'"):
        tokenizer.do_lower_case = "yes"  # type: ignore[assignment]


def test_ids_may_be_arrays_and_must_be_integers() -> None:
    tokenizer = BertTokenizer(BASE)
    for ids in (np.array([5, 6]), [np.int64(5), 6], (5, np.uint8(6)), np.array([[5, 6]])[0]):
        assert tokenizer.decode(ids) == "a b"
        assert tokenizer.convert_ids_to_tokens(ids) == ["a", "b"]
    assert tokenizer.decode(np.array([[5], [6]])) == ["a", "b"]
    assert tokenizer.decode(np.array(5)) == tokenizer.decode(np.int64(5)) == "a"
    wrong: Any
    for wrong in ([5.5], ["5"], "5", [True, False], None, {"input_ids": [5]}, np.array([5.0])):
        with pytest.raises(ValueError, match="id"):
            tokenizer.decode(wrong)
    assert tokenizer.get_special_tokens_mask([5], [6, 7], already_has_special_tokens=False) == [1, 0, 1, 0, 0, 1]


def test_numbers_of_numpy_are_lengths_rows_and_places() -> None:
    tokenizer = BertTokenizer(BASE)
    batch = tokenizer(["a b a b"], truncation=True, max_length=np.int64(4), stride=np.uint8(1),
                      return_overflowing_tokens=True, padding="max_length", pad_to_multiple_of=np.int32(2))  # fmt: skip
    assert len(batch["input_ids"]) == 3
    assert batch[np.int64(0)].tokens == batch.tokens(np.int64(0)) == ["[CLS]", "a", "b", "[SEP]"]
    assert batch.char_to_token(np.int64(0), np.int64(2)) == 2
    with pytest.raises(ValueError, match="number of a row"):
        batch.tokens(True)
    with pytest.raises(ValueError, match="max_length"):
        tokenizer("a", truncation=True, max_length=True)
    assert BertTokenizer(BASE, model_max_length=1e30).model_max_length == int(1e30)
    for wrong in (0, "many", float("nan"), True):
        with pytest.raises(ValueError, match="model_max_length"):
            BertTokenizer(BASE, model_max_length=wrong)  # type: ignore[arg-type]
