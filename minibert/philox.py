"""Randomness by counting: Philox4x32-10.

A counter-based generator is a function: from a key and a counter to four random 32-bit words. Nothing is stored and
nothing runs in order, so the backward pass, a fused kernel and another device all draw the same dropout mask by
asking the same question again.

Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011), section 3.3 and its
published test vectors.
"""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

from minibert.backend import Array, namespace
from minibert.number_like import is_int

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85  # golden ratio and sqrt(3) - 1, as fractions of 2**32
_MASK = 0xFFFFFFFF
ROUNDS = 10


class Key(NamedTuple):
    """What one dropout call is drawn from.

    `seed` is the whole run's, `stream` counts the calls: two layers, or two steps, never share a mask.
    """

    seed: int
    stream: int


def philox4x32(counter: tuple[Array, Array, Array, Array], key: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Four random words for each counter.

    Args:
        counter: four arrays of one shape, uint64, each value below 2**32.
        key: two integers below 2**32.

    Returns:
        Four arrays of that shape, uint64, values uniform in 0..2**32-1.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]  # 32 x 32 bits fit into 64
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _MASK, (p0 >> 32) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _KEY_STEPS[0]) & _MASK, (k1 + _KEY_STEPS[1]) & _MASK
    return c0, c1, c2, c3


def keep_mask(rows: Array, columns: int, p: float, key: Key) -> Array:
    """Which elements survive dropout with probability `p`.

    Element (r, c) is word c % 4 of counter (c // 4, r, stream): its fate depends on its place alone, not on the
    order, the tiling or the device in which anybody computes it.

    Args:
        rows: (R,) the rows' numbers, uint64, below 2**32.
        columns: C.

    Returns:
        (R, C) bool, True with probability 1 - p.
    """
    xp = namespace(rows)
    groups = math.ceil(columns / 4)
    group = xp.arange(groups, dtype=xp.uint64, device=rows.device)
    c0 = xp.broadcast_to(group, (rows.shape[0], groups))
    c1 = xp.broadcast_to(xp.expand_dims(rows, axis=1), c0.shape)
    c2 = xp.full_like(c0, key.stream & _MASK)
    c3 = xp.full_like(c0, key.stream >> 32 & _MASK)
    words = philox4x32((c0, c1, c2, c3), (key.seed & _MASK, key.seed >> 32 & _MASK))
    drawn = xp.reshape(xp.stack(words, axis=-1), (rows.shape[0], 4 * groups))  # (R, 4 * groups)
    return drawn[:, :columns] >= drop_threshold(p)


def drop_threshold(p: float) -> int:
    """Words below this number are dropped; probability `p` in units of 2**-32."""
    return min(int(p * 2**32), _MASK)


class _State(threading.local):
    key = Key(0, 0)
    """The next one. A single value, so that an exception in the middle of a change leaves the old or the new."""


_state = _State()


def manual_seed(seed: int) -> None:
    """Start the sequence of random draws (initialisation and dropout) from `seed`, an integer in 0..2**64 - 1."""
    if not is_int(seed) or not 0 <= int(seed) < 2**64:
        raise ValueError(f"a seed is an integer from 0 to 2**64 - 1, got {seed!r}")
    _state.key = Key(int(seed), 0)


def next_key() -> Key:
    """A key that no earlier call since `manual_seed` has been given."""
    key = _state.key
    _state.key = Key(key.seed, key.stream + 1)
    return key


def get_state() -> dict[str, int]:
    """The place in the sequence of draws, to be kept with a checkpoint."""
    return _state.key._asdict()


def set_state(state: dict[str, int]) -> None:
    """Go on from where `get_state` was called."""
    _state.key = Key(int(state["seed"]), int(state["stream"]))


def numpy_generator() -> Any:
    """A NumPy generator for drawing initial weights; takes one key of the sequence."""
    import numpy as np

    return np.random.default_rng(next_key())
