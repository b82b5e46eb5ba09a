"""One row for the model: [CLS] A [SEP] B [SEP], truncated to windows, padded.

A row is a list of parts; everything one may ask of it (ids, types, masks, offsets, word numbers) is read off the parts.
Truncation decides, in numbers only, which window of A stands next to which window of B.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from minibert.tokenizer.cutter import Span, TokenSequence

STRATEGIES = ("longest_first", "only_first", "only_second", "do_not_truncate")


class Window(NamedTuple):
    """The tokens [start, stop) of a sequence."""

    start: int
    stop: int


NOTHING = Window(0, 0)


@dataclass(frozen=True)
class Part:
    """A run of tokens with one segment id (`type_id`): a window of a text, a special token, or padding."""

    ids: list[int]
    type_id: int
    text: TokenSequence | None = None  # None: special token or padding
    index: int | None = None  # which of the two texts
    window: Window = NOTHING
    is_padding: bool = False

    def span(self, place: int) -> Span:
        """Where the token at this place stands in its text; (0, 0) for a special token or padding."""
        return (0, 0) if self.text is None else self.text.spans[self.window.start + place]

    def word(self, place: int) -> int | None:
        """The number of the word of the token at this place; None for a special token or padding."""
        return None if self.text is None else self.text.words[self.window.start + place]

    def token_at(self, char: int) -> int | None:
        """The place of the first token that covers a character of the text."""
        if self.text is None:
            return None
        spans, (first, last) = self.text.spans, self.window
        if self.text.is_ordered:  # so the first one that ends behind the character is the only one to look at
            first = bisect_right(spans, char, first, last, key=itemgetter(1))
            last = min(first + 1, last)
        return next((k - self.window.start for k in range(first, last) if spans[k][0] <= char < spans[k][1]), None)

    def tokens_of(self, word: int) -> Window | None:
        """The places of the tokens of a word."""
        if self.text is None:
            return None
        first = bisect_left(self.text.words, word, *self.window)
        last = bisect_right(self.text.words, word, first, self.window.stop)
        return Window(first - self.window.start, last - self.window.start) if first < last else None


@dataclass(frozen=True)
class Encoding:
    """A row of S tokens; every attribute is a list of S entries."""

    parts: tuple[Part, ...]
    vocab: dict[int, str]  # id -> token

    def __repr__(self) -> str:
        return f"Encoding({self.tokens})"

    def __len__(self) -> int:
        return sum(len(part.ids) for part in self.parts)

    @property
    def ids(self) -> list[int]:
        """The row's token ids."""
        return [id for part in self.parts for id in part.ids]

    @property
    def tokens(self) -> list[str]:
        """The row's tokens as strings."""
        return [self.vocab[id] for id in self.ids]

    @property
    def type_ids(self) -> list[int]:
        """0 for [CLS] A [SEP], 1 for B [SEP]."""
        return [part.type_id for part in self.parts for _ in part.ids]

    @property
    def attention_mask(self) -> list[int]:
        """1 for what the model looks at, 0 for padding."""
        return [int(not part.is_padding) for part in self.parts for _ in part.ids]

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for the tokens put round the texts, and for padding."""
        return [int(part.text is None) for part in self.parts for _ in part.ids]

    @property
    def sequence_ids(self) -> list[int | None]:
        """For each token 0 (first text) or 1 (second); None for special tokens and padding."""
        return [part.index for part in self.parts for _ in part.ids]

    @property
    def offsets(self) -> list[Span]:
        """Where each token stands in its text; (0, 0) for special tokens and padding."""
        spans: list[Span] = []
        for part in self.parts:
            spans += [(0, 0)] * len(part.ids) if part.text is None else part.text.spans[slice(*part.window)]
        return spans

    @property
    def word_ids(self) -> list[int | None]:
        """The number of each token's word in its text; None for special tokens and padding."""
        words: list[int | None] = []
        for part in self.parts:
            words += [None] * len(part.ids) if part.text is None else part.text.words[slice(*part.window)]
        return words

    def part_of(self, token: int) -> tuple[Part, int]:
        """The part that a token of the row is in, and its place there.

        Raises:
            IndexError: the row has no such token.
        """
        place = token + len(self) if token < 0 else token
        for part in self.parts:
            if 0 <= place < len(part.ids):
                return part, place
            place -= len(part.ids)
        raise IndexError(f"there is no token {token}: the row has {len(self)} tokens")

    def sequence(self, index: int) -> tuple[Part | None, int]:
        """The part that holds the window of text `index`, and the place in the row where it begins."""
        start = 0
        for part in self.parts:
            if part.text is not None and part.index == index:
                return part, start
            start += len(part.ids)
        return None, start

    def padded(self, length: int, pad_id: int, type_id: int, side: str) -> Encoding:
        """This row filled up to `length` tokens; a longer row stays as it is."""
        if len(self) >= length:
            return self
        padding = Part([pad_id] * (length - len(self)), type_id, is_padding=True)
        return Encoding((padding, *self.parts) if side == "left" else (*self.parts, padding), self.vocab)


