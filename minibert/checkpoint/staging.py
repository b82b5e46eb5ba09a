"""Files that appear whole or not at all.

Everything is written to hidden files beside the targets, flushed to the disk, and renamed at the end, all in one go.
A kill, a full disk or an exception on the way leaves the folder as it was; a program that has the old file mapped
keeps the old one.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

__all__ = ["Staging"]


class Staging:
    """Files that get their names together, when the block ends well.

        with Staging(folder) as stage:
            stage.open("config.json").write(...)

    The folder is made if it is not there, and taken away again if the block fails.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: list[tuple[IO[bytes], Path, Path]] = []  # file, its hidden path, its target
        self._made: list[Path] = []

    def __enter__(self) -> Staging:
        missing = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        for folder in reversed(missing):
            try:
                folder.mkdir()
            except FileExistsError:  # somebody else was faster: fine if it is a folder
                if not folder.is_dir():
                    raise
                continue
            self._made.insert(0, folder)
        if not self.folder.is_dir():
            raise NotADirectoryError(f"{self.folder} is a file, not a folder")
        return self

    def open(self, name: str) -> IO[bytes]:
        """A new binary file that becomes `name`. It stays open until the block ends."""
        hidden = self.folder / f".{name}.{secrets.token_hex(4)}.part"
        file = hidden.open("xb")
        self._open.append((file, hidden, self.folder / name))
        return file

    def targets(self) -> list[Path]:
        """The paths that the files will have."""
        return [target for _, _, target in self._open]

    def finish(self, file: IO[bytes]) -> None:
        """Bring what was written to the disk and close the file; done at the end, sooner to keep few files open."""
        if not file.closed:
            file.flush()
            os.fsync(file.fileno())
            file.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for file, _, _ in self._open:
                    self.finish(file)
                for _, hidden, target in self._open:
                    os.replace(hidden, target)
                _sync_folder(self.folder)
                self._open, self._made = [], []
        finally:  # after success there is nothing left to take away
            self._take_away()

    def _take_away(self) -> None:
        for file, hidden, _ in self._open:
            with suppress(OSError):  # flushing into a full disk fails once more
                file.close()
            hidden.unlink(missing_ok=True)
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:  # somebody has put something there meanwhile
                break


def _sync_folder(folder: Path) -> None:
    """Make the renames last through a power cut, where the system lets a folder be opened (not on Windows)."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            os.fsync(number)
    finally:
        os.close(number)
