"""Rows of tokens into batches of similar length, so that no batch is mostly padding and none is too large."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Row", "pad_rows", "plan_batches", "progress"]

TOKENS_A_BATCH = 4096
"""More tokens at once do not run faster, they only take more memory: (T, F) activations grow with them."""

ROWS_WORTH_A_BAR = 64


@dataclass
class Row:
    """One row for the model, unpadded.

    Attributes:
        input_ids, token_type_ids, attention_mask: S integers each.
        encoding: the tokenizer's answer it came from, and `place`, which row of it.
    """

    input_ids: list[int]
    token_type_ids: list[int]
    attention_mask: list[int]
    encoding: Any
    place: int = 0

    def __len__(self) -> int:
        return len(self.input_ids)

    @classmethod
    def of(cls, encoding: Any) -> Row:
        """The only row of what a tokenizer returned for one text."""
        return cls(*_columns(encoding, None), encoding)

    @classmethod
    def all_of(cls, encoding: Any) -> list[Row]:
        """Every row of what a tokenizer returned for a batch or with overflowing windows."""
        rows = range(len(encoding["input_ids"]))
        return [cls(*_columns(encoding, k), encoding, k) for k in rows]


def _columns(encoding: Any, place: int | None) -> tuple[list[int], list[int], list[int]]:
    """ids, types and mask of one of several rows, or of the only one (None)."""

    def column(name: str) -> list[int]:
        return list(encoding[name] if place is None else encoding[name][place])

    ids = column("input_ids")
    types = column("token_type_ids") if "token_type_ids" in encoding else [0] * len(ids)
    return ids, types, column("attention_mask") if "attention_mask" in encoding else [1] * len(ids)


def plan_batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Numbers of the rows of each batch, longest first: what needs the most memory is met at once, not at the end."""
    batch: list[int] = []
    tokens = 0
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        if batch and (len(batch) == batch_size or tokens + lengths[k] > TOKENS_A_BATCH):
            yield batch
            batch, tokens = [], 0
        batch.append(k)
        tokens += lengths[k]
    if batch:
        yield batch


def pad_rows(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """The model's arguments (B, S), int64. The filling is hidden by attention_mask, so it may be any token."""
    shape = (len(rows), max(map(len, rows)))
    inputs = {name: np.zeros(shape, np.int64) for name in ("input_ids", "token_type_ids", "attention_mask")}
    for name, array in inputs.items():
        for b, row in enumerate(rows):
            array[b, : len(row)] = getattr(row, name)
    first = inputs["attention_mask"].argmax(axis=1)[:, None]  # (B, 1)
    if first.any():  # a tokenizer that pads on the left: a text's answer does not depend on its padding
        inputs["position_ids"] = np.maximum(np.arange(shape[1]) - first, 0)  # (B, S)
    return inputs


@contextmanager
def progress(total: int, task: str, wanted: bool | None = None) -> Iterator[Callable[[int], object]]:
    """A function that advances a progress bar by a number of rows.

    `wanted`: whether there is a bar; None: on a terminal if there are many rows.
    """
    if wanted is None:
        wanted = total >= ROWS_WORTH_A_BAR and sys.stderr is not None and sys.stderr.isatty()
    if not wanted:
        yield lambda done: None
        return
    from tqdm import tqdm  # comes with huggingface_hub

    with tqdm(total=total, desc=task, unit="row", leave=False) as bar:
        yield bar.update
