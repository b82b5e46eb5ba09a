"""Several files of a folder replaced by new ones, and others removed, all at one instant.

A rename replaces one file. So the names of all files are led through one symbolic link, which is then replaced:

    FOLDER/.save.0123abcd.part/old/NAME           1. the files that are there, once more (hard links)
    FOLDER/.save.0123abcd.part/new/NAME              what they will become
    FOLDER/.save.0123abcd.part/now -> old
    FOLDER/NAME -> .save.0123abcd.part/now/NAME   2. each name, one by one: its content stays the same
    FOLDER/.save.0123abcd.part/now -> new         3. the instant
    FOLDER/NAME                                   4. each name, one by one, is the new file itself again

A program that opens NAME, with whatever library, reads the old files before the third step and the new ones after it.
A process that dies on the way leaves a folder that reads as the old or the new one, and `settle` completes or reverts
the replacement. The folder itself and other files in it are not touched.

Where there are no symbolic links (Windows, FAT) a list of what is to be done is put down first, and `settle` goes on
from there: `minibert` then reads the new files even after a kill in the middle, other programs may see both.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from minibert.checkpoint.disk import exclusive, sync

__all__ = ["PARTS", "replace_files", "settle"]

PARTS = ("new", "old", "now", "next", "link", "decided", "decided.part")
_UNSUPPORTED = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_UP = os.path.join("..", "..", "")


def replace_files(hidden: Path, names: Sequence[str], is_gone: Callable[[str], bool]) -> None:
    """Give the files hidden/new/NAME their names in the folder that `hidden` lies in, and remove those that are gone.

    The new files must be on the disk already. Which files are gone is asked when no other process replaces any.

    Raises:
        OSError: it cannot be done; `settle` puts back what was there.
    """
    folder = hidden.parent
    with exclusive(folder):
        gone = [name for name in os.listdir(folder) if is_gone(name)]
        for name in (*names, *gone):
            if (folder / name).is_dir() and not (folder / name).is_symlink():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(folder / name))
        if len(names) == 1 and not gone:
            os.replace(hidden / "new" / names[0], folder / names[0])
            return
        try:
            if _link(hidden, "old", "now"):
                _lead_through(hidden, (*names, *gone))
            else:
                _decide_by_list(hidden, gone)
        finally:
            settle(hidden)


def _lead_through(hidden: Path, names: Sequence[str]) -> None:
    """Steps 1 to 3."""
    folder = hidden.parent
    (hidden / "old").mkdir()
    for name in names:
        if os.path.lexists(folder / name):
            _keep(folder / name, hidden / "old" / name)
    sync(hidden / "new", hidden / "old", hidden)
    for name in names:
        _link(hidden, os.path.join(hidden.name, "now", name), "link")
        os.replace(hidden / "link", folder / name)
    sync(folder)
    _link(hidden, "new", "next")
    os.replace(hidden / "next", hidden / "now")
    sync(hidden)


def settle(hidden: Path) -> None:
    """Bring a replacement to an end that was begun by this or another process, forward or back; or find none."""
    if (hidden / "decided").is_file():
        _follow_list(hidden)
        return
    try:
        side = hidden / os.readlink(hidden / "now")
    except OSError:  # not begun
        return
    folder = hidden.parent
    through = os.path.join(hidden.name, "now", "")
    for name in os.listdir(folder):
        path = folder / name
        if not (path.is_symlink() and os.readlink(path).startswith(through)):
            continue
        if os.path.lexists(side / name):
            _put(side / name, path, hidden / "link")
        else:
            path.unlink()
    sync(folder)


def _keep(path: Path, copy: Path) -> None:
    """A second name for a file; a copy where the file system has no second names; a symbolic link as one."""
    if path.is_symlink():
        target = os.readlink(path)
        os.symlink(target if os.path.isabs(target) else _UP + target, copy)
        return
    try:
        os.link(path, copy)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        shutil.copy2(path, copy)


def _put(path: Path, place: Path, link: Path) -> None:
    """Give the file `path` the name `place`; a kept symbolic link then means the same file as before."""
    if path.is_symlink():
        link.unlink(missing_ok=True)
        os.symlink(os.readlink(path).removeprefix(_UP), link)
        path = link
    os.replace(path, place)


def _link(hidden: Path, target: str, name: str) -> bool:
    """Make the symbolic link hidden/name; False where there are none."""
    try:
        os.symlink(target, hidden / name)
    except (OSError, NotImplementedError) as error:
        if os.name == "nt" or not isinstance(error, OSError) or error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def _decide_by_list(hidden: Path, gone: Sequence[str]) -> None:
    with (hidden / "decided.part").open("w", encoding="utf-8") as file:
        json.dump(list(gone), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(hidden / "decided.part", hidden / "decided")
    sync(hidden)


def _follow_list(hidden: Path) -> None:
    folder = hidden.parent
    for name in sorted(os.listdir(hidden / "new")):
        os.replace(hidden / "new" / name, folder / name)
    for name in json.loads((hidden / "decided").read_text(encoding="utf-8")):
        (folder / name).unlink(missing_ok=True)
    sync(folder)
    (hidden / "decided").unlink()
