"""Texts from arguments, a file or stdin: one a line, UTF-8, and every complaint names the line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from minibert.cli.arguments import CommandError

__all__ = ["Line", "read_file", "read_lines", "split_pair", "texts_of"]


class Line(NamedTuple):
    """A text and where it came from, for messages."""

    text: str
    where: str


def read_lines(given: argparse.Namespace) -> list[Line]:
    """The texts of a command. Empty lines are empty texts, so that line n of the output belongs to line n of the input.

    Raises:
        CommandError: no text at all, arguments and a file at once, or what is not UTF-8.
        OSError: the file cannot be read.
    """
    if given.text and given.file is not None:
        raise CommandError("texts came both as arguments and with --file; give one of them")
    if given.text:
        return [Line(_clean(text, f"argument {n}"), f"argument {n}") for n, text in enumerate(given.text, 1)]
    if given.file is None and sys.stdin is not None and sys.stdin.isatty():
        raise CommandError("there is no text: give it as an argument, with --file FILE, or through a pipe")
    name = "stdin" if given.file in (None, "-") else given.file
    lines = _split(read_bytes(given.file), name)
    if not lines:
        raise CommandError(f"{name} is empty; expected texts, one a line")
    return lines


def read_bytes(file: str | None) -> bytes:
    """All of a file; of stdin for None and "-"."""
    if file in (None, "-"):
        return b"" if sys.stdin is None else sys.stdin.buffer.read()
    return Path(str(file)).read_bytes()


def read_file(file: str) -> str:
    """A whole file as one text.

    Raises:
        CommandError: it is not UTF-8, or empty.
        OSError: it cannot be read.
    """
    text = "\n".join(line.text for line in _split(read_bytes(file), file))
    if not text.strip():
        raise CommandError(f"{file} is empty")
    return text


def _split(data: bytes, name: str) -> list[Line]:
    parts = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not parts[-1]:
        parts.pop()  # the end of the last line, not a line of its own
    return [Line(_decode(part, f"{name}, line {n}"), f"{name}, line {n}") for n, part in enumerate(parts, 1)]


def _decode(part: bytes, where: str) -> str:
    try:
        return part.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(
            f"{where}: byte {error.start + 1} (0x{part[error.start]:02x}) is not UTF-8; convert the text first, "
            "for instance with iconv -f latin1 -t utf-8"
        ) from error


def _clean(text: str, where: str) -> str:
    """An argument; the shell's bytes that were not UTF-8 arrive as lone surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CommandError(f"{where}: character {error.start + 1} is not UTF-8") from error
    return text


def split_pair(line: Line) -> tuple[str, str]:
    """The two texts of a line.

    Raises:
        CommandError: it has no TAB, or several.
    """
    parts = line.text.split("\t")
    if len(parts) != 2:
        raise CommandError(f"{line.where}: expected two texts with one TAB between, found {len(parts) - 1} TABs")
    return parts[0], parts[1]


def texts_of(lines: list[Line]) -> list[str]:
    """The texts alone."""
    return [line.text for line in lines]
