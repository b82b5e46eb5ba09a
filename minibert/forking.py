"""What a fork has to wait for, so that the child finds nothing half done by a thread that it does not have.

A forked child has one thread, the one that forked. Whatever another thread was in the middle of stays as it was: a
module half imported, whose lock is never released, so that the child's own import waits without end; Numba's lock
on compiling. Both last long at the first use of the kernels, just when a server forks its workers. So the fork waits
until they are done; not for ever, since the thread that imports may itself wait for the one that forks.

Other state of minibert needs no such care: it is never locked (`guard.py`, the pool of threads).
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

__all__ = ["wait_at_forks"]

PATIENCE = 60.0
"""Seconds that a fork is put off at most."""
PACKAGES = ("minibert", "numba", "llvmlite")


class _Waiting:
    def __init__(self) -> None:
        self.held: Any = None

    def before(self) -> None:
        """In the parent, just before the fork."""
        end = time.monotonic() + PATIENCE
        while _is_importing() and time.monotonic() < end:
            time.sleep(0.001)
        compiling = sys.modules.get("numba.core.compiler_lock")
        lock = getattr(getattr(compiling, "global_compiler_lock", None), "_lock", None)
        if lock is not None and lock.acquire(timeout=max(0.0, end - time.monotonic())):
            self.held = lock

    def after(self) -> None:
        """In the parent and in the child, just after it."""
        lock, self.held = self.held, None
        if lock is not None:
            lock.release()


def wait_at_forks() -> None:
    """From now on, forks wait as described above."""
    if hasattr(os, "register_at_fork"):
        waiting = _Waiting()
        os.register_at_fork(before=waiting.before, after_in_parent=waiting.after, after_in_child=waiting.after)


def _is_importing() -> bool:
    """Whether some thread is in the middle of importing one of PACKAGES."""
    return any(
        name.partition(".")[0] in PACKAGES and getattr(getattr(module, "__spec__", None), "_initializing", False)
        for name, module in list(sys.modules.items())
    )
