"""Pairs of texts for next-sentence prediction: every document is walked through and cut into A and B.

    tokens of a document   ... | A A A A A | B B B B B B | next example ...

Each example takes the next stretch of a document, as long as the sequence has room for (or, with a small probability,
of a random shorter length), and cuts it in two at the beginning of a random sentence. With probability 0.5 the pair is
that: B follows A. Otherwise B is drawn from another document and only A is used up; the walk goes on where the true B
begins. So every token of the corpus is in some A or true B of every epoch, exactly once.

The procedure is the paper's (BERT, appendix A.2), with what the published code does differently put right, and its
tell-tales taken away, by which a model could guess the label without reading:

- a stretch that is one long sentence is cut too, at the beginning of a random word, and can be either kind of pair;
- a stretch ends where the room ends, not sentences later with its ends cut off: nothing is lost;
- B of a negative pair begins with a sentence when the true B would have, is as long as that, and ends at a word's end;
- B comes from a random place of all other documents together: long documents are met more often than short ones, just
  as in positive pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.kernels.cpu.compiled import njit
from minibert.pretraining.draws import HALF, OTHER, PAIRS, scaled, words

__all__ = ["PAIR", "SHORTEST", "other_place", "plan_shard"]

PAIR = np.dtype([("start", "<u8"), ("first", "<u2"), ("second", "<u2"), ("negative", "u1"), ("aligned", "u1")])
"""A planned pair: the token (of the folder) where A starts, the lengths of A and B, whether B is from elsewhere, and
whether B begins with a sentence. A negative pair's B may turn out a little shorter: it ends with a word."""

SHORTEST = 8  # max_length: [CLS] [SEP] [SEP] and five tokens
_TAIL = 8  # an epoch's last example of a document is at least so long, if the document is


@njit
def _word_start(tokens: Any, place: Any, least: Any, continues: Any) -> Any:
    """`place`, or if it is inside a word, that word's beginning; `place` if the word begins before `least`."""
    p = place
    while p > least and p < tokens.shape[0] and continues[tokens[p]]:
        p -= 1
    return place if p < tokens.shape[0] and continues[tokens[p]] else p


@njit
def _plan(
    tokens: Any, segments: Any, documents: Any, continues: Any, first_document: int, room: int, short: Any,
    negatives: bool, seed: Any, epoch: int, out: Any, offset: int,
) -> int:  # fmt: skip
    """Fills `out` with the shard's pairs, in order; returns their number, or -1 when `out` is too small."""
    n, j = 0, 0
    cut: Any
    tail = min(_TAIL, room // 2)
    for d in range(documents.shape[0] - 1):
        p, stop, draw = np.int64(documents[d]), np.int64(documents[d + 1]), 0
        while p < stop:
            if n == out.shape[0]:
                return -1
            w = words(seed, PAIRS, epoch, first_document + d, draw)
            x = words(seed, PAIRS, epoch, first_document + d, draw + 1)
            draw += 2
            length = 2 + scaled(w[1], room - 1) if w[0] < short else room
            limit: Any = min(p + length, stop)  # where the stretch ends if no word is in the way
            if 0 < stop - limit < tail:  # what is left would be a scrap
                limit = stop if stop - p <= room else stop - tail
            end = limit if limit == stop else _word_start(tokens, limit, p + 2, continues)

            # The cut: at a sentence if one begins inside, else at a word; two tokens or more on either side.
            side = 2 if end - p >= 4 else 1
            while j > 0 and segments[j] > p:
                j -= 1
            while segments[j] < p + side:
                j += 1
            inside = 0
            while segments[j + inside] <= end - side:
                inside += 1
            if inside:
                cut = np.int64(segments[j + scaled(w[2], inside)])
            elif end - p >= 2:
                cut = _word_start(tokens, p + side + scaled(w[2], end - p - 2 * side + 1), p + side, continues)
            else:
                cut = end  # a document of one token

            negative = negatives and (x[0] < HALF or cut == end)
            first, second = cut - p, end - cut
            if negative:
                second = max(limit - cut, 1)
                if end == stop and end - p < 4:  # too little would be left for a pair: A takes it all
                    first = end - p
            out[n].start = offset + p
            out[n].first, out[n].second = first, second
            out[n].negative, out[n].aligned = negative, inside > 0
            p += first if negative else first + second
            n += 1
    return n


def plan_shard(
    shard: Any, continues: np.ndarray, *, room: int, short: float, negatives: bool, seed: int, epoch: int
) -> np.ndarray:
    """The pairs of a shard's documents, in order: (examples,) of `PAIR`.

    Args:
        shard: a `Shard`.
        continues: (V,) bool, True for pieces that continue a word.
        room: the most tokens of A and B together.
        short: the probability of a stretch of random length, 2 to `room`.
        negatives: whether half of the pairs are to be negative, or none.
        seed, epoch: what the random numbers are drawn from, with the number of the document.
    """
    threshold = np.uint64(min(int(short * 2**32), 2**32))
    guess = 64 + 2 * (len(shard.documents) - 1) + int(len(shard.tokens) / room * (2 + 2 * short))
    while True:
        out = np.empty(guess, PAIR)
        count = _plan(
            shard.tokens, shard.segments, shard.documents, continues, shard.first_document, room, threshold,
            negatives, np.uint64(seed), epoch, out, shard.first_token,
        )  # fmt: skip
        if count >= 0:
            return out[:count]
        guess *= 2


@njit
def other_place(seed: Any, epoch: int, example: Any, start: int, stop: int, total: int) -> Any:
    """A random token of the corpus (`total` tokens) that is not in the document [start, stop)."""
    w = words(seed, OTHER, epoch, example, 0)
    fraction = ((w[0] << np.uint64(21)) | (w[1] >> np.uint64(11))) * 2.0**-53
    others = total - (stop - start)
    place: Any = min(np.int64(fraction * others), others - 1)
    return place if place < start else place + (stop - start)
