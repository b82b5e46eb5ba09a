"""The first use on a machine: kernels are compiled, which takes a while, and found on disk from then on.

Two things about that. Whoever waits is told why. And Numba looks at the file that a compiled function stands in, but
not at the files of the functions it calls: after an update, the old code of such a one would go on inside the new. So
the sources are stamped together, and when the stamp changes everything compiled is thrown away.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from pathlib import Path
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


def forget_what_is_stale() -> None:
    """Delete compiled kernels beside these sources that were made from other sources."""
    folder = Path(__file__).parent
    cache = folder / "__pycache__"
    digest = hashlib.sha256()
    for source in sorted(folder.glob("*.py")):
        digest.update(source.read_bytes())
    stamp, now = cache / "kernels.stamp", digest.hexdigest()
    try:
        if stamp.is_file() and stamp.read_text() == now:
            return
        for compiled in [*cache.glob("*.nbi"), *cache.glob("*.nbc")]:
            compiled.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        beside = stamp.with_suffix(f".{os.getpid()}")
        beside.write_text(now)
        beside.replace(stamp)
    except OSError:
        pass  # a folder that cannot be written holds no compiled kernels either


def announce() -> None:
    """From now on, long compilations are announced."""
    event.register("numba:compile", _Announcer())  # type: ignore[no-untyped-call, unused-ignore]
