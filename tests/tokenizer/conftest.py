"""A vocabulary made by hand, small enough to know what must come out."""

from __future__ import annotations

import pytest

from minibert.tokenizer import BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    *("the", "quick", "brown", "fox", "jump", "##s", "##ed", "over", "lazy", "dog", "naive", "resume"),
    *("un", "una", "##ffa", "##ffable", "##ble"),
    *("a", "b", "c", "d", "##a", "##b", ".", ",", "'", "-", "t", "中", "文", "##文"),
]
CASED = ["A", "na", "##ï", "##ve", "Allen", "##NL", "##P", "sentence", "Élan", "The", "É", ".", ",", "a", "the"]


@pytest.fixture(scope="session")
def uncased() -> BertTokenizer:
    return BertTokenizer([*SPECIAL, *WORDS])


@pytest.fixture(scope="session")
def cased() -> BertTokenizer:
    return BertTokenizer([*SPECIAL, *CASED], do_lower_case=False)
