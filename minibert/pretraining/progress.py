"""What a person sees while a run goes on: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["Progress", "counting", "duration"]

EVERY = 30.0
"""Seconds between lines where there is no terminal."""


class Progress:
    """Steps done, loss, tokens a second, time left.

    Args:
        total, done: steps of the run, and those taken already.
        stream: where to; stderr by default.
        quiet: nothing at all.
    """

    def __init__(self, total: int, done: int, *, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.total, self.done, self.quiet = total, done, quiet
        self._began, self._first, self._told = time.monotonic(), done, float("-inf")
        self._bar: Any = None
        if not quiet and self.stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, unit="step", file=self.stream, dynamic_ncols=True)

    def step(self, loss: float, tokens_per_second: float) -> None:
        """One step is done."""
        self.done += 1
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, {tokens_per_second:,.0f} tokens/s", refresh=False)
            self._bar.update()
        elif not self.quiet and time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            pace = (self._told - self._began) / (self.done - self._first)
            left = duration(pace * (self.total - self.done))
            self._line(
                f"step {self.done:,} of {self.total:,}, loss {loss:.3f}, {tokens_per_second:,.0f} tokens/s, {left} left"
            )

    def say(self, text: str) -> None:
        """A line that stays."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.write(text, file=self.stream)
        else:
            self._line(text)

    def close(self) -> None:
        """The end of the bar."""
        if self._bar is not None:
            self._bar.close()

    def _line(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()


@contextmanager
def counting(unit: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that tells (done, total); nothing where stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from tqdm import tqdm

    with tqdm(unit=unit, leave=False) as bar:

        def moved(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield moved


def duration(seconds: float) -> str:
    """ "45 s", "12 min", "3 h 20 min", "5.2 days"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        minutes = round(seconds / 60)
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{seconds / 86400:,.1f} days"
