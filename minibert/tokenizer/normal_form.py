"""The normal form of a text, quickly: what `BasicTokenizer.normalize` gives, one character at a time by a table.

Every step of the normalisation but one looks at a single character, so that what becomes of a character can be
remembered. The exception is the order of combining marks; a text that keeps some of them is left to `basic.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from minibert.tokenizer.basic import BasicTokenizer
from minibert.tokenizer.characters import combining_class

REMEMBERED = 1 << 16  # characters; a text that has more different ones begins again with an empty table


class NormalForm(dict[int, str]):
    """code point -> what the basic tokenizer makes of that character."""

    def __init__(self, basic: BasicTokenizer) -> None:
        super().__init__()
        self.basic = basic
        self._movable: set[str] = set()  # characters that keep a mark, which may change places with another

    def __missing__(self, code: int) -> str:
        if len(self) >= REMEMBERED:
            self.clear()
        normal = self[code] = "".join(char for char, _ in self.basic.normalize(chr(code)))
        if self.basic.strips_accents and any(map(combining_class, normal)):
            self._movable.add(chr(code))
        return normal

    def of(self, text: str) -> str | None:
        """The normal form of `text`; None where the order of marks matters, so that `basic.normalize` must be asked."""
        normal = text.translate(self)
        return normal if not self._movable or self._movable.isdisjoint(text) else None

    def origins(self, text: str, normal: str) -> Sequence[int]:
        """For each character of `normal`, the normal form of `text`, the place in `text` that it comes from."""
        if text.isascii() and len(normal) == len(text):  # of ASCII nothing expands, so nothing moved either
            return range(len(text))
        lengths = bytes(map(len, map(self.__getitem__, map(ord, text))))
        if lengths.count(1) == len(lengths):
            return range(len(text))
        return array("I", (place for place, length in enumerate(lengths) for _ in range(length)))
