"""Errors and warnings of a command: each is one line on stderr that begins with "minibert: "."""

from __future__ import annotations

import sys
import warnings
from types import TracebackType
from typing import Any

from minibert.cli.printing import visible
from minibert.cli.streams import discard

__all__ = ["Warnings", "say", "sentence"]

LONGEST = 4000
"""Characters of a message; a longer one quotes more than anybody reads."""
MOST_WARNINGS = 1000
"""Distinct warnings that are shown: a command that runs for days must not gather them without end."""


def say(text: str) -> None:
    """A line on stderr. Control characters in it are escaped: it may quote a text or the name of a file."""
    line = visible(" ".join(text.split()))
    shown = line if len(line) <= LONGEST else line[:LONGEST] + "..."
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"minibert: {shown}\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # full or closed: there is no other place for it
        discard(sys.stderr)


def sentence(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, OSError) and error.strerror:
        where = error.filename if error.filename is not None else "cannot read or write"
        return f"{where!s}: {error.strerror}"
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory{f' ({error})' if str(error) else ''}; a smaller --batch-size may fit"
    return f"{type(error).__name__}: {error} (not expected; --debug shows where)"


class Warnings:
    """While the block runs, warnings are collected, each distinct one once; `show` prints those not shown yet.

    A command shows them when its work is done, or, if it answers texts one after another, beside its answers. After
    an error those not shown yet are dropped: the one line is the error's.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._pending: list[str] = []

    def __enter__(self) -> Warnings:
        self._catching = warnings.catch_warnings()
        self._catching.__enter__()
        warnings.simplefilter("always")
        warnings.showwarning = self._collect
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._catching.__exit__(kind, error, trace)

    def _collect(self, message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        if issubclass(category, UserWarning) and text not in self._seen and len(self._seen) < MOST_WARNINGS:
            self._seen.add(text)
            self._pending.append(text)

    def show(self) -> None:
        """Print the warnings that came since the last call."""
        pending, self._pending = self._pending, []
        for text in pending:
            say(f"warning: {text}")
