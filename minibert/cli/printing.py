"""Tables for people, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["clip", "print_facts", "print_json", "print_line", "print_table"]


def print_line(text: str = "") -> None:
    """A line of output."""
    sys.stdout.write(text + "\n")


def print_json(value: Any) -> None:
    """One object, one line."""
    print_line(json.dumps(value, ensure_ascii=False, allow_nan=False))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[int] = ()) -> None:
    """Columns under headers, those numbered in `right` flush right; floats with four decimals."""
    cells = [list(headers), *([_cell(value) for value in row] for row in rows)]
    widths = [max(_width(row[c]) for row in cells) for c in range(len(headers))]
    flush_right = set(right)
    for row in cells:
        parts = [
            " " * (widths[c] - _width(text)) + text if c in flush_right else text + " " * (widths[c] - _width(text))
            for c, text in enumerate(row)
        ]
        print_line(("  " + "  ".join(parts)).rstrip())


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Names and values, two columns without headers."""
    rows = [(name, _cell(value)) for name, value in facts]
    width = max(_width(name) for name, _ in rows)
    for name, value in rows:
        print_line(f"  {name}{' ' * (width - _width(name))}  {value}")


def clip(text: str, most: int = 100) -> str:
    """A text for one line of a table."""
    shown = _visible(text)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _visible(str(value))


def _visible(text: str) -> str:
    """Control characters spelled out: a text must not move the cursor or change colours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
