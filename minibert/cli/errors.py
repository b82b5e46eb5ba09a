"""Errors of the command line. Each becomes one line on stderr and exit status 2."""

from __future__ import annotations

__all__ = ["CommandError", "OutputError"]


class CommandError(ValueError):
    """A fault in what was typed or in the texts that came in."""


class OutputError(CommandError):
    """The output cannot be written: the disk is full, or stdout is open for reading only."""
