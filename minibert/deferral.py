"""Work that Ctrl-C waits for, because half of it would be worse than none or all."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["deferred_interrupt"]


class deferred_interrupt:
    """While the block runs, Ctrl-C is noted; its handler (usually KeyboardInterrupt) is called right after the block.

    For a few milliseconds of work that changes several things which belong together, such as an optimiser's step. It
    does so in the main thread, where Python runs signal handlers, and where SIGINT has a handler in Python; otherwise
    nothing changes. Exceptions that come another way (`PyThreadState_SetAsyncExc`) are not deferred.
    """

    def __init__(self) -> None:
        self._handler: Any = None
        self._noted: FrameType | None = None
        self._came = False

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is None:
            return
        if signal.getsignal(signal.SIGINT) == self._note:  # the block, or another signal's handler, may have set one
            signal.signal(signal.SIGINT, self._handler)
        if self._came:
            self._came = False
            self._handler(signal.SIGINT, self._noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came, self._noted = True, frame
