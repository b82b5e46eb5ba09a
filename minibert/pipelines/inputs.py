"""The forms in which inputs come: one, a list, or a stream that is read as it is answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

__all__ = ["Answers", "characters_of", "stream_of", "take_window"]

_NO_STREAM = (str, bytes, bytearray, memoryview, Mapping, list, tuple, np.ndarray)

CHARACTERS_A_WINDOW = 1 << 18
"""About sixteen batches of tokens: what is read ahead of a stream to be sorted by length takes bounded memory."""


def stream_of(inputs: Any) -> tuple[Iterator[Any], int | None] | None:
    """(the inputs one by one, their number if it is known) of an iterator, an iterable or a dataset; else None.

    A dataset is anything with `__len__` and `__getitem__`: it is read by the numbers 0 to len - 1, one after another.
    """
    if isinstance(inputs, _NO_STREAM):
        return None
    length = len(inputs) if hasattr(type(inputs), "__len__") else None
    if hasattr(type(inputs), "__iter__"):
        return iter(inputs), length
    if length is not None and hasattr(type(inputs), "__getitem__"):
        return (inputs[i] for i in range(length)), length
    return None


class Answers(Iterator[Any]):
    """The answers to a stream of inputs, in their order, each computed when it is asked for.

    `len()` gives the number of inputs where the stream has one.
    """

    def __init__(self, answers: Iterator[Any], length: int | None) -> None:
        self._answers, self._length = answers, length

    def __next__(self) -> Any:
        return next(self._answers)

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("the number of answers is not known: the inputs came as an iterator")
        return self._length


def take_window(inputs: Iterator[Any], most: int) -> list[Any]:
    """The next inputs: at most `most`, and no more once they have `CHARACTERS_A_WINDOW` characters together."""
    window: list[Any] = []
    characters = 0
    for item in islice(inputs, most):
        window.append(item)
        characters += characters_of(item)
        if characters >= CHARACTERS_A_WINDOW:
            break
    return window


def characters_of(item: Any) -> int:
    """How many characters of text an input holds."""
    if isinstance(item, str):
        return len(item)
    if isinstance(item, Mapping):
        return sum(characters_of(value) for value in item.values())
    return sum(characters_of(value) for value in item) if isinstance(item, list | tuple) else 0
