"""Basic tokenization: what becomes a word, and where it stood."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.tokenizer import BasicTokenizer
from minibert.tokenizer.characters import CONTROLS, MARKS, PUNCTUATION, SPACES

UNCASED, CASED = BasicTokenizer(), BasicTokenizer(do_lower_case=False)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def words(text: str, basic: BasicTokenizer = UNCASED) -> list[str]:
    return [word.text for word in basic(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n ", []),
        ("Hello, world!", ["hello", ",", "world", "!"]),
        ("a--b", ["a", "-", "-", "b"]),
        ("it's $5^2", ["it", "'", "s", "$", "5", "^", "2"]),  # ASCII symbols count as punctuation
        ("Héllo Ünïcödé", ["hello", "unicode"]),
        ("Ｈｉ！", ["ｈｉ", "！"]),  # full width: lower-cased, not folded
        ("中文x字", ["中", "文", "x", "字"]),
        ("ひらがな", ["ひらかな"]),  # kana are no Chinese characters; the voicing mark is an accent after NFD
        ("a\u00a0b\u3000c\u2028d", ["a", "b", "c", "d"]),
        ("a\u200db\ufeffc\x00d\ufffde", ["abcde"]),  # joiner, byte order mark, NUL, undecodable: dropped, not spaces
        ("a\x0bb\x85c", ["abc"]),  # controls before spaces: vertical tab and NEL are dropped
        ("soft\u00adhyphen", ["softhyphen"]),
        ("ΌΣΟΣ", ["οσοσ"]),  # no final sigma: each character by itself
        ("İstanbul", ["istanbul"]),
        ("한글", [unicodedata.normalize("NFD", "한글")]),
        ("≠", ["="]),  # decomposes to "=" and a mark: punctuation all the same
        ("e\u0301", ["e"]),
    ],
)
def test_uncased_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Héllo, World", ["Héllo", ",", "World"]),  # a cased model keeps case and accents
        ("naïve", ["naïve"]),
        ("中文", ["中", "文"]),
    ],
)
def test_cased_words(text: str, expected: list[str]) -> None:
    assert words(text, CASED) == expected


def test_accents_and_case_are_separate_choices() -> None:
    assert words("Élan", BasicTokenizer(do_lower_case=True, strip_accents=False)) == ["élan"]
    assert words("Élan", BasicTokenizer(do_lower_case=False, strip_accents=True)) == ["Elan"]
    assert words("İ", BasicTokenizer(strip_accents=False)) == ["i\u0307"]
    assert words("中文", BasicTokenizer(tokenize_chinese_chars=False)) == ["中文"]


def test_a_newline_is_a_space_and_no_word_is_lost() -> None:
    assert words("one\ntwo\r\nthree") == ["one", "two", "three"]


def test_places_point_into_the_original() -> None:
    text = " Ünï\u0301\x00x  中"
    spans = [(word.text, text[slice(*word.span(0, len(word.text)))]) for word in UNCASED(text)]
    assert spans == [("unix", "Ünï\u0301\x00x"), ("中", "中")]


@given(ANY_TEXT)
def test_cased_words_are_what_is_left_without_spaces_and_controls(text: str) -> None:
    word_spans = [word.span(0, len(word.text)) for word in CASED(text)]
    assert word_spans == sorted(word_spans)
    private = [(0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD)]

    def visible(part: str) -> str:
        kept = (c for c in part if c not in CONTROLS and not any(low <= ord(c) <= high for low, high in private))
        return "".join(c for c in kept if c not in SPACES)

    for word, (start, stop) in zip(CASED(text), word_spans, strict=True):
        assert visible(text[start:stop]) == word.text
    assert "".join(words(text, CASED)) == visible(text)


@given(ANY_TEXT)
def test_uncased_is_stable(text: str) -> None:
    """What comes out goes in again and comes out the same: nothing is left to normalise."""
    once = words(text)
    twice = words(" ".join(once))
    # A few capitals decompose only after lower-casing or expand to marks; a third pass never changes anything.
    assert words(" ".join(twice)) == twice
    if all(unicodedata.normalize("NFD", word) == word for word in once):
        assert "".join(twice) == "".join(char for word in once for char in word if char not in MARKS)


def test_tables_agree_with_unicode_where_unicode_did_not_change() -> None:
    """All of ASCII and Latin-1, and the tables' categories: a table with a slip of a digit would stand out."""
    ascii_symbols = {chr(code) for code in range(33, 127) if not chr(code).isalnum()}
    for code in range(0x100):
        char = chr(code)
        category = unicodedata.category(char)
        assert (char in PUNCTUATION) == (category.startswith("P") or char in ascii_symbols), hex(code)
        assert (char in CONTROLS) == (category in ("Cc", "Cf") and char not in "\t\n\r"), hex(code)
        assert (char in SPACES) == (char.isspace() and char not in CONTROLS), hex(code)
    # Since Unicode 8.0 a handful of characters changed their category (U+1734 and the like).
    for table, prefix in ((MARKS, "Mn"), (PUNCTUATION - ascii_symbols, "P"), (CONTROLS - {"\ufffd"}, "C")):
        changed = [char for char in table if not unicodedata.category(char).startswith(prefix)]
        assert len(changed) <= 10, [hex(ord(char)) for char in changed]
