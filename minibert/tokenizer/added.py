"""Added tokens: strings such as "[MASK]" that are found in the text before anything else and never split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AddedToken:
    """A token that is searched for as a whole.

    `normalized`: search in the normalised text (so "NewTok" is found as "newtok" by an uncased tokenizer), else in the
    raw one. `single_word`: only where no letter or digit touches it. `lstrip`, `rstrip`: swallow the spaces on that
    side. `special`: left out by `decode(..., skip_special_tokens=True)`.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = True

    @classmethod
    def from_json(cls, entry: Any, *, special: bool = True) -> AddedToken:
        """From a string, or from a dictionary as tokenizer.json and tokenizer_config.json write them."""
        if isinstance(entry, str):
            return cls(entry, normalized=not special, special=special)
        if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
            raise ValueError(f"an added token is a string or an object with a 'content', not {entry!r}")
        special = bool(entry.get("special", special))
        flags = {name: bool(entry.get(name, False)) for name in ("single_word", "lstrip", "rstrip")}
        return cls(entry["content"], normalized=bool(entry.get("normalized", not special)), special=special, **flags)

    def to_json(self) -> dict[str, Any]:
        """The token as tokenizer_config.json and tokenizer.json write it."""
        return {
            "content": self.content,
            "single_word": self.single_word,
            "lstrip": self.lstrip,
            "rstrip": self.rstrip,
            "normalized": self.normalized,
            "special": self.special,
        }


class Finder:
    """Finds tokens in a text: leftmost first, and of those the longest. `patterns` are the strings to look for."""

    def __init__(self, tokens: Iterable[tuple[str, AddedToken]]) -> None:
        self._tokens = {pattern: token for pattern, token in tokens if pattern}
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._regex = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __bool__(self) -> bool:
        return self._regex is not None

    def __call__(self, text: str) -> Iterator[tuple[int, int, AddedToken | None]]:
        """Cuts `text` into (start, stop, token); token is None for the stretches between. Covers the whole text."""
        done = 0
        for match in self._regex.finditer(text) if self._regex else ():
            token = self._tokens[match.group()]
            start, stop = match.span()
            if start < done:  # the spaces before it belong to the token before it
                continue
            if token.single_word and (_is_letter(text[start - 1 : start]) or _is_letter(text[stop : stop + 1])):
                continue
            if token.lstrip:
                start = max(done, len(text[:start].rstrip()))
            if token.rstrip:
                stop = len(text) - len(text[stop:].lstrip())
            if done < start:
                yield done, start, None
            yield start, stop, token
            done = stop
        if done < len(text):
            yield done, len(text), None


def _is_letter(char: str) -> bool:
    return re.match(r"\w", char) is not None
