"""Texts from arguments, a file or stdin: one a line, UTF-8, in constant memory; every complaint names the line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any, NamedTuple

from minibert.cli.errors import CommandError
from minibert.cli.inputs import decode_whole, not_text, open_input, read_small_text, read_up_to

__all__ = ["Line", "Texts", "line_of_argument", "read_context", "split_pair"]

LONGEST_LINE = 1 << 20
"""Bytes. A model reads a few hundred words at once and windows over a few thousand; a novel has a million letters."""
HOPELESS = 64 << 20
"""Bytes without a line end, after which no more lines are expected: the input has none, such as /dev/zero."""
FIRST = 8
"""Texts that are answered first, however many have arrived; then twice as many, and so on up to the most."""
_BLOCK = 1 << 16
_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One input of a command.

    Attributes:
        text: the text; if it cannot be read, what of it can be shown.
        where: what messages call it, "stdin, line 3".
        number: from 1.
        problem: why it is no text; empty if it is one.
    """

    text: str
    where: str
    number: int
    problem: str = ""


class Texts:
    """The texts of a command, a few at a time: as many as have arrived, at most `most`, and fewer in the beginning.

    An empty line is an empty text, and a line that cannot be read has its place too: line n of the output belongs to
    line n of the input.

    Args:
        args: the command's arguments: `text`, `file`, and `resources` that are closed when the command ends.
        most: the most texts at a time.

    Attributes:
        single: whether there is one text only, given as an argument.
        size, position: bytes of the input and those read; `size` is None if it is not known.

    Raises:
        CommandError: arguments and a file at once, no text at all, or a file that cannot be opened.
    """

    def __init__(self, args: argparse.Namespace, most: int) -> None:
        if args.text and args.file is not None:
            raise CommandError("texts came both as arguments and with --file; give one of them")
        self._most, self._next = most, min(FIRST, most)
        self._arguments: list[str] = args.text
        self.single = len(self._arguments) == 1
        self.size: int | None = None
        self.position = 0
        self._file: Any = None
        self.name = "argument"
        if self._arguments:
            return
        self.name = "stdin" if args.file in (None, "-") else args.file
        if args.file is None and _at_a_terminal():
            raise CommandError("there is no text: give it as an argument, with --file FILE, or through a pipe")
        self._file = _stdin() if self.name == "stdin" else args.resources.enter_context(open_input(args.file))
        self.size = _size(self._file)

    def __iter__(self) -> Iterator[list[Line]]:
        """Raises CommandError for input that is empty or has no lines."""
        if self._arguments:
            yield from self._stretches(line_of_argument(text, n) for n, text in enumerate(self._arguments, 1))
            return
        cutter = _LineCutter(self.name)
        while block := self._read():
            if self.position == 0 and (what := not_text(block)) is not None:
                raise CommandError(f"{self.name} {what}")
            self.position += len(block)
            yield from self._stretches(cutter.lines_of(block))
        yield from self._stretches(cutter.last_line())
        if not cutter.number:
            raise CommandError(f"{self.name} is empty; expected texts, one a line")

    def _stretches(self, lines: Iterator[Line]) -> Iterator[list[Line]]:
        while stretch := list(islice(lines, self._next)):
            yield stretch
            self._next = min(2 * self._next, self._most)

    def _read(self) -> bytes:
        """What has arrived; waits only while there is nothing."""
        try:
            while (block := _read_some(self._file)) is None:  # a stdin that its owner made non-blocking
                _wait(self._file)
            return block
        except OSError as error:
            raise CommandError(f"cannot read {self.name}: {error.strerror or error}") from error


