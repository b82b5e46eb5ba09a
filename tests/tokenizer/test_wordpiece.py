"""WordPiece: greedy, whole words unknown, a hundred characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.tokenizer import BertTokenizer, WordPiece

VOCAB = ["[UNK]", "una", "un", "##ffa", "##ffable", "##ble", "##aff", "a", "##a", "ab", "##b", "##c"]
PIECES = WordPiece({token: id for id, token in enumerate(VOCAB)})


def tokens(word: str) -> list[str]:
    return [VOCAB[piece.id] for piece in PIECES(word)]


def test_longest_match_first() -> None:
    assert tokens("unaffable") == ["una", "##ffable"]  # not una ##ffa ##ble, not un ##aff ...
    assert tokens("unaffa") == ["una", "##ffa"]


def test_greedy_does_not_go_back() -> None:
    """ "una" is taken although "un" + "##aff" would have reached further: then the word is unknown."""
    assert tokens("unaff") == ["[UNK]"]


def test_the_whole_word_is_unknown_when_any_rest_is() -> None:
    assert tokens("abx") == ["[UNK]"]
    assert PIECES("abx") == [(0, 0, 3)]


@pytest.mark.parametrize(("length", "count"), [(1, 1), (99, 99), (100, 100), (101, 1), (200, 1), (100_000, 1)])
def test_hundred_characters_a_word(length: int, count: int) -> None:
    assert len(PIECES("a" * length)) == count


def test_characters_are_counted_not_bytes() -> None:
    wide = WordPiece({"[UNK]": 0, "é": 1, "##é": 2})
    assert len(wide("é" * 100)) == 100


@given(st.text("abcx", min_size=1, max_size=12))
def test_pieces_tile_the_word(word: str) -> None:
    pieces = PIECES(word)
    if pieces[0].id == 0:
        assert pieces == [(0, 0, len(word))]
        return
    assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces[:-1])]
    assert pieces[-1].stop == len(word)
    for piece in pieces:
        assert VOCAB[piece.id].removeprefix("##") == word[piece.start : piece.stop]
        assert VOCAB[piece.id].startswith("##") == (piece.start > 0)


def test_published_cased_tokenization(cased: BertTokenizer) -> None:
    text = "A, naïve [MASK] AllenNLP sentence."
    assert cased.tokenize(text) == [
        *("A", ",", "na", "##ï", "##ve", "[MASK]", "Allen", "##NL", "##P", "sentence", "."),
    ]
