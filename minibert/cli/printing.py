"""Tables for people, JSON lines for programs. Nothing printed here can move a terminal's cursor or change its state."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from minibert.cli.errors import OutputError

__all__ = ["Table", "clip", "flush", "print_facts", "print_json", "print_line", "print_table", "print_text", "visible"]

# Not "printable" for Python, but harmless, and needed to write Persian, Hindi, French and emoji as they are: the
# non-joiner, the joiner, and spaces of other widths.
_HARMLESS = frozenset("\u200c\u200d\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))))
_JAMO_TAIL = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff]")  # vowels and finals that join the consonant before them


def print_line(text: str = "") -> None:
    """A line of output; control characters in it are escaped."""
    _write(visible(text) + "\n")


def print_json(value: Any) -> None:
    """One object, one line, UTF-8. JSON lets C1 controls and direction overrides through; here they are escaped too."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in _HARMLESS else json.dumps(c)[1:-1] for c in text)
    _write(text + "\n")


def print_text(text: str) -> None:
    """Text of our own, with its line ends, as it is."""
    _write(text)


def flush() -> None:
    """Hand over what was printed.

    Raises:
        OutputError: stdout cannot take it.
        BrokenPipeError: its reader is gone.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _output_error(error) from error


def _write(text: str) -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _output_error(error) from error


def _output_error(error: OSError) -> OutputError:
    return OutputError(f"cannot write to stdout: {error.strerror or error}")


class Table:
    """Columns under headers, floats with four decimals, printed a stretch of rows at a time.

    Columns are as wide as the rows so far need; a wider row later moves the columns after it, from there on.

    Args:
        headers: one for each column, printed before the first row.
        right: numbers of the columns that are flush right.
    """

    def __init__(self, headers: Sequence[str], *, right: Iterable[int] = ()) -> None:
        self._right = set(right)
        self._widths = [0] * len(headers)
        self._header: list[str] | None = list(headers)

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Print rows."""
        cells = [[_cell(value) for value in row] for row in rows]
        if self._header is not None:
            cells.insert(0, self._header)
            self._header = None
        self._widths = [max(width, *(_width(row[c]) for row in cells)) for c, width in enumerate(self._widths)]
        for row in cells:
            print_line(("  " + "  ".join(self._padded(c, text) for c, text in enumerate(row))).rstrip())

    def _padded(self, column: int, text: str) -> str:
        padding = " " * (self._widths[column] - _width(text))
        return padding + text if column in self._right else text + padding


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[int] = ()) -> None:
    """A whole table."""
    Table(headers, right=right).add(rows)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Names and values, two columns without headers."""
    rows = [(visible(name), _cell(value)) for name, value in facts]
    width = max(_width(name) for name, _ in rows)
    for name, value in rows:
        print_line(f"  {name}{' ' * (width - _width(name))}  {value}")


def clip(text: str, most: int = 100) -> str:
    """A text for one line of a table: visible, and at most `most` columns wide."""
    shown = visible(text[: 4 * most])
    if len(text) <= 4 * most and _width(shown) <= most:
        return shown
    columns, kept = 0, []
    for c in shown:
        columns += _width(c)
        if columns > most - 3:
            break
        kept.append(c)
    return "".join(kept) + "..."


def visible(text: str) -> str:
    """`text` with control characters, direction overrides and lone surrogates written as escapes, such as \\x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _HARMLESS else c.encode("unicode_escape").decode() for c in text)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return visible(str(value))


def _width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two, marks and joiners none."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(c: str) -> int:
    if unicodedata.category(c) in ("Mn", "Me", "Cf") or _JAMO_TAIL.match(c):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1
