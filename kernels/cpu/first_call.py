"""A word to whoever waits: kernels are compiled at their first use on a machine, and found on disk from then on."""

from __future__ import annotations

import sys
import threading
from typing import Any

from numba.core import event

PATIENCE = 2.0
"""Seconds of silence; most calls find everything compiled, and then nothing is said."""


class _Announcer(event.Listener):  # type: ignore[misc, unused-ignore]
    """Says once, on stderr, that compiling is what takes so long."""

    def __init__(self) -> None:
        self.depth = 0
        self.timer: threading.Timer | None = None
        self.said = False

    def on_start(self, event: Any) -> None:
        """A compilation begins; those of the functions it calls lie within."""
        if self.timer is None and not self.said:
            self.timer = threading.Timer(PATIENCE, self._say)
            self.timer.daemon = True
            self.timer.start()
        self.depth += 1

    def on_end(self, event: Any) -> None:
        """A compilation is done. The timer goes on: many short ones are a long wait, too."""
        self.depth -= 1

    def _say(self) -> None:
        self.timer = None
        if self.depth > 0:
            self.said = True
            sys.stderr.write("minibert: compiling kernels for this processor; done once, the next start is fast\n")


def announce() -> None:
    """From now on, long compilations are announced."""
    event.register("numba:compile", _Announcer())  # type: ignore[no-untyped-call, unused-ignore]
