"""The ways to write a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["text_and_pair"]


def text_and_pair(item: Any) -> tuple[Any, Any]:
    """(text, pair) of a text, a pair as a tuple, or {"text": ..., "text_pair": ...}; the pair may be None.

    Raises:
        ValueError: another form.
    """
    if isinstance(item, Mapping):
        if "text" not in item or item.keys() - {"text", "text_pair"}:
            raise ValueError(f"a pair as a dictionary has the keys text and text_pair, got {', '.join(map(str, item))}")
        return item["text"], item.get("text_pair")
    if isinstance(item, tuple):
        if len(item) != 2:
            raise ValueError(f"a pair as a tuple has two texts, got {len(item)}")
        return item
    if isinstance(item, list) and len(item) == 1 and isinstance(item[0], list) and len(item[0]) == 2:
        return item[0][0], item[0][1]  # [[text, pair]] was the way to write it once
    if isinstance(item, list):
        raise ValueError('a pair of texts is written as a tuple or as {"text": ..., "text_pair": ...}, not as a list')
    return item, None
