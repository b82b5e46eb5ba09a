"""Masked words: which tokens of an example are hidden, and what stands in their place. (BERT, section 3.1, task 1)

15 % of the tokens are chosen. Of those 80 % become [MASK], 10 % another token, drawn evenly and never the one that was
there, and 10 % stay. What is drawn for a token depends on (seed, epoch, example, position) alone.

How many: 15 % of an example's n tokens is rarely a whole number. Rounding would mask 19 of 125 tokens, 15.2 %,
in nearly every example; so one of the two neighbouring numbers is drawn, with probabilities that make 0.15 n the
average. At least one token is chosen. [CLS], [SEP] and [UNK] are neither chosen nor counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.ops import IGNORE_INDEX
from minibert.philox import philox4x32
from minibert.pretraining.errors import DataError

__all__ = ["Masking", "continuations"]

KEPT, RANDOM = int(0.1 * 2**32), int(0.2 * 2**32)  # a word below the first: stay; below the second: another token
PURPOSE = 3  # draws.MASKING; not imported, so that masking works without Numba


def continuations(tokens: Iterable[str]) -> np.ndarray:
    """(V,) bool: which tokens continue a word ("##ing")."""
    return np.array([token.startswith("##") and len(token) > 2 for token in tokens])


@dataclass(frozen=True)
class Masking:
    """How tokens are masked.

    Args:
        tokens: the vocabulary, in the order of ids; "" for an id that no token has.
        special: ids that are never masked nor put in a token's place.
        mask_id: [MASK].
        probability: of a token to be chosen.
        whole_words: choose all pieces of a word or none (each is still replaced by its own draw).

    Raises:
        DataError: a probability outside 0..1, or a vocabulary without two ordinary tokens.
    """

    tokens: tuple[str, ...]
    special: tuple[int, ...]
    mask_id: int
    probability: float = 0.15
    whole_words: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise DataError(f"the masking probability is above 0 and at most 1, got {self.probability}")
        maskable = np.ones(len(self.tokens), bool)
        maskable[list(self.special)] = False
        unused = np.array([not token or (token.startswith("[unused") and token[-1] == "]") for token in self.tokens])
        ordinary = np.flatnonzero(maskable & ~unused)  # (M,) what may stand in a token's place
        if len(ordinary) < 2:
            raise DataError("a vocabulary without two ordinary tokens has none to put in another's place")
        rank = np.full(len(self.tokens), len(ordinary), np.int64)
        rank[ordinary] = np.arange(len(ordinary))
        made = {"_maskable": maskable, "_ordinary": ordinary, "_rank": rank, "_continues": continuations(self.tokens)}
        for name, value in made.items():
            object.__setattr__(self, name, value)

    def __call__(
        self, ids: np.ndarray, examples: np.ndarray, *, seed: int, epoch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Masks a batch.

        Args:
            ids: (B, S) int64, padding included ([PAD] is special).
            examples: (B,) int64, the number of each example in its epoch.

        Returns:
            The ids with tokens replaced, and the labels: the original where a token was chosen, -100 elsewhere; both
            (B, S) int64.
        """
        tables: Any = self
        order, action, other, extra = _draws(examples, ids.shape[1], seed, epoch)  # each (B, S) uint64
        maskable = tables._maskable[ids]
        chosen = self._choose(ids, maskable, order, extra[:, 0])
        labels = np.where(chosen, ids, IGNORE_INDEX)

        # Another token: the r-th of all ordinary ones but this; r skips this token's own rank.
        rank = tables._rank[ids]
        count = len(tables._ordinary) - (rank < len(tables._ordinary))
        r = (other * count.astype(np.uint64) >> 32).astype(np.int64)
        another = tables._ordinary[r + (r >= rank)]
        masked = np.where(action < KEPT, ids, np.where(action < RANDOM, another, self.mask_id))
        return np.where(chosen, masked, ids), labels

    def _choose(self, ids: np.ndarray, maskable: np.ndarray, order: np.ndarray, extra: np.ndarray) -> np.ndarray:
        """(B, S) bool: units (tokens or whole words) are taken in random order until 15 % of the tokens are reached.

        The unit that crosses the line is taken with the probability of the part of it that is below the line: so the
        expected number of tokens is just that.
        """
        B, S = ids.shape
        positions = np.broadcast_to(np.arange(S), (B, S))
        if self.whole_words:
            tables: Any = self
            begins = ~(tables._continues[ids] & maskable)
            begins[:, 1:] |= ~maskable[:, :-1]  # a piece behind [UNK] or [CLS] has no beginning to go with
            unit = np.maximum.accumulate(np.where(begins, positions, 0), axis=1)
            order = np.take_along_axis(order, unit, axis=1)
        else:
            unit = positions
        # Sort by (not maskable, random order, unit): units stay together, in random order, what is special last.
        key = (order << 20 | unit.astype(np.uint64)) | np.where(maskable, np.uint64(0), np.uint64(1 << 63))
        places = np.argsort(key, axis=1, kind="stable")  # (B, S)
        sorted_unit = np.take_along_axis(unit, places, axis=1)
        new = np.ones((B, S), bool)
        new[:, 1:] = sorted_unit[:, 1:] != sorted_unit[:, :-1]
        before = np.maximum.accumulate(np.where(new, positions, 0), axis=1)  # tokens taken before this unit
        rows = np.broadcast_to(np.arange(B)[:, None], (B, S))
        sizes = np.bincount((rows * S + before).ravel(), minlength=B * S).reshape(B, S)
        n = maskable.sum(axis=1, keepdims=True)
        goal = np.maximum(self.probability * n, 1e-12)
        share = (goal - before) / np.take_along_axis(sizes, before, axis=1)
        taken = (extra[:, None] < share * 2**32) & (positions < n)
        taken |= (before == 0) & (positions < n) & ~taken.any(axis=1, keepdims=True)  # at least one
        chosen = np.zeros((B, S), bool)
        np.put_along_axis(chosen, places, taken, axis=1)
        return chosen


def _draws(examples: np.ndarray, S: int, seed: int, epoch: int) -> tuple[Any, Any, Any, Any]:
    """Four random words for each position of each example, uint64 (B, S)."""
    number = examples.astype(np.uint64)[:, None]
    position = np.broadcast_to(np.arange(S, dtype=np.uint64), (len(examples), S))
    low = np.broadcast_to(number & np.uint64(0xFFFFFFFF), position.shape)
    high = np.broadcast_to(np.uint64(PURPOSE) | (number >> np.uint64(32)) << np.uint64(8), position.shape)
    counter = (position, low, np.full(position.shape, epoch, np.uint64), high)
    return philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))
