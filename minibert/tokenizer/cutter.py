"""From a text to token ids, fast: added tokens first, then chunk by chunk through a cache.

Text repeats itself: a few thousand words make up nearly all of it. The text is cut by one regular expression into
chunks that cannot influence each other (runs without space, ASCII punctuation or Chinese characters, and each of these
characters alone), and what the basic tokenizer and WordPiece make of a chunk is remembered. Running text so costs a
dictionary look-up a word; the careful code of `basic.py` only meets chunks it has never seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from minibert.tokenizer.added import AddedToken, Finder
from minibert.tokenizer.basic import BasicTokenizer, Word, split_words
from minibert.tokenizer.characters import CHINESE_BLOCKS, SPACES
from minibert.tokenizer.wordpiece import WordPiece

CACHED_CHUNKS = 1 << 16  # about 30 MB of English when full
CACHED_LENGTH = 100  # longer chunks are not words; they would fill the memory and never be met again

Span = tuple[int, int]


class Chunk(NamedTuple):
    """What a chunk becomes: token ids, their spans from the chunk's start, the number of each token's word."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    words: tuple[int, ...]


class ChunkCache(dict[str, Chunk]):
    """Remembers what `cut` made of a chunk. Forgets everything when full: the common words are soon back."""

    def __init__(self, cut: Callable[[str], Chunk], limit: int = CACHED_CHUNKS) -> None:
        super().__init__()
        self.cut = cut
        self.limit = limit

    def __missing__(self, text: str) -> Chunk:
        chunk = self.cut(text)
        if len(text) <= CACHED_LENGTH:
            if len(self) >= self.limit:
                self.clear()
            self[text] = chunk
        return chunk


def _chunk_pattern(chinese: bool) -> re.Pattern[str]:
    spaces = re.escape("".join(sorted(SPACES)))
    alone = r"!-/:-@\[-`{-~"  # ASCII punctuation; other punctuation is rare enough to be left to the basic tokenizer
    if chinese:
        alone += "".join(f"{chr(first)}-{chr(last)}" for first, last in CHINESE_BLOCKS)
    return re.compile(f"[^{spaces}{alone}]+|[{alone}]")


WHOLE = re.compile(r".+", re.DOTALL)


class Cutter:
    """Text -> tokens, without [CLS] and [SEP]. `ids` gives each added token's id."""

    def __init__(
        self, basic: BasicTokenizer, wordpiece: WordPiece, added: Sequence[AddedToken], ids: dict[str, int]
    ) -> None:
        self.basic = basic
        self.wordpiece = wordpiece
        self._ids = ids
        raw = [token for token in added if not token.normalized]
        self._raw = Finder((token.content, token) for token in raw)
        self._normal = Finder((self._normal_form(token), token) for token in added if token.normalized)
        # A token to be found in normalised text may hold spaces: then a chunk is all between two raw tokens.
        self._pattern = WHOLE if self._normal else _chunk_pattern(basic.tokenize_chinese_chars)
        self.cache = ChunkCache(self._cut_chunk)

    def _normal_form(self, token: AddedToken) -> str:
        return "".join(char for char, _ in self.basic.normalize(token.content))

    def ids(self, text: str) -> list[int]:
        """Token ids of a text: the fast path, without spans."""
        cache, findall = self.cache, self._pattern.findall
        ids: list[int] = []
        for start, stop, token in self._raw(text):
            if token is not None:
                ids.append(self._ids[token.content])
                continue
            for chunk in findall(text, start, stop):
                ids += cache[chunk].ids
        return ids

    def spans(self, text: str) -> Iterator[tuple[Span, int]]:
        """For each token of `ids(text)`: its span in the text, and the number of its word."""
        word = 0  # of the next chunk's first word
        for start, stop, token in self._raw(text):
            if token is not None:
                yield (start, stop), word
                word += 1
                continue
            for match in self._pattern.finditer(text, start, stop):
                place = match.start()
                chunk = self.cache[match.group()]
                for (first, last), number in zip(chunk.spans, chunk.words, strict=True):
                    yield (place + first, place + last), word + number
                word += chunk.words[-1] + 1 if chunk.words else 0

    def _cut_chunk(self, text: str) -> Chunk:
        ids: list[int] = []
        spans: list[Span] = []
        words: list[int] = []
        for number, unit in enumerate(self._units(text)):
            if isinstance(unit, Word):
                pieces = [(piece.id, unit.span(piece.start, piece.stop)) for piece in self.wordpiece(unit.text)]
            else:
                pieces = [unit]
            ids += [id for id, _ in pieces]
            spans += [span for _, span in pieces]
            words += [number] * len(pieces)
        return Chunk(tuple(ids), tuple(spans), tuple(words))

    def _units(self, text: str) -> Iterator[Word | tuple[int, Span]]:
        """The words of a chunk, and the added tokens that are searched for in normalised text, as (id, span)."""
        chars = self.basic.normalize(text)
        if not self._normal:
            yield from split_words(chars)
            return
        for start, stop, token in self._normal("".join(char for char, _ in chars)):
            if token is None:
                yield from split_words(chars[start:stop])
            else:
                yield self._ids[token.content], (chars[start][1], chars[stop - 1][1] + 1)


class TokenSequence:
    """The tokens of one text, or of a text given as words. Spans and word numbers are worked out when asked for."""

    def __init__(self, cutter: Cutter, source: str | Sequence[str]) -> None:
        self._cutter = cutter
        self._source = source
        if isinstance(source, str):
            self.ids = cutter.ids(source)
        else:
            self.ids = [id for word in source for id in cutter.ids(word)]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _details(self) -> tuple[list[Span], list[int]]:
        texts = [self._source] if isinstance(self._source, str) else self._source
        found = [list(self._cutter.spans(text)) for text in texts]
        spans = [span for tokens in found for span, _ in tokens]
        if isinstance(self._source, str):
            return spans, [word for _, word in found[0]]
        return spans, [k for k, tokens in enumerate(found) for _ in tokens]

    @property
    def spans(self) -> list[Span]:
        """Offsets into the text (of the word, where the text came as words)."""
        return self._details[0]

    @property
    def words(self) -> list[int]:
        """The number of each token's word: as cut here, or as given."""
        return self._details[1]
