"""Turns, pairs and what is told about them."""

from __future__ import annotations

import pytest

from minibert.bench.measure import LONG, Pairs, Summary, interleave, times


def test_median_and_quartiles() -> None:
    assert Summary.of([3.0]) == Summary(3.0, 3.0, 3.0)
    assert Summary.of([1.0, 2.0]) == Summary(1.5, 1.25, 1.75)
    assert Summary.of([5.0, 1.0, 4.0, 2.0, 3.0]) == Summary(3.0, 2.0, 4.0)


def test_ratios_are_taken_pair_by_pair() -> None:
    """Both sides meet the same slow moments: times spread widely, the ratio does not."""
    pairs = Pairs(ours=[[1.0], [10.0], [2.0]], theirs=[[2.0], [20.0], [4.0]])
    assert pairs.ratios() == [2.0, 2.0, 2.0]
    assert pairs.ratio() == Summary(2.0, 2.0, 2.0)


def test_a_turn_counts_by_its_median() -> None:
    pairs = Pairs(ours=[[1.0, 1.0, 50.0]], theirs=[[3.0]])
    assert pairs.ratios() == [3.0]
    assert times(pairs.ours) == Summary(1.0, 1.0, 1.0)


class Clock:
    """A side whose runs take as long as it is told; notes in a common list who ran, and how."""

    def __init__(self, name: str, seconds: float, log: list[tuple[str, float, bool]]) -> None:
        self.name, self.seconds, self.log = name, seconds, log

    def turn(self, seconds: float, *, warm: bool) -> list[float]:
        self.log.append((self.name, seconds, warm))
        return [self.seconds] * (1 if seconds == 0 else 2)


def test_sides_take_turns() -> None:
    log: list[tuple[str, float, bool]] = []
    rounds: list[int] = []
    pairs = interleave(Clock("a", 0.1, log), Clock("b", 0.2, log), 3, seconds=0.3, pause=0.0, on_round=rounds.append)
    first, rest = log[:2], log[2:]
    assert first == [("a", 0.0, False), ("b", 0.0, False)]  # these do not count
    assert rest == [("a", 0.3, True), ("b", 0.3, True)] * 3
    assert pairs.ours == [[0.1, 0.1]] * 3
    assert pairs.ratios() == pytest.approx([2.0] * 3)
    assert rounds == [1, 2, 3]


def test_long_runs_are_not_warmed_up() -> None:
    log: list[tuple[str, float, bool]] = []
    interleave(Clock("a", LONG * 2, log), Clock("b", 0.1, log), 1, pause=0.0)
    assert [warm for _, _, warm in log[2:]] == [False, True]
