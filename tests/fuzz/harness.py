"""Runs mutants of one class: each is read, or refused in one clear sentence, soon and with little memory."""

from __future__ import annotations

import resource
import signal
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from tests.fuzz.classes import FuzzClass

SECONDS = 10.0
# What a plain exception says of itself, which tells a reader nothing about the file.
_RAW = ("list index out", "argument of type", "object is not", "unhashable", "not supported between", "object has no")


class TooSlowError(BaseException):
    """A mutant took longer than it may."""


@dataclass
class Outcome:
    """Of one class: how many were read and refused, what went wrong otherwise, the slowest (s), the largest (MB)."""

    name: str
    read: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    largest: float = 0.0
    sentences: Counter[str] = field(default_factory=Counter)


def run(one: FuzzClass, mutants: int, seed: int = 0) -> Outcome:
    """Read `mutants` mutants of the class."""
    outcome = Outcome(one.name)
    path = one.folder / one.file
    sound = path.read_bytes()
    base = _peak()
    try:
        for number in range(seed, seed + mutants):
            path.write_bytes(one.mutate(sound, number))
            began = time.perf_counter()
            fault = _judge(one, outcome)
            outcome.slowest = max(outcome.slowest, time.perf_counter() - began)
            if fault is not None:
                outcome.failures.append(f"{one.name}, mutant {number}: {fault}")
    finally:
        path.write_bytes(sound)
    outcome.largest = _peak() - base
    return outcome


def _judge(one: FuzzClass, outcome: Outcome) -> str | None:
    """Count it; what is wrong with it, if anything."""
    try:
        with _limited(), warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("ignore", UserWarning)
            one.read(one.folder)
    except UnicodeError as error:
        return f"{type(error).__name__}: {error}"
    except ValueError as error:
        outcome.refused += 1
        sentence = str(error)
        outcome.sentences[sentence.replace(str(one.folder), "F")[:90]] += 1
        return _unclear(sentence, one)
    except (Exception, TooSlowError) as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    outcome.read += 1
    return None


def _unclear(sentence: str, one: FuzzClass) -> str | None:
    if "\n" in sentence or len(sentence) > 800 or not sentence.strip():
        return f"not one line: {sentence[:300]!r}"
    if str(one.folder) not in sentence:
        return f"does not name the file: {sentence[:300]!r}"
    if any(raw in sentence for raw in _RAW):
        return f"raw: {sentence[:300]!r}"
    if any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in sentence):
        return f"control characters: {sentence[:300]!r}"
    return None


@contextmanager
def _limited() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlowError(f"longer than {SECONDS:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _peak() -> float:
    """Megabytes, the most this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
