"""Ctrl-C in a command: the first unwinds the stack, a second one ends the process at once.

SIGTERM and SIGHUP end the process by themselves; `minibert.cleanup` sees to what they would leave behind.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

__all__ = ["check", "install"]

_arrived = False


def install() -> None:
    """Raise KeyboardInterrupt for the first SIGINT only. One that is ignored (a background job) stays ignored."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _raise)
        sys.unraisablehook = _report_unraisable


def check() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed, but its exception was lost.

    An exception in a destructor or in a callback of another library, such as the compiler's, goes nowhere.
    """
    if _arrived:
        raise KeyboardInterrupt


def _raise(number: int, frame: FrameType | None) -> None:
    global _arrived
    _arrived = True
    signal.signal(number, signal.SIG_DFL)  # otherwise a second one would print a traceback while the first unwinds
    raise KeyboardInterrupt


def _report_unraisable(lost: Any) -> None:
    """Python's own report, but for a lost KeyboardInterrupt, which `check` raises again."""
    if not (_arrived and issubclass(lost.exc_type, KeyboardInterrupt)):
        sys.__unraisablehook__(lost)