class _LineCutter:
    """Blocks of bytes to lines, with the rest of an unfinished line kept."""

    def __init__(self, name: str) -> None:
        self._name, self.number = name, 0
        self._rest = bytearray()
        self._dropped = 0  # bytes of a line that is too long

    def lines_of(self, block: bytes) -> Iterator[Line]:
        """The lines that this block ends."""
        *ended, rest = block.split(b"\n")
        for part in ended:
            self._add(part)
            yield self._line()
        self._add(rest)

    def last_line(self) -> Iterator[Line]:
        """The last line, if no line end came after it."""
        if self._rest and (self.number or self._rest != _BOM):
            yield self._line()

    def _add(self, part: bytes) -> None:
        if len(self._rest) + len(part) <= LONGEST_LINE and not self._dropped:
            self._rest += part
            return
        self._dropped += len(part)
        if self._dropped > HOPELESS:
            raise CommandError(
                f"{self._name}, line {self.number + 1} has no end within {HOPELESS >> 20} MB; expected texts, "
                "one a line"
            )

    def _line(self) -> Line:
        self.number += 1
        data, dropped = bytes(self._rest), self._dropped
        self._rest.clear()
        self._dropped = 0
        if self.number == 1:
            data = data.removeprefix(_BOM)
        where = f"{self._name}, line {self.number}"
        if dropped:
            start = data[:200].decode("utf-8", "replace") + "..."
            problem = f"the line has {len(data) + dropped:,} bytes; at most {LONGEST_LINE:,} are read as one text"
            return Line(start, where, self.number, problem)
        text, problem = _decoded(data.removesuffix(b"\r"))
        return Line(text, where, self.number, problem)


def _decoded(data: bytes) -> tuple[str, str]:
    """A line's text, and what is wrong with it."""
    if (at := data.find(b"\x00")) >= 0:
        return data.decode("utf-8", "replace"), f"byte {at + 1} is NUL, which no text has; is it UTF-16 or binary?"
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        return data.decode("utf-8", "replace"), (
            f"byte {error.start + 1} (0x{data[error.start]:02x}) is not UTF-8; convert the text first, "
            "for instance with iconv -f latin1 -t utf-8"
        )


def line_of_argument(text: str, number: int) -> Line:
    """An argument; bytes that are no text in the locale's encoding, ASCII perhaps, arrive as lone surrogates."""
    where = f"argument {number}"
    if text.isascii():
        return Line(text, where, number)
    try:
        text.encode("utf-8")
        return Line(text, where, number)
    except UnicodeEncodeError as error:
        problem = f"character {error.start + 1} is not UTF-8"
    try:
        return Line(os.fsencode(text).decode("utf-8"), where, number)
    except ValueError:
        return Line(text.encode("utf-8", "replace").decode(), where, number, problem)


def read_context(file: str) -> str:
    """A whole file as one text; "-" is stdin.

    Raises:
        CommandError: it cannot be read, is not UTF-8, or empty.
    """
    name = "stdin" if file == "-" else file
    text = decode_whole(read_up_to(_stdin(), name), name) if file == "-" else read_small_text(file)
    text = text.replace("\r\n", "\n").removesuffix("\n")
    if not text.strip():
        raise CommandError(f"{name} is empty")
    return text


def split_pair(text: str) -> tuple[str, str]:
    """The two texts of a line.

    Raises:
        ValueError: it has no TAB, or several.
    """
    parts = text.split("\t")
    if len(parts) != 2:
        found = "the line is blank" if not text.strip() else f"found {len(parts) - 1} TABs"
        raise ValueError(f"expected two texts with one TAB between, {found}")
    return parts[0], parts[1]


def _at_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _stdin() -> Any:
    if sys.stdin is None:
        raise CommandError("stdin is closed; give the texts as arguments or with --file FILE")
    return sys.stdin.buffer


def _read_some(file: Any) -> bytes | None:
    """One read: a raw file returns what is there, a buffered one needs to be asked for that."""
    read = getattr(file, "read1", None) or file.read
    block: bytes | None = read(_BLOCK)
    return block


def _wait(file: Any) -> None:
    import select  # not on the way to the first answer: few inputs are non-blocking

    select.select([file], [], [])


def _size(file: IO[bytes]) -> int | None:
    try:
        return os.fstat(file.fileno()).st_size or None
    except (OSError, ValueError, AttributeError):  # no real file, as inside a test
        return None
