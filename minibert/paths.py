"""Paths as people write them, and text files as editors save them: one rule for the whole package.

A path may be a string or any `os.PathLike`, and `~` at its beginning is the home folder. A text file is UTF-8, with or
without a byte order mark (Notepad writes one), with any of the usual line ends.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["StrPath", "about", "as_path", "decode", "is_file_name", "read_regular", "read_text", "regular_size"]

StrPath = str | os.PathLike[str]
"""What a function that takes a path takes."""


def as_path(path: StrPath) -> Path:
    """`path` with `~` expanded.

    Raises:
        ValueError: not a path; or the home folder of an unknown user.
    """
    try:
        return Path(path).expanduser()
    except TypeError:
        raise ValueError(f"expected a path, got {type(path).__name__}") from None
    except RuntimeError as error:  # `~nobody/x`
        raise ValueError(f"{path}: {error}") from None


@contextmanager
def about(path: StrPath, error: type[ValueError] = ValueError) -> Iterator[None]:
    """What is wrong with values of a file is said with the file's name: a ValueError inside becomes an `error`.

    Its message is one line, without control characters, and not longer than people read.
    """
    try:
        yield
    except ValueError as cause:
        text = " ".join(str(cause).split())
        text = text if len(text) <= 500 else text[:497] + "..."
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        raise error(text if str(path) in text else f"{path}: {text}") from cause


def is_file_name(name: object) -> bool:
    """Whether `name` is the name of a file in a folder, and nothing that leads out of it.

    For names that a file gives, since it may come from anywhere.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\\0"):
        return False
    return len(name.encode(errors="replace")) <= 255  # the longest that file systems take


def read_text(path: StrPath) -> str:
    """The whole of a text file, without its byte order mark.

    Raises:
        ValueError: it is not UTF-8; the message names the file and the byte.
        OSError: it cannot be read.
    """
    return decode(as_path(path).read_bytes(), path)


def decode(data: bytes, path: StrPath) -> str:
    """The text of a file's bytes, without its byte order mark. Raises ValueError as `read_text`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}") from None


def regular_size(path: Path, expected: str = "a file") -> int:
    """The bytes of a regular file, which is not opened. Raises as `read_regular`."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
        raise ValueError(f"{path} is {kind}; expected {expected}")
    return found.st_size


def read_regular(path: StrPath, limit: int) -> bytes:
    """The bytes of a file of at most `limit` bytes.

    A pipe or a device in its place is refused unopened: reading it might never end.

    Raises:
        ValueError: it is no regular file, or larger.
        OSError: it cannot be read.
    """
    path = as_path(path)
    size = regular_size(path)
    if size > limit:
        raise ValueError(f"{path} has {size:,} bytes; no such file has more than {limit:,}")
    with path.open("rb") as file:
        return file.read(limit)
