"""Names that do not exist: which one may be meant, and what to say of an option that is none."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest", "unknown_option"]

CUTOFF = 0.6
"""Least resemblance (difflib's ratio) of a suggestion; a farther one would mislead."""


def nearest(name: str, known: Iterable[str], *, cutoff: float = CUTOFF) -> str | None:
    """The one of `known` that is spelt most like `name`, whatever the case and whether "-" or "_"; None if none is."""
    from difflib import get_close_matches  # after a mistake only: it takes longer to import than most commands to parse

    by_spelling = {_plain(one): one for one in known}
    close = get_close_matches(_plain(name), by_spelling, n=1, cutoff=cutoff)
    return by_spelling[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], *, quoted: bool = False, cutoff: float = CUTOFF) -> str:
    """ "; did you mean X?" with the nearest of `known`, for the end of a message; empty if none is near."""
    near = nearest(name, known, cutoff=cutoff)
    return "" if near is None else f"; did you mean {near!r}?" if quoted else f"; did you mean {near}?"


def unknown_option(function: str, name: str, known: Iterable[str]) -> str:
    """The message for the option `name`, which `function` does not have; it suggests the closest of `known`."""
    names = sorted(known)
    hint = did_you_mean(name, names, quoted=True) or f"; it takes {', '.join(names)}"
    return f"{function} has no option {name!r}{hint}"


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
