"""Every code point there is, against the `tokenizers` library.

Categories and decompositions are written out in `minibert/tokenizer/characters.py` and agree on every code point, with
every Python. Lower-casing is Python's: a letter whose small form is younger than Python's Unicode keeps its size.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from minibert.tokenizer.basic import BasicTokenizer
from minibert.tokenizer.characters import combining_class

pytestmark = pytest.mark.oracle
tokenizers = pytest.importorskip(
    "tokenizers", reason="the tokenizers library is the judge here: pip install minibert-numpy[oracle]"
)

# Capitals that got their small letter after Unicode 14.0 (Python 3.11), as (first, last): the library lower-cases them,
# Python does from the release on that knows them. Unicode 16: Cyrillic Tje, Latin, Garay; 17: Latin, Beria Erfe.
NEWER_CAPITALS = (
    (0x1C89, 0x1C89),
    (0xA7CB, 0xA7CC),
    (0xA7CE, 0xA7CE),
    (0xA7D2, 0xA7D2),
    (0xA7D4, 0xA7D4),
    (0xA7DA, 0xA7DA),
    (0xA7DC, 0xA7DC),
    (0x10D50, 0x10D65),
    (0x16EA0, 0x16EB8),
)


def unlike_here() -> set[int]:
    """The code points on which this Python and the library must differ: listed, and unknown to this Python."""
    listed = {code for first, last in NEWER_CAPITALS for code in range(first, last + 1)}
    return {code for code in listed if unicodedata.category(chr(code)) == "Cn"}


def code_points() -> Iterator[str]:
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code < 0xE000:  # surrogates are no text
            yield chr(code)


def different(ours: Callable[[str], object], theirs: Callable[[str], object]) -> set[int]:
    """The code points that the two functions treat differently, each of them between two letters.

    Many are tried at once; only where a stretch differs, each by itself.
    """
    found: set[int] = set()
    chars = code_points()
    while stretch := list(islice(chars, 512)):
        text = "x" + "x".join(stretch) + "x"
        if ours(text) != theirs(text):
            found |= {ord(char) for char in stretch if ours(f"x{char}x") != theirs(f"x{char}x")}
    return found


def oracle(lowercase: bool, strip_accents: bool) -> Any:
    return tokenizers.normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=strip_accents, lowercase=lowercase
    )


@pytest.mark.parametrize("lower", [False, True], ids=["cased", "uncased"])
def test_normalisation_of_every_code_point(lower: bool) -> None:
    basic, want = BasicTokenizer(lower), oracle(lower, lower)

    def ours(text: str) -> str:
        return "".join(char for char, _ in basic.normalize(text))

    assert different(ours, want.normalize_str) == (unlike_here() if lower else set())


def test_punctuation_of_every_code_point() -> None:
    splitter, cased, normal = tokenizers.pre_tokenizers.BertPreTokenizer(), BasicTokenizer(False), oracle(False, False)

    def ours(text: str) -> list[str]:
        return [word.text for word in cased(text)]

    def theirs(text: str) -> list[str]:
        return [word for word, _ in splitter.pre_tokenize_str(normal.normalize_str(text))]

    assert different(ours, theirs) == set()


def test_order_of_every_mark() -> None:
    """Two marks on a letter are put into canonical order by the classes of the library's Unicode."""
    nfd = tokenizers.normalizers.NFD()
    marks = [char for char in code_points() if unicodedata.combining(char)]
    by_class = {combining_class(char): char for char in marks if combining_class(char)}
    probes = [by_class[number] for number in sorted(by_class)]
    for char in marks:
        for probe in probes:
            ours = sorted((probe, char), key=combining_class) if combining_class(char) else [probe, char]
            if unicodedata.normalize("NFD", char) == char and unicodedata.normalize("NFD", probe) == probe:
                assert nfd.normalize_str("a" + probe + char) == "a" + "".join(ours), (hex(ord(char)), hex(ord(probe)))
