"""Paths as people write them, and text files as editors save them: one rule for the whole package.

A path may be a string or any `os.PathLike`, and `~` at its beginning is the home folder. A text file is UTF-8, with or
without a byte order mark (Notepad writes one), with any of the usual line ends.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["StrPath", "as_path", "read_text"]

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


def read_text(path: StrPath) -> str:
    """The whole of a text file, without its byte order mark.

    Raises:
        ValueError: it is not UTF-8; the message names the file and the byte.
        OSError: it cannot be read.
    """
    data = as_path(path).read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}") from None
