"""BERT's basic tokenizer: from a text to its words, each character knowing its place in the text.

    " Élan—vital " -> clean -> decompose -> strip accents -> lower -> split -> "elan", "—", "vital"

Every step works on a list of (character, place): `place` is the index in the original text of the character it
comes from, so that a word's offsets into the original survive whatever the steps drop, insert or expand.

Source: Devlin et al. 2019, and the tokenization published with it. Two details are those of the fast tokenizers that
everybody runs today: lower-casing goes character by character (a final sigma is not special), and Unicode categories
are frozen (`characters.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from minibert.tokenizer.characters import (
    combining_class,
    decomposed,
    is_chinese,
    is_control,
    is_mark,
    is_punctuation,
    is_space,
)

Characters = list[tuple[str, int]]  # (character, place in the original text)


class Word(NamedTuple):
    """A word or a punctuation character; `places[k]` is where the original of `text[k]` stands."""

    text: str
    places: tuple[int, ...]

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Offsets into the original of the characters [start, stop) of this word."""
        return self.places[start], self.places[stop - 1] + 1


@dataclass(frozen=True)
class BasicTokenizer:
    """Normalises and splits. `strip_accents=None` means: exactly when lower-casing."""

    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True

    @property
    def strips_accents(self) -> bool:
        """Whether accents are removed."""
        return self.do_lower_case if self.strip_accents is None else self.strip_accents

    def __call__(self, text: str) -> list[Word]:
        """The words of `text`, in order. Nothing is lost but spaces, controls and accents."""
        return list(split_words(self.normalize(text)))

    def normalize(self, text: str) -> Characters:
        """The text's characters, cleaned and, as configured, spaced, lower-cased and without accents."""
        chars = clean(text)
        if self.tokenize_chinese_chars:
            chars = space_chinese(chars)
        if self.strips_accents:
            chars = [(char, place) for char, place in decompose(chars) if not is_mark(char)]
        if self.do_lower_case:
            # One character at a time: str.lower() of a whole word would turn a last "Σ" into "ς", not "σ".
            chars = [(low, place) for char, place in chars for low in char.lower()]
        return chars


def clean(text: str) -> Characters:
    """Drop what cannot be seen, make every kind of space a plain one."""
    return [(" " if is_space(char) else char, place) for place, char in enumerate(text) if not is_control(char)]


def space_chinese(chars: Characters) -> Characters:
    """Put spaces round Chinese characters: written without spaces, each of them becomes a word."""
    spaced: Characters = []
    for char, place in chars:
        spaced += [(" ", place), (char, place), (" ", place)] if is_chinese(char) else [(char, place)]
    return spaced


def decompose(chars: Characters) -> Characters:
    """NFD: letters and accents apart, the accents on one letter in canonical order (a stable sort by class).

    Places follow the order of the text: where marks change places, their places do not.
    """
    units = [(part, k == 0) for char, _ in chars for k, part in enumerate(decomposed(char))]  # (part, is the first)
    ordered: list[tuple[str, bool]] = []
    marks: list[tuple[str, bool]] = []  # met since the last character of class 0
    for unit in units:
        if combining_class(unit[0]):
            marks.append(unit)
        else:
            ordered += sorted(marks, key=lambda mark: combining_class(mark[0]))
            ordered.append(unit)
            marks = []
    ordered += sorted(marks, key=lambda mark: combining_class(mark[0]))

    places = iter([place for _, place in chars])
    placed: Characters = []
    for part, first in ordered:
        placed.append((part, next(places) if first else placed[-1][1]))
    return placed


def split_words(chars: Characters) -> Iterator[Word]:
    """Words are what stands between spaces; each punctuation character is a word of its own."""
    start = 0
    for stop, (char, _) in enumerate([*chars, (" ", 0)]):
        punctuation = is_punctuation(char)
        if not punctuation and char != " ":
            continue
        if start < stop:
            yield _word(chars[start:stop])
        if punctuation:
            yield _word(chars[stop : stop + 1])
        start = stop + 1


def _word(chars: Characters) -> Word:
    return Word("".join(char for char, _ in chars), tuple(place for _, place in chars))
