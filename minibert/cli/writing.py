"""Files that a command writes: whole or not at all, and refused before the work rather than after it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from minibert.checkpoint.staging import Staging
from minibert.cli.arguments import CommandError

__all__ = ["check_target", "write_array"]


def check_target(path: Path, suffix: str) -> Path:
    """`path`, if a file can be written there.

    Raises:
        CommandError: another suffix, no such folder, a folder in its place, or no permission.
    """
    path = path.expanduser()
    if path.suffix != suffix:
        raise CommandError(f"{path} must end in {suffix}")
    if not path.parent.is_dir():
        raise CommandError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise CommandError(f"cannot write {path}: it is a folder")
    if not os.access(path.parent, os.W_OK):
        raise CommandError(f"cannot write {path}: no permission in {path.parent}")
    return path


def write_array(path: Path, array: np.ndarray) -> None:
    """A .npy file.

    Raises:
        CommandError: it cannot be written; what was there before is still there.
    """
    try:
        with Staging(path.parent) as stage:
            np.lib.format.write_array(stage.open(path.name), array, allow_pickle=False)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
