"""What must be undone however the process ends: by an exception, Ctrl-C, SIGTERM or a closed terminal.

A block that makes something temporary on the disk registers how to remove it *before* making it, and marks it as done
after removing it. What is still registered when the process ends is undone then:

* by Ctrl-C and other exceptions: at the latest when the interpreter exits;
* by SIGTERM and SIGHUP, inside `on_signals()`: in the signal's handler, whatever the main thread is at; then the
  process dies by that very signal. The handler raises nothing, because an exception raised between any two
  instructions can get lost (in a destructor, in a callback of another library) or interrupt a cleanup.

The handlers are installed only while something is registered: otherwise the system ends the process at once, also
inside a long call into another library. A SIGHUP that is ignored (nohup) stays ignored. Nothing helps against SIGKILL:
see `minibert.checkpoint.hidden_folder` for what the next process does.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["arm", "done", "on_signals", "register", "run"]

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))  # no SIGHUP: Windows
_pending: dict[object, Callable[[], None]] = {}
_enabled = False


def register(key: object, undo: Callable[[], None]) -> None:
    """Remember how to undo what is about to be made. `undo` may find nothing, a part of it, or be called twice."""
    _pending[key] = undo
    arm()


def done(key: object) -> None:
    """`key` was undone, or became permanent."""
    _pending.pop(key, None)
    if not _pending:
        _disarm()


def run() -> None:
    """Undo everything that is still registered, the newest first; Ctrl-C does not interrupt it."""
    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if _pending and main_thread else None
    try:
        for key, undo in reversed(list(_pending.items())):
            with suppress(OSError):
                undo()
            done(key)
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


@contextmanager
def on_signals() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP undo what is registered before they end the process.

    For a program of its own, which owns its signals; a library leaves them alone. A handler that is installed already
    is left alone too.
    """
    global _enabled
    before, _enabled = _enabled, True
    try:
        arm()
        yield
    finally:
        run()
        _enabled = before


def arm() -> None:
    """Install the handlers if they are needed, and the signals still have their default effect."""
    if _enabled and _pending and threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _die)


def _disarm() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is _die:
                signal.signal(number, signal.SIG_DFL)


def _die(number: int, frame: FrameType | None) -> None:
    """Undo, then die by the signal."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    try:
        run()
    finally:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _forget() -> None:
    """In a forked child: what is registered is its parent's."""
    _pending.clear()
    _disarm()


atexit.register(run)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
