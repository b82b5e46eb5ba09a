"""Philox4x32-10 for the kernels: the same counters as minibert/philox.py, so the same dropout mask, bit for bit.

One counter gives the words of four neighbouring columns. Counters do not depend on one another, so the compiler
takes as many of them at a time as a vector register has 64-bit lanes. All it needs for that is a loop without
branches (the last, incomplete group of four is done apart) and the knowledge that each factor is below 2**32: then
a 64-bit product is one cheap instruction (vpmuludq), while a full 64-bit one is three. Drawing a mask costs about
0.3 ns an element on one core.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import njit

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)


@njit(inline="always")  # as a call of its own it would be scalar: its rounds unroll too late
def _words(group: Any, row: Any, seed: Any, stream: Any) -> Any:
    """The four words of counter (group, row, stream) under key `seed`; everything uint64, group and row below 2**32."""
    c0, c1, c2, c3 = group, row, stream & _LOW, stream >> _32
    k0, k1 = seed & _LOW, seed >> _32
    for _ in range(10):
        p0, p1 = (c0 & _LOW) * _M0, (c2 & _LOW) * _M1
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


def dropout_numbers(p: float, key: Any) -> tuple[Any, float, Any, Any]:
    """`dropout_row`'s threshold, scale, seed and stream for probability `p` and key (seed, stream).

    Always of the same types: a seed of 2**63 or more would else be another kind of argument, compiled for anew.
    """
    seed, stream = key
    threshold = np.uint64(min(int(p * 2**32), 0xFFFFFFFF))
    return threshold, 1.0 / (1.0 - p), np.uint64(seed), np.uint64(stream & 0xFFFFFFFFFFFFFFFF)


@njit
def dropout_row(out: Any, row: int, threshold: int, scale: float, seed: int, stream: int) -> None:
    """What dropout multiplies row number `row` with: `scale` where an element is kept, 0 where it is dropped.

    Args:
        out: (C,) float32 or float64, filled. Element c is word c % 4 of the counter (c // 4, row, stream).
        row: below 2**32.
        threshold: words below it are dropped (probability times 2**32).
        scale: 1 / (1 - p).
        seed, stream: uint64; the key of the call.
    """
    r, s, q, limit = np.uint64(row) & _LOW, np.uint64(seed), np.uint64(stream), np.uint64(threshold)
    kept, dropped = out.dtype.type(scale), out.dtype.type(0)
    whole = out.shape[0] // 4
    for g in range(whole):
        w0, w1, w2, w3 = _words(np.uint64(g), r, s, q)
        out[4 * g] = kept if w0 >= limit else dropped
        out[4 * g + 1] = kept if w1 >= limit else dropped
        out[4 * g + 2] = kept if w2 >= limit else dropped
        out[4 * g + 3] = kept if w3 >= limit else dropped
    rest = _words(np.uint64(whole), r, s, q)
    for c in range(4 * whole, out.shape[0]):
        out[c] = kept if rest[c - 4 * whole] >= limit else dropped
