"""Files that a command writes: whole or not at all, and refused before the work rather than after it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from minibert.checkpoint.staging import Staging
from minibert.cli.errors import CommandError
from minibert.paths import StrPath, as_path

__all__ = ["ArrayFile", "check_target"]


def check_target(name: StrPath, suffix: str) -> Path:
    """The path `name`, if a file can be written there.

    Raises:
        CommandError: another suffix, no such folder, a folder in its place, or no permission.
    """
    path = as_path(name)
    try:
        if path.suffix != suffix:
            raise CommandError(f"{path} must end in {suffix}, such as vectors{suffix}")
        if path.parent.exists() and not path.parent.is_dir():
            raise CommandError(f"cannot write {path}: there is no folder {path.parent}, it is a file")
        if not path.parent.is_dir():
            raise CommandError(f"cannot write {path}: there is no folder {path.parent}")
        if path.is_dir():
            raise CommandError(f"cannot write {path}: it is a folder")
        if path.exists() and not path.is_file():
            raise CommandError(f"cannot write {path}: it is a device or a pipe; expected a file")
        if not os.access(path.parent, os.W_OK):
            raise CommandError(f"cannot write {path}: no permission in {path.parent}")
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
    return path


class ArrayFile:
    """A .npy file of one row a text, written in constant memory.

    Rows are kept in a temporary file without a name beside the target until all of them are known; then the array is
    written under its name at once. If the block fails, what was there before is still there.

        with ArrayFile(path) as file:
            file.add(vector)        # (H,) each, or (S, H) each
            file.write()

    Args:
        path: the target.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lengths: list[int] = []  # rows of each text, 0 for one without an answer
        self._row_shape: tuple[int, ...] | None = None
        self._dtype = np.dtype(np.float32)

    def __enter__(self) -> ArrayFile:
        try:
            self._rows: IO[bytes] = tempfile.TemporaryFile(dir=self._path.parent)
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._rows.close()
        except OSError:  # a full disk, which was reported when it was written to
            return

    def add(self, array: np.ndarray | None) -> None:
        """One text's vector (H,) or vectors (S, H); None for a text without an answer, which becomes NaN."""
        if array is None:
            self._lengths.append(0)
            return
        self._row_shape, self._dtype = array.shape[-1:], array.dtype
        self._pooled = array.ndim == 1
        self._lengths.append(1 if array.ndim == 1 else len(array))
        try:
            self._rows.write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise self._failed(error) from error

    def write(self) -> tuple[tuple[int, ...], np.dtype]:
        """Give the file its name; the array's shape, (texts, H) or (texts, longest, H), and dtype.

        Raises:
            CommandError: no text has an answer, or the file cannot be written.
        """
        if self._row_shape is None:
            raise CommandError(f"no text could be answered; {self._path} is not written")
        shape = (len(self._lengths), *(() if self._pooled else (max(self._lengths),)), *self._row_shape)
        try:
            with Staging(self._path.parent) as stage:
                target = stage.open(self._path.name)
                header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(target, header)
                for block in self._padded(shape[1:]):
                    target.write(block)
        except OSError as error:
            raise self._failed(error) from error
        return shape, self._dtype

    def _padded(self, shape: tuple[int, ...]) -> Iterator[bytes]:
        """The bytes of each text's part of the array: zeros after the vectors of shorter texts."""
        size = int(np.prod(shape)) * self._dtype.itemsize
        nothing = np.full(shape, np.nan, self._dtype).tobytes()
        of_a_row = size // (1 if self._pooled else shape[0])
        self._rows.seek(0)
        for length in self._lengths:
            yield self._rows.read(length * of_a_row).ljust(size, b"\x00") if length else nothing

    def _failed(self, error: OSError) -> CommandError:
        return CommandError(f"cannot write {self._path}: {error.strerror or error}")
