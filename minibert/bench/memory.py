"""How much memory a process took."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_mib() -> float:
    """The most memory that this process ever held at once, in MiB.

    On Linux from the kernel's own record of this program: getrusage's ru_maxrss begins at what the parent process held
    when it started this one.
    """
    kib = _status("VmHWM")
    if kib is not None:
        return kib / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)  # bytes there, KiB elsewhere


def held_mib() -> float:
    """The memory that this process holds now, in MiB; the peak where the system does not tell."""
    kib = _status("VmRSS")
    return peak_mib() if kib is None else kib / 1024


def _status(field: str) -> float | None:
    """A number of KiB in Linux's account of this process."""
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return float(line.split()[1])
    return None
