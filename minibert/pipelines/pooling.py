"""One vector for a text, from the vectors of its tokens. (Reimers and Gurevych 2019, section 3)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["POOLINGS", "pool", "pooling_modes", "unit_length"]

POOLINGS = ("cls", "max", "mean", "mean_sqrt_len", "weightedmean", "lasttoken")
"""The ways to pool, named and ordered as in sentence-transformers: several are concatenated in this order.

cls, lasttoken: the vector of the first or the last token. max, mean: over the tokens, [CLS] and [SEP] included.
mean_sqrt_len: their sum over the square root of their number. weightedmean: token i weighs i, counted from 1.
"""


def pooling_modes(pool: str | Sequence[str]) -> tuple[str, ...]:
    """One or several of `POOLINGS`, in their order.

    Raises:
        ValueError: none, or one that is unknown.
    """
    named = [pool] if isinstance(pool, str) else list(pool)
    unknown = [name for name in named if name not in POOLINGS]
    if unknown or not named:
        raise ValueError(f"unknown pool {unknown[0] if unknown else pool!r}; expected one or several of {_choices()}")
    return tuple(mode for mode in POOLINGS if mode in named)


def _choices() -> str:
    return ", ".join(repr(name) for name in POOLINGS)


def pool(hidden: NDArray[Any], modes: Sequence[str], *, skip: int = 0) -> NDArray[Any]:
    """(len(modes) * H,) from the vectors (T, H) of the tokens of a text, without pads.

    Args:
        hidden: (T, H), T at least 1.
        modes: what `pooling_modes` returns.
        skip: how many tokens at the beginning do not count, except for "cls"; with none left the vector is zero.
    """
    counted = hidden[skip:]  # (C, H)
    places = np.arange(skip + 1, skip + 1 + len(counted), dtype=hidden.dtype)  # (C,)
    parts = []
    for mode in modes:
        if mode == "cls":
            parts.append(hidden[0])
        elif mode == "lasttoken":
            parts.append(hidden[-1])
        elif not len(counted):
            parts.append(np.zeros_like(hidden[0]))
        elif mode == "max":
            parts.append(counted.max(axis=0))
        elif mode == "mean":
            parts.append(counted.mean(axis=0))
        elif mode == "mean_sqrt_len":
            parts.append(counted.sum(axis=0) / np.sqrt(hidden.dtype.type(len(counted))))
        else:
            parts.append((counted * places[:, None]).sum(axis=0) / places.sum())
    return np.concatenate(parts)


def unit_length(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors (..., H) scaled to length one, so that a dot product is a cosine; zero vectors stay zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[Any] = vectors / np.where(length == 0, 1, length)
    return scaled
