"""Files of compiled code on disk: where they are kept, and which of them may be read.

A file of compiled code holds a pickle, and a pickle can run anything in the process that reads it. Therefore only
files are read that no other user could have written: the file and its folder belong to this user or to root, and the
group and others may not write them. Every other file is treated as absent.

    NUMBA_CACHE_DIR      if it is set and can be written (only in a subfolder of the user's own if others can write it)
    __pycache__          beside the kernels, if it can be written
    ~/.cache/minibert    the user's own, or under XDG_CACHE_HOME

A folder ahead of the first one that can be written is read, too: a container's image may bring compiled code that root
made. Each generation of the sources has a folder of its own, so that installed versions do not disturb one another.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PRIVATE, SHARED = 0o700, 0o755
"""Modes of new folders: for this user alone; or to be read, not written, by others."""
LARGEST = 1 << 28
"""Bytes of the largest file that is read; compiled functions have at most a few megabytes."""
DAY = 86400.0
KEPT, KEPT_DAYS = 5, 30
"""Which generations stay: those used within a day; the KEPT used last; and those used within KEPT_DAYS days, up to
2 KEPT in all."""


class Place(NamedTuple):
    """A folder for generations of compiled code, and the mode that it is made with."""

    folder: Path
    mode: int


def places(given: str, beside: Path) -> list[Place]:
    """Where compiled code may lie, in the order of looking.

    Args:
        given: NUMBA_CACHE_DIR, or "".
        beside: the folder of the sources.
    """
    return [*_given(given), Place(beside / "__pycache__", SHARED), *_of_the_user()]


def _given(given: str) -> list[Place]:
    if not given:
        return []
    folder = Path(given).absolute()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if not is_trusted(folder.stat()):  # such as /tmp: others may write there
            return [Place(folder / f"minibert-{_user()}", PRIVATE)]
    return [Place(folder, SHARED)]


def _of_the_user() -> list[Place]:
    try:
        given = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        exists = next(folder for folder in (given, *given.parents) if folder.exists())
        if given.is_absolute() and _owner_is_trusted(exists.stat()):  # under sudo, HOME may be another user's
            return [Place(given / "minibert" / "kernels", PRIVATE)]
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        pass
    return []


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _owner_is_trusted(status: os.stat_result) -> bool:
    return os.name == "nt" or status.st_uid in (_user(), 0)


def is_trusted(status: os.stat_result) -> bool:
    """Whether only this user and root can have written the file, or into the folder, of this status."""
    return os.name == "nt" or (_owner_is_trusted(status) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _can_write(folder: Path) -> bool:
    """Whether `folder` is this user's to write, or can be made."""
    try:
        if os.path.lexists(folder) and not is_trusted(folder.lstat()):
            return False
        while not os.path.lexists(folder):
            folder = folder.parent
        options = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
        return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK, **options)
    except OSError:
        return False


class Generation:
    """The compiled code of one state of the sources: read in all places up to the first that can be written.

    Args:
        name: of its folder in each place, ending in sixteen hexadecimal digits.
        places: in the order of looking.
    """

    def __init__(self, name: str, places: list[Place]) -> None:
        self.name = name
        writable = (n for n, place in enumerate(places) if _can_write(place.folder / name))
        first = next(writable, None)
        self._places = places if first is None else places[: first + 1]
        self._target = None if first is None else places[first]
        self._marked = False

    @property
    def folder(self) -> Path | None:
        """Where new files are written, or None where there is no such place."""
        return None if self._target is None else self._target.folder / self.name

    def read(self, name: str) -> Iterator[bytes]:
        """The content of each file of this name that may be read."""
        for place in self._places:
            with contextlib.suppress(OSError), _opened(place.folder / self.name) as folder:
                data = _read(folder, name)
                if data is not None:
                    self._mark(place.folder / self.name)
                    yield data

    def write(self, name: str, data: bytes) -> None:
        """Write a file, or replace it, in one step.

        Raises:
            OSError: it cannot be written: no space, no permission, ...
        """
        if self._target is None:
            raise PermissionError("no folder for compiled code can be written")
        folder = self._target.folder / self.name
        if not folder.is_dir():
            self._make(self._target)
        with _opened(folder) as opened:
            _write(opened, name, data)

    def stored(self) -> dict[Path, int]:
        """Bytes of files that may be read, in each place that has some."""
        found = {}
        for place in self._places:
            folder = place.folder / self.name
            with contextlib.suppress(OSError), _opened(folder), os.scandir(folder) as files:
                if size := sum(file.stat().st_size for file in files):
                    found[folder] = size
        return found

    def _make(self, place: Place) -> None:
        """The folder of this generation. Older ones are removed, now that there is one more."""
        for folder in (*reversed(place.folder.parents[:2]), place.folder, place.folder / self.name):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(place.mode, parents=True)
        _remove_old(place.folder, self.name)

    def _mark(self, folder: Path) -> None:
        """Update the folder's time, once a day at most: it is still in use."""
        if not self._marked:
            self._marked = True
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > DAY / 2:
                    os.utime(folder)


# An open folder is a file descriptor: the folder that is checked is then the one that is read, whatever is renamed
# meanwhile. Windows has neither descriptors of folders nor owners of this kind; there it is the path.
_Opened = int | Path


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[_Opened]:
    """`folder`, if it may be trusted.

    Raises:
        OSError: there is no such folder, or others may write it.
    """
    if os.name == "nt":
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not is_trusted(os.fstat(descriptor)):
            raise PermissionError(f"others may write {folder}")
        yield descriptor
    finally:
        os.close(descriptor)


def _open(folder: _Opened, name: str, flags: int) -> int:
    if isinstance(folder, Path):
        return os.open(folder / name, flags | getattr(os, "O_BINARY", 0), 0o644)
    return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o644, dir_fd=folder)


def _read(folder: _Opened, name: str) -> bytes | None:
    """The content of a file; None if there is none that may be trusted."""
    try:
        descriptor = _open(folder, name, os.O_RDONLY)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not is_trusted(status) or status.st_size > LARGEST:
            return None
        return file.read()


def _write(folder: _Opened, name: str, data: bytes) -> None:
    beside = f"{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    descriptor = _open(folder, beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        if isinstance(folder, Path):
            os.replace(folder / beside, folder / name)
        else:
            os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            if isinstance(folder, Path):
                os.unlink(folder / beside)
            else:
                os.unlink(beside, dir_fd=folder)
        raise


def _remove_old(parent: Path, newest: str) -> None:
    """Remove generations of the same sources that have not been used lately."""
    generation = re.compile(re.escape(newest[:-16]) + "[0-9a-f]{16}")
    now, used = time.time(), []
    with contextlib.suppress(OSError):
        for folder in os.scandir(parent):
            if folder.name != newest and generation.fullmatch(folder.name):
                with contextlib.suppress(OSError):
                    status = folder.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode) and is_trusted(status):
                        used.append((now - status.st_mtime, folder.path))
    for rank, (age, path) in enumerate(sorted(used)):
        if age > DAY and (rank >= 2 * KEPT or (rank >= KEPT and age > KEPT_DAYS * DAY)):
            shutil.rmtree(path, ignore_errors=True)  # a process that uses it compiles what it does not find
