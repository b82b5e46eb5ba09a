"""Turns, pairs, and what is told about them.

In a turn one side runs for a moment, once if a run is long. After each switch there is a pause, in which the other
side's threads stop looking for work, and then a run that does not count, which brings this side's weights and
threads back (left out where a run takes so long that it could not matter). Turns alternate, so a pair is two neighbours
in time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

TURN = 0.3
"""Seconds that a turn lasts at least."""
PAUSE = 0.05
"""Seconds between turns. OpenBLAS's threads, the most patient, spin for about half of that."""
LONG = 2.0
"""Seconds of a run above which none is spent on warming up after a switch."""


class Runner(Protocol):
    """What can take turns."""

    def turn(self, seconds: float, *, warm: bool) -> list[float]:
        """Times of runs."""
        ...


@dataclass(frozen=True)
class Summary:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass
class Pairs:
    """Turns of two sides: ours[i] and theirs[i] are neighbours in time, and lists of times in seconds."""

    ours: list[list[float]] = field(default_factory=list)
    theirs: list[list[float]] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """Theirs over ours, pair by pair, each turn by its median; above 1 where ours is faster."""
        return [statistics.median(b) / statistics.median(a) for a, b in zip(self.ours, self.theirs, strict=True)]

    def ratio(self) -> Summary:
        """Median and quartiles of the ratios."""
        return Summary.of(self.ratios())


def times(turns: Sequence[Sequence[float]]) -> Summary:
    """Median and quartiles of the turns' medians, in seconds."""
    return Summary.of([statistics.median(turn) for turn in turns])


def interleave(
    ours: Runner,
    theirs: Runner,
    rounds: int,
    *,
    seconds: float = TURN,
    pause: float = PAUSE,
    on_round: Callable[[int], None] = lambda _: None,
) -> Pairs:
    """Let two sides run in turn: `rounds` pairs, after one that does not count.

    Args:
        on_round: called before each pair with its number, from 1.
    """
    pairs = Pairs()
    sides = ((ours, pairs.ours), (theirs, pairs.theirs))
    warm = [runner.turn(0.0, warm=False)[0] < LONG for runner, _ in sides]
    for i in range(rounds):
        on_round(i + 1)
        for (runner, turns), warmed in zip(sides, warm, strict=True):
            time.sleep(pause)
            turns.append(runner.turn(seconds, warm=warmed))
    return pairs
