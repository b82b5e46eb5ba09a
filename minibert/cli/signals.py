"""Ctrl-C in a command: the first unwinds the stack, a second one ends the process at once.

SIGTERM and SIGHUP end the process by themselves; `minibert.cleanup` sees to what they would leave behind.
"""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["install"]


def install() -> None:
    """Raise KeyboardInterrupt for the first SIGINT only. One that is ignored (a background job) stays ignored."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # otherwise a second one would print a traceback while the first unwinds
    raise KeyboardInterrupt
