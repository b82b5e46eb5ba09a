"""Added tokens: strings such as "[MASK]" that are found in the text before anything else and never split."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from operator import eq
from typing import Any

from minibert.number_like import as_int
from minibert.tokenizer.characters import is_white_space, is_word_character


@dataclass(frozen=True)
class AddedToken:
    """A token that is searched for as a whole.

    `normalized`: search in the normalised text (so "NewTok" is found as "newtok" by an uncased tokenizer), else in the
    raw one. `single_word`: only where no letter, mark or digit touches it. `lstrip`, `rstrip`: swallow the spaces on
    that side. `special`: left out by `decode(..., skip_special_tokens=True)`.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.content, str):
            raise ValueError(f"an added token is a string, not {self.content!r}")

    def __str__(self) -> str:
        return self.content

    @classmethod
    def from_json(cls, token: Any, *, special: bool = True) -> AddedToken:
        """From a string, an `AddedToken` (also that of the tokenizers library), or an object of a JSON file.

        Where nothing else is said, a token that is not special is searched for in the normalised text.

        Raises:
            ValueError: it is none of these, or a flag is no boolean.
        """
        if isinstance(token, cls):
            return token
        if isinstance(token, str):
            return cls(str(token), normalized=not special, special=special)
        names = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
        entry: dict[str, Any] = token if isinstance(token, dict) else {n: getattr(token, n, None) for n in names}
        if not isinstance(entry.get("content"), str):
            raise ValueError(f"an added token is a string or an object with a 'content', not {token!r}")
        flags = {name: entry[name] for name in names[1:] if entry.get(name) is not None}
        for name, flag in flags.items():
            if not isinstance(flag, bool):
                raise ValueError(f"the added token {entry['content']!r}: {name} must be true or false, not {flag!r}")
        flags.setdefault("special", special)
        flags.setdefault("normalized", not flags["special"])
        return cls(entry["content"], **flags)

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


def added_id(id: Any, token: str) -> int:
    """The id that a file or a caller gives an added token.

    Raises:
        ValueError: it is not a non-negative integer.
    """
    if isinstance(id, str) and id.isascii() and id.isdigit():  # the keys of a JSON object are strings
        return int(id[:19])
    return as_int(f"the id of the added token {token!r}", id, least=0, most=2**31 - 1)


class AddedTokenMatcher:
    """Finds tokens in a text: leftmost first, and of those that begin at one place the longest.

    The time of a search grows with the length of the text (times that of the longest pattern at worst), not with the
    number of tokens: a regular expression finds the characters that some pattern begins with, and a radix tree tells
    which pattern it is.
    """

    def __init__(self) -> None:
        self._tree = _Node()
        self._first: re.Pattern[str] | None = None  # made when the next search begins

    def add(self, pattern: str, token: AddedToken) -> None:
        """Look for `pattern`, and call it `token`. An empty one is never found; of equal ones the first counts."""
        if pattern:
            if pattern[0] not in self._tree.children:
                self._first = None
            self._tree.insert(pattern, token)

    def __bool__(self) -> bool:
        return bool(self._tree.children)

    def __call__(self, text: str) -> Iterator[tuple[int, int, AddedToken | None]]:
        """Cuts `text` into (start, stop, token); token is None for the stretches between. Covers the whole text."""
        done = 0
        for start, stop, token in self._matches(text):
            if stop <= done or (token.single_word and not _stands_alone(text, start, stop)):
                continue
            start = max(start, done)  # spaces that it begins with may belong to the token before it
            if token.lstrip:
                while start > done and is_white_space(text[start - 1]):
                    start -= 1
            if token.rstrip:
                while stop < len(text) and is_white_space(text[stop]):
                    stop += 1
            if done < start:
                yield done, start, None
            yield start, stop, token
            done = stop
        if done < len(text):
            yield done, len(text), None

    def _matches(self, text: str) -> Iterator[tuple[int, int, AddedToken]]:
        """(start, stop, token) of the patterns in the text, none overlapping another."""
        if not self:
            return
        if self._first is None:
            self._first = re.compile(f"[{''.join(map(re.escape, self._tree.children))}]")
        place = 0
        while candidate := self._first.search(text, place):
            start = candidate.start()
            stop, token = self._tree.longest(text, start)
            if token is not None:
                yield start, stop, token
            place = stop if token is not None else start + 1


class _Node:
    """A radix tree of patterns: each edge carries the characters up to the next place where patterns part."""

    __slots__ = ("children", "token")

    def __init__(self) -> None:
        self.children: dict[str, tuple[str, _Node]] = {}  # first character of the edge -> (the edge, what follows it)
        self.token: AddedToken | None = None  # the one whose pattern ends here

    def insert(self, pattern: str, token: AddedToken) -> None:
        node, start = self, 0
        while start < len(pattern):
            edge, child = node.children.get(pattern[start], ("", None))
            if child is None:
                edge, child = pattern[start:], _Node()
                node.children[pattern[start]] = edge, child
            elif not pattern.startswith(edge, start):  # they part within the edge: a node between
                length = sum(1 for _ in takewhile(bool, map(eq, edge, pattern[start : start + len(edge)])))
                shared = edge[:length]
                between = _Node()
                between.children[edge[len(shared)]] = edge[len(shared) :], child
                node.children[pattern[start]] = shared, between
                edge, child = shared, between
            start += len(edge)
            node = child
        node.token = node.token or token

    def longest(self, text: str, start: int) -> tuple[int, AddedToken | None]:
        """Where the longest pattern that begins at `start` ends, and its token; (start, None) if none does."""
        node, place = self, start
        found: tuple[int, AddedToken | None] = start, None
        while place < len(text):
            edge, child = node.children.get(text[place], ("", None))
            if child is None or not text.startswith(edge, place):
                break
            place += len(edge)
            node = child
            if node.token is not None:
                found = place, node.token
        return found


def _stands_alone(text: str, start: int, stop: int) -> bool:
    """Whether the characters beside text[start:stop] are no part of a word."""
    before = start > 0 and is_word_character(text[start - 1])
    after = stop < len(text) and is_word_character(text[stop])
    return not (before or after)
