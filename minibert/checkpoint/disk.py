"""What the standard library leaves open about files: flushing to the disk, and locks that end with their process."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows
    CAN_LOCK = False
else:
    CAN_LOCK = True

__all__ = ["exclusive", "lock", "sync", "sync_folder"]


def sync(*paths: Path) -> None:
    """Bring files and folders to the disk. Raises OSError."""
    for path in paths:
        if path.is_dir():
            sync_folder(path)
            continue
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def sync_folder(folder: Path) -> None:
    """Make renames last through a power cut, where the system lets a folder be opened (not on Windows)."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            os.fsync(number)
    finally:
        os.close(number)


def lock(path: Path) -> int | None:
    """Lock the file `path`, which is made if need be, until the descriptor returned is closed or the process ends.

    None where files cannot be locked: on Windows, and on some network file systems.

    Raises:
        BlockingIOError: another process holds the lock, or has just removed the file or its folder.
        OSError: the file cannot be made.
    """
    if not CAN_LOCK:
        return None
    removed = BlockingIOError(errno.EAGAIN, "removed by another process", str(path))
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        raise removed from None
    try:
        flock(number, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        os.close(number)
        raise
    except OSError:
        os.close(number)
        return None
    try:
        same = os.path.samestat(os.fstat(number), os.stat(path))
    except FileNotFoundError:
        same = False
    if not same:
        os.close(number)
        raise removed
    return number


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One process at a time is in this block for a folder, where the file system can lock a folder."""
    if not CAN_LOCK:
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            flock(number, LOCK_EX)
        yield
    finally:
        os.close(number)
