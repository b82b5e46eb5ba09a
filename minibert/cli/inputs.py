"""Files that a command reads: opened, or refused with the reason and what to do about it."""

from __future__ import annotations

import os
import re
import stat
import sys
from codecs import getincrementaldecoder
from pathlib import Path
from typing import IO

from minibert.cli.errors import CommandError
from minibert.paths import as_path

__all__ = ["not_text", "open_input", "read_small_text"]

LARGEST = 16 << 20
"""Bytes of a file that is read as a whole. A novel has 1 MB; the limit is for what never ends, such as /dev/zero."""

_SNIFFED = 512  # bytes, below which a NUL is a stray one rather than the mark of a binary file

# How files begin that are taken for text by mistake, what they are, and what makes text of them.
_FORMATS = (
    (b"\x1f\x8b", "is compressed with gzip; decompress it first: gzip -dc FILE | minibert ..."),
    (b"BZh", "is compressed with bzip2; decompress it first: bzip2 -dc FILE | minibert ..."),
    (b"\xfd7zXZ\x00", "is compressed with xz; decompress it first: xz -dc FILE | minibert ..."),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; decompress it first: zstd -dc FILE | minibert ..."),
    (b"PK\x03\x04", "is a zip archive (also .docx, .xlsx, .npz and .pt files are); expected plain text"),
    (b"\x93NUMPY", "is a NumPy array; expected plain text"),
    (b"%PDF-", "is a PDF; convert it to text first, for instance with pdftotext"),
    (b"\xff\xfe\x00\x00", "is UTF-32; convert it first: iconv -f utf-32 -t utf-8"),
    (b"\xff\xfe", "is UTF-16; convert it first: iconv -f utf-16 -t utf-8"),
    (b"\xfe\xff", "is UTF-16; convert it first: iconv -f utf-16 -t utf-8"),
)


def open_input(path: str) -> IO[bytes]:
    """A file for reading, unbuffered, so that a pipe's bytes are seen as soon as they arrive.

    Raises:
        CommandError: it cannot be opened, is a folder, or is what stdout writes to.
    """
    try:
        file = as_path(path).open("rb", buffering=0)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name, no such ~user
        raise CommandError(_why_not_opened(path, error)) from error
    if _is_output(file):
        file.close()
        raise CommandError(f"{path} is read and written at once: stdout goes to the same file; choose another")
    return file


def read_small_text(path: str) -> str:
    """The whole of a text file that one can hold: UTF-8, with or without a byte order mark.

    Raises:
        CommandError: it cannot be read, is longer than `LARGEST`, or is not UTF-8.
    """
    with open_input(path) as file:
        return decode_whole(read_up_to(file, path), path)


def read_up_to(file: IO[bytes], name: str) -> bytes:
    """All bytes of a file of at most `LARGEST` bytes.

    Raises:
        CommandError: there are more, or they cannot be read.
    """
    blocks, size = [], 0
    try:
        while block := file.read(1 << 16):
            blocks.append(block)
            size += len(block)
            if size > LARGEST:
                raise CommandError(f"{name} has more than {LARGEST >> 20} MB, too much to be read as one text")
    except OSError as error:
        raise CommandError(f"cannot read {name}: {error.strerror or error}") from error
    return b"".join(blocks)


def decode_whole(data: bytes, name: str) -> str:
    """The text of a whole file.

    Raises:
        CommandError: it is not UTF-8, or not text at all.
    """
    if (what := not_text(data)) is not None:
        raise CommandError(f"{name} {what}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CommandError(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} in line {line}; convert it first, for instance with "
            "iconv -f latin1 -t utf-8"
        ) from None


def not_text(head: bytes) -> str | None:
    """What a file is, as the end of a sentence, if its first bytes show that it is no text in UTF-8; else None."""
    if _is_text(head):  # a text may well begin with "BZh" or "%PDF-"
        return None
    for magic, what in _FORMATS:
        if head.startswith(magic):
            return what
    if len(head) >= _SNIFFED and b"\x00" in head:
        lines = head.split(b"\n")
        if 2 * sum(not _is_text(line) for line in lines) > len(lines):
            return "is not text: it has NUL bytes, as binary files and UTF-16 have; expected UTF-8"
    return None


def _is_text(part: bytes) -> bool:
    """Whether `part` is UTF-8, but for a character that is cut off at its end, and has no NUL."""
    try:
        getincrementaldecoder("utf-8")().decode(part)
    except UnicodeDecodeError:
        return False
    return b"\x00" not in part


def _why_not_opened(path: str, error: OSError | ValueError) -> str:
    """The reason, and what the form of the name suggests."""
    if not isinstance(error, OSError):
        return f"cannot read {path!r}: {error}"
    if re.match(r"[a-z][a-z0-9+.-]+://", path):
        return f"{path} is a URL; expected a file: download it first, or pipe it in (curl -s URL | minibert ...)"
    if isinstance(error, IsADirectoryError) or Path(path).expanduser().is_dir():
        return f"{path} is a folder; expected a text file (for all files in it: cat {path}/*.txt | minibert ...)"
    slashes = "; folders are separated by / here, not by \\" if os.sep == "/" and "\\" in path else ""
    return f"{path}: {error.strerror or error}{slashes}"


def _is_output(file: IO[bytes]) -> bool:
    try:
        ours, theirs = os.fstat(file.fileno()), os.fstat(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # no real stdout, as inside a test
        return False
    return stat.S_ISREG(ours.st_mode) and os.path.samestat(ours, theirs)
