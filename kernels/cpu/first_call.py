"""The first use on a machine: compiling takes a while, and the wait is explained on stderr."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from numba.core import event

from .code_cache import KERNELS, generation_of

PATIENCE = 2.0
"""Seconds of compiling before anything is said; usually everything is compiled already, and nothing is said."""


class _Announcer(event.Listener):  # type: ignore[misc, unused-ignore]
    """Says once, on stderr, that compiling is what takes so long."""

    def __init__(self) -> None:
        self.said = False
        self.reset()

    def reset(self) -> None:
        """No compilation is under way: at the beginning, and in the child of a fork, which has no other threads."""
        self.depth = 0
        self.timer: threading.Timer | None = None

    def on_start(self, event: Any) -> None:
        """A compilation begins; those of the functions it calls lie within."""
        self.depth += 1  # Numba compiles in one thread at a time
        if self.timer is None and not self.said:
            self.timer = threading.Timer(PATIENCE, self._say)
            self.timer.daemon = True
            self.timer.start()

    def on_end(self, event: Any) -> None:
        """A compilation is done. The timer goes on: many short ones are a long wait, too."""
        self.depth = max(self.depth - 1, 0)

    def _say(self) -> None:
        self.timer = None
        if self.depth == 0 or self.said:
            return
        self.said = True
        generation = generation_of(KERNELS / "compiled.py")
        kept = generation is not None and generation.folder is not None
        then = "done once, the next start is fast" if kept else "at each start: no folder to keep them can be written"
        try:
            sys.stderr.write(f"minibert: compiling kernels for this processor; {then}\n")
            sys.stderr.flush()
        except (AttributeError, OSError, ValueError):  # stderr is None, or closed
            pass


def announce() -> None:
    """From now on, long compilations are announced."""
    announcer = _Announcer()
    event.register("numba:compile", announcer)  # type: ignore[no-untyped-call, unused-ignore]
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=announcer.reset)
