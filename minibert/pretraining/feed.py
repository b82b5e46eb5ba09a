"""The examples of a run, step by step, made ahead of time in a thread of their own.

What a step sees depends on its place alone: (phase, epoch, index of the next example). The place after a step is part
of its batch, so a saved state knows where the run was, not how far the thread had come.

Epochs follow one another without a gap: a batch that reaches an epoch's end goes on with the next epoch. A phase begins
a new epoch, since other lengths cut other examples.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from minibert.pretraining.recipe import Phase, Recipe, RecipeError

__all__ = ["Batch", "Data", "Feed", "Place", "StepBatch"]

Batch = Mapping[str, np.ndarray]
"""Keyword arguments of `BertForPreTraining`: input_ids, attention_mask, token_type_ids, labels (B, S);
next_sentence_label (B,)."""


class Epoch(Protocol):
    """The examples of one epoch, in its order."""

    def __len__(self) -> int: ...
    def batch(self, first: int, last: int) -> Any: ...


class Data(Protocol):
    """What `PretrainingData` offers."""

    vocabulary_size: int
    fingerprint: str

    def epoch(self, number: int) -> Any: ...


@dataclass(frozen=True)
class Place:
    """The next example of a run."""

    phase: int = 0
    epoch: int = 0
    index: int = 0

    def to_dict(self) -> dict[str, int]:
        """For a saved state."""
        return asdict(self)


class StepBatch(NamedTuple):
    """One optimiser step's examples, in pieces, and the place after them."""

    pieces: list[dict[str, np.ndarray]]
    after: Place


class Feed:
    """An iterator over the steps from `step` on, with a thread that is `ahead` steps in front.

    The two talk through queues whose operations are single steps of C code, so that an interrupt leaves no lock held.
    After an interrupt, and in a forked child, which does not have the thread, a new one goes on where the iterator is:
    a batch that was on its way is made again.

    Attributes:
        waited: seconds that the caller has spent waiting for batches.

    Raises:
        RuntimeError: while iterating, when the thread died without a word.
    """

    def __init__(
        self, recipe: Recipe, data: Callable[[Phase], Data], *, step: int, place: Place, ahead: int = 2
    ) -> None:
        self.waited = 0.0
        self._recipe, self._data, self._ahead = recipe, data, ahead
        self._next, self._closed = (step, place), False
        self._taking = False  # true from the start of `__next__` to its end
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._ready: queue.SimpleQueue[StepBatch | BaseException | None] = queue.SimpleQueue()
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()  # an item for each batch to make; False: no more
        for _ in range(self._ahead + 1):  # and one that it makes meanwhile
            self._wanted.put(True)
        work = (self._next[0], self._next[1], self._ready, self._wanted)
        self._thread = threading.Thread(target=self._work, args=work, name="minibert-data", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[StepBatch]:
        return self

    def __next__(self) -> StepBatch:
        start = time.perf_counter()
        forked = self._process != os.getpid()
        if (forked or self._taking) and not self._closed:
            if not forked:
                self._wanted.put(False)
            self._start()
        self._taking = True
        got = self._get()
        self.waited += time.perf_counter() - start
        if got is None or isinstance(got, BaseException):
            self._ready.put(got)  # it is the same next time
            self._taking = False
            raise got or StopIteration
        self._wanted.put(True)
        after = (self._next[0] + 1, got.after)
        self._next, self._taking = after, False  # no call comes after this, so that no interrupt does
        return got

    def _get(self) -> StepBatch | BaseException | None:
        while True:
            alive = self._thread.is_alive()
            try:
                return self._ready.get(timeout=1 if alive else 0)
            except queue.Empty:
                if not alive:
                    raise RuntimeError("the thread that makes the examples ended before the last of them") from None

    def close(self) -> None:
        """Stop the thread."""
        self._closed = True
        if self._process == os.getpid():
            self._wanted.put(False)
            self._thread.join()

    def _work(self, step: int, place: Place, ready: queue.SimpleQueue[Any], wanted: queue.SimpleQueue[bool]) -> None:
        try:
            batches = steps(self._recipe, self._data, step, place)
            while wanted.get() and not self._closed:
                ready.put(batch := next(batches, None))
                if batch is None:
                    return
        except BaseException as error:  # raised where the batch was wanted
            ready.put(error)


def steps(recipe: Recipe, data: Callable[[Phase], Data], step: int, place: Place) -> Iterator[StepBatch]:
    """The batches of steps `step`, `step` + 1, ... to the end of the run."""
    source: Data | None = None
    for number in range(step, recipe.schedule.steps):
        wanted = recipe.phase_of(number)
        if wanted != place.phase:
            place, source = Place(wanted, place.epoch + 1, 0), None
        phase = recipe.phases[wanted]
        if source is None:
            source = data(phase)
        batch, place = take(source, place, phase.batch_size)
        yield StepBatch(pieces(batch, phase.accumulation), place)


def take(source: Data, place: Place, count: int) -> tuple[dict[str, np.ndarray], Place]:
    """The next `count` examples, and the place after them.

    Raises:
        RecipeError: an epoch without examples.
    """
    parts: list[Batch] = []
    number, index = place.epoch, place.index
    while count:
        epoch = source.epoch(number)
        if len(epoch) == 0:
            raise RecipeError("the data has no examples; was it prepared from an empty corpus?")
        last = min(index + count, len(epoch))
        if last > index:
            parts.append(epoch.batch(index, last))
        count -= last - index
        number, index = (number + 1, 0) if last == len(epoch) else (number, last)
    return _joined(parts), Place(place.phase, number, index)


def pieces(batch: Mapping[str, np.ndarray], count: int) -> list[dict[str, np.ndarray]]:
    """The batch in `count` equal pieces."""
    size = len(batch["input_ids"]) // count
    return [{name: array[i * size : (i + 1) * size] for name, array in batch.items()} for i in range(count)]


def _joined(parts: list[Batch]) -> dict[str, np.ndarray]:
    """Batches one below the other, padded to one length."""
    if len(parts) == 1:
        return dict(parts[0])
    longest = max(part["input_ids"].shape[1] for part in parts)
    return {name: np.concatenate([_padded(name, part[name], longest) for part in parts]) for name in parts[0]}


def _padded(name: str, array: np.ndarray, length: int) -> np.ndarray:
    """(B, S) to (B, length); what belongs to whole examples stays as it is."""
    if array.ndim != 2 or array.shape[1] == length:
        return array
    fill = -100 if name == "labels" else 0
    return np.pad(array, ((0, 0), (0, length - array.shape[1])), constant_values=fill)
