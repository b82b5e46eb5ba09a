"""A vocabulary of the usual size, of invented words: tokenizers must read a real one when they start."""

from __future__ import annotations

from itertools import product

from minibert.tokenizer import BertTokenizer

TEXT = "The old house on the hill was [MASK] for many years."
"""The text that the first answer is about; its words are in the vocabulary."""
WORDS = ["the", "old", "house", "on", "hill", "was", "for", "many", "years"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def words(size: int) -> list[str]:
    """`size` different tokens: special ones, characters, words of the text, and syllables put together."""
    characters = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-"
    made = [*SPECIAL, *WORDS, *characters, *("##" + c for c in characters[:36])]
    syllables = [a + b for a, b in product("bcdfghjklmnprstvwz", "aeiou")]
    for pair in product(syllables, repeat=2):
        made += ["".join(pair), "##" + "".join(pair)]
    for triple in product(syllables, repeat=3):
        if len(made) >= size + len(WORDS):  # a few may be there twice
            break
        made.append("".join(triple))
    return list(dict.fromkeys(made))[:size]


def tokenizer(size: int) -> BertTokenizer:
    """A lower-casing tokenizer with that vocabulary."""
    return BertTokenizer(words(size), do_lower_case=True)
