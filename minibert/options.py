"""Options by name: what to say of one that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["unknown_option"]


def unknown_option(function: str, name: str, known: Iterable[str]) -> str:
    """The message for the option `name`, which `function` does not have; it suggests the closest of `known`."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(names)}"
    return f"{function} has no option {name!r}; {hint}"
