"""Hidden folders for files in the making, which never stay behind.

    .NAME.0123abcd.part/          beside what it will become (.save.0123abcd.part inside a folder that is written over)
        lock                      locked by the process that made the folder, as long as it lives
        content/ ...              what is being written

An exception or a signal removes the folder (`minibert.cleanup`). What a SIGKILL leaves is removed by the next process
that makes such a folder at the same place: it takes the lock, which only works when the owner is dead, on this machine
or another one that has the file system mounted. Where files cannot be locked, a day without a change counts as dead.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minibert import cleanup
from minibert.checkpoint import disk, switch

__all__ = ["HiddenFolder", "is_in_the_making", "new_folder", "remove_dead", "scratch_folder"]

_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.part|minibert-[a-z]+-[0-9a-f]{8}")
_PARTS = {"lock", "content", *switch.PARTS}
_OLD_SECONDS = 24 * 3600.0


class HiddenFolder:
    """A folder `.STEM.xxxxxxxx.part` in `parent`, made at once together with the parents that are missing.

    Args:
        parent: where.
        stem: what it will become.
        scratch: named minibert-STEM-xxxxxxxx and closed to other users, for a shared folder such as /tmp.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, parent: Path, stem: str, *, scratch: bool = False) -> None:
        self.parent = parent
        self._made: list[Path] = []  # parents, the innermost first
        self._lock: int | None = None
        pattern = f"minibert-{stem}-{{}}" if scratch else f".{stem[:40]}.{{}}.part"
        while True:
            self.path = parent / pattern.format(os.urandom(4).hex())
            cleanup.register(self, self.remove)
            try:
                self._make_parents()
                remove_dead(parent)
                self.path.mkdir(mode=0o700 if scratch else 0o777)
                self._lock = disk.lock(self.path / "lock")
            except BlockingIOError:  # another process took this one for dead before it was locked
                continue
            except BaseException:
                self.remove()
                raise
            return

    def _make_parents(self) -> None:
        missing = [folder for folder in (self.parent, *self.parent.parents) if not folder.exists()]
        for folder in reversed(missing):
            self._made.insert(0, folder)
            try:
                folder.mkdir()
            except FileExistsError:  # another process was faster: fine if it is a folder
                self._made.pop(0)
                if not folder.is_dir():
                    raise

    def remove(self) -> None:
        """Remove the folder, and the parents that were made for it unless something is in them now."""
        try:
            if self.path.is_dir():
                switch.settle(self.path)  # what it cannot settle now, the next process will: nothing is removed then
                shutil.rmtree(self.path, ignore_errors=True)
        finally:
            if self._lock is not None:
                with suppress(OSError):  # closed already, by a signal's handler
                    os.close(self._lock)
                self._lock = None
            for folder in self._made:
                with suppress(OSError):
                    folder.rmdir()
            cleanup.done(self)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to be filled, which becomes `target` in one step when the block ends well, and vanishes otherwise.

    Every file in it is flushed to the disk first. `target` must not exist, or be empty.

    Raises:
        OSError: it cannot be written.
    """
    hidden = HiddenFolder(target.parent, target.name)
    try:
        content = hidden.path / "content"
        content.mkdir()
        yield content
        disk.sync(*content.rglob("*"), content)
        os.replace(content, target)
        disk.sync_folder(target.parent)
    finally:
        hidden.remove()


@contextmanager
def scratch_folder(stem: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder for temporary files, removed when the block ends; in the system's folder for them (TMPDIR) if None."""
    from tempfile import gettempdir  # few commands need it, and every start would wait for it

    hidden = HiddenFolder(parent or Path(gettempdir()), stem, scratch=True)
    try:
        content = hidden.path / "content"
        content.mkdir()
        yield content
    finally:
        hidden.remove()


def is_in_the_making(folder: Path) -> bool:
    """Whether a folder lies in a hidden one: nothing reads it yet."""
    return any(_NAME.fullmatch(above.name) for above in folder.absolute().parents)


def remove_dead(parent: Path) -> None:
    """Remove hidden folders in `parent` whose process is dead; a save that it had decided is completed first."""
    try:
        with os.scandir(parent) as entries:
            found = [Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name) and _is_ours(entry)]
    except OSError:  # no permission to look: then there is nothing to do
        return
    for path in found:
        with suppress(OSError):
            _remove_if_dead(path)


def _is_ours(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder that a process of this user made, with nothing else in it."""
    try:
        if hasattr(os, "geteuid") and entry.stat(follow_symlinks=False).st_uid != os.geteuid():
            return False
        return entry.is_dir(follow_symlinks=False) and set(os.listdir(entry.path)) <= _PARTS
    except OSError:
        return False


def _remove_if_dead(path: Path) -> None:
    try:
        lock = disk.lock(path / "lock")
    except BlockingIOError:
        return
    try:
        if lock is not None or _age(path) > _OLD_SECONDS:
            with disk.exclusive(path.parent):
                switch.settle(path)
            shutil.rmtree(path, ignore_errors=True)
    finally:
        if lock is not None:
            os.close(lock)


def _age(folder: Path) -> float:
    """Seconds since anything in the folder was written."""
    times = [path.lstat().st_mtime for path in (folder, *folder.rglob("*"))]
    return time.time() - max(times)
