"""From a text to token ids, fast: added tokens first, then chunk by chunk through a cache.

Text repeats itself: a few thousand words make up nearly all of it. The text is cut by one regular expression into
chunks that cannot influence each other (runs without space, punctuation or Chinese characters, and each of these
characters alone), and what the basic tokenizer and WordPiece make of a chunk is remembered. Running text so costs a
dictionary look-up a word; the careful code of `basic.py` only meets chunks it has never seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import pairwise
from typing import NamedTuple

from minibert.tokenizer.added import AddedToken, AddedTokenMatcher
from minibert.tokenizer.basic import BasicTokenizer, Characters, split_words
from minibert.tokenizer.characters import CHINESE_BLOCKS, PUNCTUATION, SPACES
from minibert.tokenizer.normal_form import NormalForm
from minibert.tokenizer.wordpiece import WordPiece

CACHED_CHUNKS = 1 << 16  # about 30 MB of English when full
CACHED_LENGTH = 100  # longer chunks are not words; they would fill the memory and never be met again
BLOCK = 1 << 16  # characters that are cut at once: the strings of a long text do not all exist at one time

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


class _Patterns(NamedTuple):
    """`chunk` cuts a raw text, `boundary` finds a place where one may cut; `word` cuts a normalised text."""

    chunk: re.Pattern[str]
    boundary: re.Pattern[str]
    word: re.Pattern[str]


@cache
def _patterns(chinese: bool) -> _Patterns:
    spaces = re.escape("".join(sorted(SPACES)))
    marks = re.escape("".join(sorted(PUNCTUATION)))
    # Only up to U+FFFF, where a set costs one look-up a character; rarer punctuation is found within its chunk.
    alone = re.escape("".join(sorted(char for char in PUNCTUATION if char <= "\uffff")))
    if chinese:
        alone += "".join(f"{chr(first)}-{chr(last)}" for first, last in CHINESE_BLOCKS)
    return _Patterns(
        re.compile(f"[^{spaces}{alone}]+|[{alone}]"),
        re.compile(f"[{spaces}{alone}]"),
        re.compile(f"[^ {marks}]+|[{marks}]"),
    )


class Cutter:
    """Text -> tokens, without [CLS] and [SEP]. `ids` gives each added token's id."""

    def __init__(
        self,
        basic: BasicTokenizer,
        wordpiece: WordPiece,
        added: Iterable[AddedToken] = (),
        ids: Mapping[str, int] | None = None,
    ) -> None:
        self.basic = basic
        self.wordpiece = wordpiece
        self.cache = ChunkCache(self._cut_chunk)
        self._form = NormalForm(basic)
        self._patterns = _patterns(basic.tokenize_chinese_chars)
        self.set_added(added, ids or {})

    def set_added(self, added: Iterable[AddedToken], ids: Mapping[str, int]) -> None:
        """Search for these tokens and no others."""
        raw, normal = AddedTokenMatcher(), AddedTokenMatcher()
        for token in added:
            self._register(token, raw, normal)
        self._ids, self._raw, self._normal = dict(ids), raw, normal  # at once: a text may be under way in a thread

    def add(self, token: AddedToken, id: int) -> None:
        """Search for one token more."""
        self._ids[token.content] = id
        self._register(token, self._raw, self._normal)

    def _register(self, token: AddedToken, raw: AddedTokenMatcher, normal: AddedTokenMatcher) -> None:
        if token.normalized:
            normal.add("".join(char for char, _ in self.basic.normalize(token.content)), token)
        else:
            raw.add(token.content, token)

    # ---- a text

    def ids(self, text: str) -> list[int]:
        """Token ids of a text: the fast path, without spans."""
        cache = self.cache
        ids: list[int] = []
        for start, stop, known in self._stretches(text):
            if known is not None:
                ids += known.ids
                continue
            for chunks in self._chunks(text, start, stop):
                for chunk in chunks:
                    ids += cache[chunk].ids
        return ids

    def spans(self, text: str) -> Iterator[tuple[Span, int]]:
        """For each token of `ids(text)`: its span in the text, and the number of its word."""
        word = 0  # of the next chunk's first word
        for place, chunk in self._located_chunks(text):
            for (first, last), number in zip(chunk.spans, chunk.words, strict=True):
                yield (place + first, place + last), word + number
            word += chunk.words[-1] + 1 if chunk.words else 0

    def _located_chunks(self, text: str) -> Iterator[tuple[int, Chunk]]:
        for start, stop, known in self._stretches(text):
            if known is not None:
                yield start, known
            else:
                for match in self._patterns.chunk.finditer(text, start, stop):
                    yield match.start(), self.cache[match.group()]

    def _chunks(self, text: str, start: int, stop: int) -> Iterator[list[str]]:
        """The chunks of text[start:stop], a block of text at a time."""
        while start < stop:
            end = stop
            if stop - start > BLOCK:
                boundary = self._patterns.boundary.search(text, start + BLOCK, stop)
                end = boundary.start() if boundary else stop
            yield self._patterns.chunk.findall(text, start, end)
            start = end

    # ---- added tokens

    def _stretches(self, text: str) -> Iterator[tuple[int, int, Chunk | None]]:
        """Cuts a text at its added tokens: (start, stop, chunk); the chunk is None for what stands between them."""
        for start, stop, token in self._raw(text):
            if token is not None:
                yield start, stop, self._token(token, (0, stop - start))
            elif self._normal:
                for first, last, chunk in self._normalized_stretches(text[start:stop]):
                    yield start + first, start + last, chunk
            else:
                yield start, stop, None

    def _normalized_stretches(self, text: str) -> Iterator[tuple[int, int, Chunk | None]]:
        """The same for the tokens that are searched for in the normalised text."""
        normal = self._form.of(text)
        found = [] if normal is None else list(self._normal(normal))
        if normal is None:
            yield 0, len(text), self._cut_carefully(text)
        elif all(token is None for _, _, token in found):
            yield 0, len(text), None
        else:
            origins = self._form.origins(text, normal)
            if any(0 < start and origins[start - 1] == origins[start] for start, _, _ in found):
                yield 0, len(text), self._cut_carefully(text)  # a token ends inside what one character became
                return
            done = 0
            for start, stop, token in found:
                if token is not None:
                    first, last = origins[start], origins[stop - 1] + 1
                    if done < first:
                        yield done, first, None
                    yield first, last, self._token(token, (0, last - first))
                    done = last
            if done < len(text):
                yield done, len(text), None

    def _token(self, token: AddedToken, span: Span) -> Chunk:
        return Chunk((self._ids[token.content],), (span,), (0,))

    def _cut_carefully(self, text: str) -> Chunk:
        """A text with tokens to be found in its normalised form, character by character."""
        chars = self.basic.normalize(text)
        parts: list[Chunk] = []
        for start, stop, token in self._normal("".join(char for char, _ in chars)):
            if token is None:
                parts.append(self._cut_words(_words_of(chars[start:stop])))
            else:
                parts.append(self._token(token, (chars[start][1], chars[stop - 1][1] + 1)))
        return _joined(parts)

    # ---- a chunk

    def _cut_chunk(self, text: str) -> Chunk:
        normal = self._form.of(text)
        if normal is None:
            return self._cut_words(_words_of(self.basic.normalize(text)))
        origins = self._form.origins(text, normal)
        matches = self._patterns.word.finditer(normal)
        return self._cut_words((match.group(), origins[match.start() : match.end()]) for match in matches)

    def _cut_words(self, words: Iterable[tuple[str, Sequence[int]]]) -> Chunk:
        """`words`: each with the places of its characters in the text."""
        ids: list[int] = []
        spans: list[Span] = []
        numbers: list[int] = []
        for number, (word, places) in enumerate(words):
            for piece in self.wordpiece(word):
                ids.append(piece.id)
                spans.append((places[piece.start], places[piece.stop - 1] + 1))
                numbers.append(number)
        return Chunk(tuple(ids), tuple(spans), tuple(numbers))


def _words_of(chars: Characters) -> Iterator[tuple[str, Sequence[int]]]:
    return ((word.text, word.places) for word in split_words(chars))


def _joined(parts: Sequence[Chunk]) -> Chunk:
    """One chunk of several whose spans count from the same place."""
    ids: list[int] = []
    spans: list[Span] = []
    numbers: list[int] = []
    word = 0
    for part in parts:
        ids += part.ids
        spans += part.spans
        numbers += [word + number for number in part.words]
        word = numbers[-1] + 1 if part.words else word
    return Chunk(tuple(ids), tuple(spans), tuple(numbers))


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

    @cached_property
    def is_ordered(self) -> bool:
        """Whether no token begins or ends before the one that precedes it (not so of a text that came as words)."""
        return all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(self.spans))
