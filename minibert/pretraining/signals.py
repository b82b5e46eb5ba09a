"""Ctrl-C and SIGTERM as a request: finish this step, save, stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from minibert import cleanup

__all__ = ["StopAsked"]


class StopAsked:
    """While the block runs, the first SIGINT or SIGTERM is noted; a second one does what it always did.

    Signals reach a program's main thread only; in another one nothing changes.

    Attributes:
        signal: the number of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopAsked:
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGINT, signal.SIGTERM)
            self._before = {number: signal.getsignal(number) for number in numbers}  # known before any is replaced
            for number in numbers:
                signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            # None: not installed by Python, which cannot put it back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}
        cleanup.arm()  # what is being saved just now
