"""Reading several files that belong together, while another process may write over all of them.

A save replaces them at one instant (`switch`). That instant may fall between two files that are read here: then one of
them is another file afterwards than before, and they are read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from minibert.checkpoint.errors import CheckpointError
from minibert.checkpoint.hidden_folder import remove_dead

__all__ = ["read_consistently"]

T = TypeVar("T")
_TRIES = 20


def read_consistently(folder: Path, names: Sequence[str], read: Callable[[], T]) -> T:
    """What `read()` returns, of files `names` in `folder` that were there together.

    `read` must have opened all of them when it returns. Errors are its own, unless the files changed meanwhile.

    Raises:
        CheckpointError: they are written over so often that they cannot be read.
    """
    if any(folder.glob(".save.*.part/decided")):  # where there are no symbolic links: half done by a process that died
        remove_dead(folder)
    for _ in range(_TRIES):
        before = _identities(folder, names)
        try:
            result = read()
        except (OSError, ValueError):
            if _identities(folder, names) == before:
                raise
        else:
            if _identities(folder, names) == before:
                return result
    raise CheckpointError(f"{folder} is written over again and again while it is read; try again later")


def _identities(folder: Path, names: Sequence[str]) -> list[tuple[int, ...] | None]:
    return [_identity(folder / name) for name in names]


def _identity(path: Path) -> tuple[int, ...] | None:
    """What another file of the same name has different; a second name for the same file has it alike."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
