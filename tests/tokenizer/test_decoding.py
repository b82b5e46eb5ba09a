"""From ids back to text."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minibert.tokenizer import BertTokenizer


def test_decode(uncased: BertTokenizer) -> None:
    ids = uncased.encode("The quick fox jumps, a lazy dog.")
    assert uncased.decode(ids) == "[CLS] the quick fox jumps, a lazy dog. [SEP]"
    assert uncased.decode(ids, skip_special_tokens=True) == "the quick fox jumps, a lazy dog."
    assert uncased.decode(np.array(ids), skip_special_tokens=True) == "the quick fox jumps, a lazy dog."
    assert uncased.decode(uncased.mask_token_id) == "[MASK]"
    assert uncased.decode([]) == ""
    assert uncased.decode([7, 10**6]) == uncased.decode([7])  # an id without a token is left out


def test_contractions_close_up_on_request(uncased: BertTokenizer) -> None:
    ids = uncased.encode("the dog's", add_special_tokens=False)
    tokens = uncased.convert_tokens_to_ids(["a", "'", "b"])
    assert uncased.decode(tokens) == "a ' b"
    assert uncased.decode(tokens, clean_up_tokenization_spaces=True) == "a'b"
    assert uncased.decode(ids, clean_up_tokenization_spaces=True).startswith("the dog")
    always = BertTokenizer(uncased.get_vocab(), clean_up_tokenization_spaces=True)
    assert always.decode(tokens) == "a'b"


def test_a_piece_at_the_start_keeps_its_sign(uncased: BertTokenizer) -> None:
    assert uncased.convert_tokens_to_string(["##s", "##s"]) == "##ss"


def test_batches(uncased: BertTokenizer) -> None:
    rows = uncased(["the fox", "a dog."])["input_ids"]
    want = ["the fox", "a dog."]
    assert uncased.batch_decode(rows, skip_special_tokens=True) == want
    assert uncased.decode(rows, skip_special_tokens=True) == want


@given(st.lists(st.sampled_from(["the", "quick", "fox", "jumps", "unaffable", "dog"]), min_size=1))
def test_words_survive_the_round_trip(words: list[str]) -> None:
    tokenizer = BertTokenizer(["[UNK]", "the", "quick", "fox", "jump", "##s", "una", "##ffable", "dog"])
    text = " ".join(words)
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text
