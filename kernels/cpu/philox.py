"""Philox4x32-10 for the kernels: the same counters as minibert/philox.py, so the same dropout mask, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)


@njit(nogil=True, cache=True)
def dropout_row(out: Any, row: int, threshold: int, scale: float, seed: int, stream: int) -> None:
    """What dropout multiplies row number `row` with: `scale` where an element is kept, 0 where it is dropped.

    Args:
        out: (C,) float32 or float64, filled. Element c is word c % 4 of the counter (c // 4, row, stream).
        row: below 2**32.
        threshold: words below it are dropped (probability times 2**32).
        scale: 1 / (1 - p).
        seed, stream: uint64; the key of the call.
    """
    r, s, q = np.uint64(row) & _LOW, np.uint64(seed), np.uint64(stream)
    limit = np.uint64(threshold)
    kept, dropped = out.dtype.type(scale), out.dtype.type(0)
    C = out.shape[0]
    for g in range((C + 3) // 4):
        c0, c1, c2, c3 = np.uint64(g), r, q & _LOW, q >> _32
        k0, k1 = s & _LOW, s >> _32
        for _ in range(10):
            p0, p1 = c0 * _M0, c2 * _M1
            c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
            k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
        c = 4 * g
        out[c] = kept if c0 >= limit else dropped
        if c + 1 < C:
            out[c + 1] = kept if c1 >= limit else dropped
        if c + 2 < C:
            out[c + 2] = kept if c2 >= limit else dropped
        if c + 3 < C:
            out[c + 3] = kept if c3 >= limit else dropped
