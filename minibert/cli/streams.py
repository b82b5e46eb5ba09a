"""The three standard streams as a command finds them: closed, full, in another encoding, or with their reader gone."""

from __future__ import annotations

import os
import sys
from typing import TextIO

__all__ = ["discard", "settle"]


def settle() -> None:
    """Give the process three open streams, with UTF-8 out whatever the locale, since programs read it.

    A stream that is closed (`minibert ... >&-`, as some daemons do) is replaced by the null device. Otherwise the
    next file that is opened would get its number, and what a library prints would end up in that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _attach_null(number)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def discard(stream: TextIO | None) -> None:
    """Point a stream that failed to the null device: Python flushes it at exit, and would complain once more."""
    try:
        if stream is not None:
            _attach_null(stream.fileno())
    except (OSError, ValueError, AttributeError):  # no real stream, as inside a test
        return


def _attach_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null == number:  # the lowest number that was free
        os.set_inheritable(number, True)
        return
    os.dup2(null, number)
    os.close(null)
