"""What the tokenizer returns: a dictionary for the model, that also knows where each token came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.number_like import as_int, is_int
from minibert.tokenizer.encoding import Encoding, Part


class CharSpan(NamedTuple):
    """Characters [start, end) of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens [start, end) of a row."""

    start: int
    end: int


class BatchEncoding(dict[str, Any]):
    """`input_ids`, `token_type_ids`, `attention_mask` and what else was asked for, by key or as attributes.

    `model(**batch)` works. With return_tensors="np" the values are int64 arrays (B, S), offsets (B, S, 2).
    Rows are counted over overflowing windows too; a method that takes (row, place) can be called with the place alone
    for the first row.
    """

    def __init__(self, data: Mapping[str, Any] | None = None, encodings: Sequence[Encoding] = ()) -> None:
        super().__init__(data or {})
        self.encodings = list(encodings)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and name in self:
            return self[name]
        raise AttributeError(f"this BatchEncoding has no {name!r}; it has {', '.join(self)}")

    def __getitem__(self, key: Any) -> Any:
        """The values of a key; or for a number (or a slice) the `Encoding` of that row (those rows)."""
        if is_int(key):
            return self._row(key)
        return self.encodings[key] if isinstance(key, slice) else super().__getitem__(key)

    @property
    def data(self) -> dict[str, Any]:
        """The values by key: this dictionary itself."""
        return self

    @property
    def is_fast(self) -> bool:
        """Whether it knows where its tokens came from: if a tokenizer made it."""
        return bool(self.encodings)

    def _row(self, row: int) -> Encoding:
        row = as_int("the number of a row", row)
        if not self.encodings:
            raise ValueError("this batch does not know its texts: it was not made by calling a tokenizer")
        if not -len(self.encodings) <= row < len(self.encodings):
            raise ValueError(f"there is no row {row}: the batch has {len(self.encodings)} rows")
        return self.encodings[row]

    @property
    def n_sequences(self) -> int | None:
        """1 for texts, 2 for pairs; None if the batch was not made by a tokenizer."""
        return 1 + max(part.index or 0 for part in self.encodings[0].parts) if self.encodings else None

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row as strings."""
        return self._row(batch_index).tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the number of its word; None for special tokens and padding."""
        return self._row(batch_index).word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row 0 (first text) or 1 (second); None for special tokens and padding."""
        return self._row(batch_index).sequence_ids

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters a token stands for; None for a special token."""
        row, token = _row_and(batch_or_token_index, token_index)
        part, place = self._token(row, token)
        return None if part.text is None else CharSpan(*part.span(place))

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of a token's word; None for a special token."""
        part, place = self._token(*_row_and(batch_or_token_index, token_index))
        return part.word(place)

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """0 or 1, the text a token belongs to; None for a special token."""
        part, _ = self._token(*_row_and(batch_or_token_index, token_index))
        return part.index

    def _token(self, row: int, token: int) -> tuple[Part, int]:
        return self._row(row).part_of(as_int("the number of a token", token))

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that covers a character of a text; None where there is none (a space, or truncated away)."""
        row, char = _row_and(batch_or_char_index, char_index)
        part, start = self._row(row).sequence(sequence_index)
        token = None if part is None else part.token_at(as_int("the number of a character", char))
        return None if token is None else start + token

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word that covers a character of a text; None where there is none."""
        row, char = _row_and(batch_or_char_index, char_index)
        token = self.char_to_token(row, char, sequence_index)
        return None if token is None else self.token_to_word(row, token)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word; None if it has none in this row."""
        row, word = _row_and(batch_or_word_index, word_index)
        part, start = self._row(row).sequence(sequence_index)
        tokens = None if part is None else part.tokens_of(as_int("the number of a word", word))
        return None if tokens is None else TokenSpan(start + tokens.start, start + tokens.stop)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word; None if it has no token in this row."""
        row, word = _row_and(batch_or_word_index, word_index)
        tokens = self.word_to_tokens(row, word, sequence_index)
        if tokens is None:
            return None
        first, last = self._token(row, tokens.start), self._token(row, tokens.end - 1)
        return CharSpan(first[0].span(first[1])[0], last[0].span(last[1])[1])

    def convert_to_tensors(self, tensor_type: str | None = None) -> BatchEncoding:
        """Turns the lists into arrays, in place. `tensor_type`: None (leave them) or "np"."""
        if tensor_type is None:
            return self
        if tensor_type != "np":
            raise ValueError(f"return_tensors={tensor_type!r}: minibert's arrays are NumPy's, ask for 'np'")
        for key, value in self.items():
            try:
                self[key] = np.asarray(value, dtype=np.int64)
            except (ValueError, TypeError):
                raise ValueError(
                    f"the rows of {key!r} differ in length, so they are no array: ask for padding=True, and for"
                    " truncation=True if they may be too long for the model"
                ) from None
        return self


def _row_and(first: int, second: int | None) -> tuple[int, int]:
    """(row, place) from arguments that are either (row, place) or (place)."""
    return (0, first) if second is None else (first, second)