def assemble(
    texts: list[TokenSequence], windows: tuple[Window, ...], cls_id: int | None, sep_id: int, vocab: dict[int, str]
) -> Encoding:
    """[CLS] A [SEP], or [CLS] A [SEP] B [SEP]; without the special tokens where `cls_id` is None."""
    parts = [] if cls_id is None else [Part([cls_id], 0)]
    for index, (text, window) in enumerate(zip(texts, windows, strict=True)):
        parts.append(Part(text.ids[slice(*window)], index, text, index, window))
        if cls_id is not None:
            parts.append(Part([sep_id], index))
    return Encoding(tuple(parts), vocab)


def plan_windows(
    lengths: list[int], room: int | None, strategy: str, stride: int, side: str
) -> Iterator[tuple[Window, ...]]:
    """Which tokens of each text go into each row: the row to keep first, then the overflowing ones.

    `room` is the number of tokens the texts may take together (None: as many as they have); neighbouring windows of a
    text share `stride` tokens. The overflowing windows of A meet each window of B, in the order of the fast
    tokenizers: all with the later windows of A first, then the first window of A with the rest of B.
    Raises ValueError where the strategy cannot make the texts fit.
    """
    if room is None or strategy == "do_not_truncate" or sum(lengths) <= room:
        kept = lengths
    else:
        kept = kept_lengths(lengths, room, strategy)
    first, *rest = [windows(length, keep, stride, side) for length, keep in zip(lengths, kept, strict=True)]
    if not rest:
        yield from ((window,) for window in first)
        return
    second = rest[0]
    yield first[0], second[0]
    yield from ((a, b) for a in first[1:] for b in second)
    yield from ((first[0], b) for b in second[1:])


def kept_lengths(lengths: list[int], room: int, strategy: str) -> list[int]:
    """How many tokens each text keeps when they are too long together."""
    if room == 0:
        return [0] * len(lengths)
    if strategy == "longest_first":
        if len(lengths) == 1:
            return [room]
        # Taking tokens one by one from whichever text is longer: the shorter stays whole if it fits into half.
        short = min(lengths)
        if 2 * short <= room:
            return [short, room - short] if lengths[0] <= lengths[1] else [room - short, short]
        half = room // 2
        return [half, room - half] if lengths[0] <= lengths[1] else [room - half, half]
    target = 0 if strategy == "only_first" else 1
    if target >= len(lengths):
        raise ValueError("truncation='only_second' needs a second text: give text_pair, or choose 'only_first'")
    excess = sum(lengths) - room
    if lengths[target] <= excess:
        raise ValueError(
            f"truncation={strategy!r} cannot make the texts fit: {excess} tokens must go but that text has only"
            f" {lengths[target]}; raise max_length or choose 'longest_first'"
        )
    return [length - excess if k == target else length for k, length in enumerate(lengths)]


def windows(length: int, size: int, stride: int, side: str) -> list[Window]:
    """Windows of `size` tokens over a text of `length`, each sharing `stride` tokens with the one before.

    `side` is where the text is cut: "left" keeps the end, so its windows go from the end to the beginning.
    """
    if size >= length:
        return [Window(0, length)]
    if size == 0:  # nothing fits: the fast tokenizers give the whole text as what overflows
        return [Window(0, 0), Window(0, length)]
    if stride >= size:
        raise ValueError(
            f"stride={stride} must be smaller than the {size} tokens a window of the text holds:"
            " lower stride or raise max_length"
        )
    starts = range(0, length - stride, size - stride)
    found = [Window(start, min(start + size, length)) for start in starts]
    if side == "left":
        return [Window(length - stop, length - start) for start, stop in found]
    return found
