"""Random numbers for examples, from counters: the Philox4x32-10 of minibert/philox.py, compiled for one counter.

A number is a function of (seed, purpose, epoch, item, draw): nothing is carried from one example to the next, so any
example of any epoch can be made again by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.kernels.cpu.compiled import njit

__all__ = ["HALF", "PURPOSES", "permuted", "scaled", "words"]

# What a number is drawn for: the fourth word of the counter, so that no two uses ever share a number.
PURPOSES = PAIRS, OTHER, ORDER, MASKING = 0, 1, 2, 3
HALF = 1 << 31

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_FEISTEL_ROUNDS = 8  # four make a sound permutation of a large set; a small set needs more mixing


@njit
def words(seed: Any, purpose: int, epoch: Any, item: Any, draw: int) -> Any:
    """Four words, uint64 below 2**32, of the counter (draw, item, epoch, purpose) under the key `seed`.

    Args:
        seed: uint64.
        purpose, epoch, draw: below 2**8, 2**32, 2**32.
        item: below 2**56; what 32 bits cannot hold goes into the purpose's word.
    """
    whole = np.uint64(item)
    c0, c1 = np.uint64(draw) & _LOW, whole & _LOW
    c2, c3 = np.uint64(epoch) & _LOW, np.uint64(purpose) | ((whole >> _32) << np.uint64(8))
    k0, k1 = seed & _LOW, seed >> _32
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@njit
def scaled(word: Any, n: Any) -> Any:
    """A word of 32 random bits as a number in 0..n-1; uneven by n / 2**32 at most."""
    return np.int64((np.uint64(word) * np.uint64(n)) >> _32)


@njit
def permuted(first: int, last: int, n: int, seed: Any, epoch: int) -> Any:
    """Places first..last-1 of the epoch's shuffled order, as numbers of unshuffled examples.

    The order is a permutation of 0..n-1 that needs no memory: a Feistel network over the next power of four, whose
    round function is `words`; a result outside 0..n-1 is sent through again until it falls inside, which keeps it one
    to one. (Luby and Rackoff 1988; Black and Rogaway 2002, "cycle walking".)

    Returns:
        (last - first,) int64.
    """
    half = 1
    while (1 << (2 * half)) < n:
        half += 1
    low = np.uint64((1 << half) - 1)
    shift = np.uint64(half)
    out = np.empty(last - first, np.int64)
    for k in range(first, last):
        x = np.uint64(k)
        while True:
            left, right = x >> shift, x & low
            for r in range(_FEISTEL_ROUNDS):
                left, right = right, left ^ (words(seed, ORDER, epoch, np.int64(right), r)[0] & low)
            x = (left << shift) | right
            if x < np.uint64(n):
                break
        out[k - first] = np.int64(x)
    return out
