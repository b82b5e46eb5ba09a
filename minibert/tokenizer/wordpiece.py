"""WordPiece: from a word to the pieces of it that the vocabulary has.

    "unaffable" -> "una", "##ffa", "##ble"

Greedy, from the left, the longest piece first; pieces that continue a word are written with "##". If some rest of the
word matches nothing, the whole word is [UNK], not only the rest.

Source: Schuster & Nakajima 2012 and Wu et al. 2016 for the idea, Devlin et al. 2019 for this form of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CONTINUES = "##"
MAX_CHARS_PER_WORD = 100  # as in the fast tokenizers; Google's first release had 200


class Piece(NamedTuple):
    """The id of a piece, and the characters [start, stop) of the word that it covers."""

    id: int
    start: int
    stop: int


class WordPiece:
    """Cuts one word by a vocabulary (token -> id). A word of more than `max_chars` characters is unknown."""

    def __init__(self, vocab: Mapping[str, int], unk_token: str = "[UNK]", max_chars: int = MAX_CHARS_PER_WORD) -> None:
        self.vocab = vocab
        self.unk_id = vocab[unk_token]
        self.max_chars = max_chars
        self._longest = max(map(len, vocab))  # no longer piece needs to be tried

    def __call__(self, word: str) -> list[Piece]:
        unknown = [Piece(self.unk_id, 0, len(word))]
        if len(word) > self.max_chars:
            return unknown
        pieces: list[Piece] = []
        start = 0
        while start < len(word):
            prefix = CONTINUES if start else ""
            for stop in range(min(len(word), start + self._longest), start, -1):
                found = self.vocab.get(prefix + word[start:stop])
                if found is not None:
                    pieces.append(Piece(found, start, stop))
                    start = stop
                    break
            else:
                return unknown
        return pieces
