"""What goes wrong with a checkpoint, in one sentence that says what was expected, what came and what to do."""

from __future__ import annotations

import re

__all__ = ["CheckpointError", "CheckpointWarning", "one_line"]


class CheckpointError(ValueError):
    """A checkpoint that cannot be found, read, matched with a model, or written."""


class CheckpointWarning(UserWarning):
    """A checkpoint that loads, but not all of the model came from it."""


def one_line(text: object, limit: int = 300) -> str:
    """`text` with its line breaks taken out and cut at `limit` characters, to be quoted inside a message.

    The libraries below write paragraphs with links; an error of ours is one line.
    """
    line = re.sub(r"\s+", " ", str(text)).strip()
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)  # a terminal would obey some
    return line if len(line) <= limit else line[: limit - 3] + "..."
