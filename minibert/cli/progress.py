"""How far a long command has come: a line on the terminal that is written over."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from minibert.cli.reading import Texts

__all__ = ["ProgressLine", "TextProgress", "watched"]

SHOWN_AFTER = 2.0
"""Seconds; a command that is done sooner needs no progress."""
EVERY = 0.2
_CLEAR = "\r\x1b[K"


def watched(args: argparse.Namespace) -> bool:
    """Whether progress is to be shown: stderr is a terminal that can write over a line, and --quiet was not given."""
    return not args.quiet and sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class ProgressLine:
    """A line on stderr that is written over while it is `on`, and removed at the end of the block."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._began = time.monotonic()
        self._next = self._began + SHOWN_AFTER
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, text: Callable[[float], str]) -> None:
        """Show `text(seconds)` if it is time to; `seconds` since the beginning."""
        now = time.monotonic()
        if not self._on or now < self._next:
            return
        self._next = now + EVERY
        self._write(_CLEAR + text(now - self._began))
        self._shown = True

    def clear(self) -> None:
        """Remove the line, before anything else is printed."""
        if self._shown:
            self._shown = False
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._on = False


class TextProgress(ProgressLine):
    """The number of texts answered, the speed, and the share of the input if its size is known.

    Nothing is shown where the answers themselves go to a terminal: they are the progress.

    Args:
        args: the command's arguments; `quiet`, and `out` if it has one.
        texts: the texts.
    """

    def __init__(self, args: argparse.Namespace, texts: Texts) -> None:
        answers_seen = sys.stdout is not None and sys.stdout.isatty() and getattr(args, "out", None) is None
        super().__init__(watched(args) and not answers_seen)
        self._texts = texts

    def update(self, done: int) -> None:
        """`done` texts have been answered."""
        texts = self._texts
        share = f" ({min(texts.position / texts.size, 1):.0%})" if texts.size else ""
        self.show(lambda seconds: f"{done:,} texts{share}, {done / seconds:,.0f} a second")
