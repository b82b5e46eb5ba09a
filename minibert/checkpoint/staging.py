"""Files that appear whole or not at all, and together.

Everything is written into a hidden folder, flushed to the disk, and gets its name at the end, all at one instant: a
folder that is new is renamed as a whole, in one that is there the files are replaced as in `switch`. A kill, a full
disk or an exception on the way leaves the folder as it was or as it was to be; a program that has the old file mapped
keeps the old one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from minibert.checkpoint import disk
from minibert.checkpoint.hidden_folder import HiddenFolder, is_in_the_making
from minibert.checkpoint.switch import replace_files

__all__ = ["Staging"]


class Staging:
    """Files that get their names together, when the block ends well.

        with Staging(folder) as stage:
            stage.open("config.json").write(...)

    The folder is made if it is not there, with its parents, and removed again if the block fails.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, IO[bytes]] = {}
        self._gone: list[Callable[[str], bool]] = []
        self._hidden: HiddenFolder

    def __enter__(self) -> Staging:
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{self.folder} is a file, not a folder")
        if self.folder.is_symlink() and not self.folder.exists():
            raise FileNotFoundError(errno.ENOENT, f"{self.folder} is a link to a folder that is not there")
        if self.folder.is_dir():
            self._hidden = HiddenFolder(self.folder, "save")
            self._new = self._hidden.path / "new"
        else:
            self._hidden = HiddenFolder(self.folder.parent, self.folder.name)
            self._new = self._hidden.path / "content"
        try:
            self._new.mkdir()
        except BaseException:
            self._hidden.remove()
            raise
        return self

    def open(self, name: str) -> IO[bytes]:
        """A new binary file that becomes `name`. It stays open until the block ends."""
        file = (self._new / name).open("xb")
        self._files[name] = file
        return file

    def remove(self, name: str) -> None:
        """Let the file `name`, if there is one, vanish when the others appear."""
        self.remove_matching(name.__eq__)

    def remove_matching(self, belongs: Callable[[str], bool]) -> None:
        """Let all files of such names vanish when the others appear, except those that are written.

        They are looked for at that instant, so that those which another process saved meanwhile are among them.
        """
        self._gone.append(belongs)

    def targets(self) -> list[Path]:
        """The paths that the files will have."""
        return [self.folder / name for name in self._files]

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
                for file in self._files.values():
                    self.finish(file)
                self._appear()
        finally:
            for file in self._files.values():
                with suppress(OSError):  # flushing into a full disk fails once more
                    file.close()
            self._hidden.remove()

    def _appear(self) -> None:
        if self._new.name == "content":
            try:
                disk.sync_folder(self._new)
                os.rename(self._new, self.folder)
                disk.sync_folder(self.folder.parent)
                return
            except OSError:
                if not self.folder.is_dir():
                    raise
            inside = HiddenFolder(self.folder, "save")  # another process has made the folder meanwhile
            try:
                os.rename(self._new, inside.path / "new")
                replace_files(inside.path, list(self._files), self._is_gone)
            finally:
                inside.remove()
        elif is_in_the_making(self.folder):
            for name in self._files:
                os.replace(self._new / name, self.folder / name)
            for name in filter(self._is_gone, os.listdir(self.folder)):
                (self.folder / name).unlink()
        else:
            replace_files(self._hidden.path, list(self._files), self._is_gone)
            disk.sync_folder(self.folder)

    def _is_gone(self, name: str) -> bool:
        return name not in self._files and any(belongs(name) for belongs in self._gone)
