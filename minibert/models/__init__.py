"""Models that come with the package, so that there is something to try without a download.

A name in `MODELS` can be given wherever the name of a checkpoint can. A folder of that name on this machine comes
first, as it does for names on the hub.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["MINI", "MODELS", "bundled"]

MINI = "minibert-mini-cased"
"""A small cased English BERT; minibert/models/minibert-mini-cased/README.md is its card."""

MODELS = (MINI,)


def bundled(name: str) -> Path | None:
    """The folder of a model that comes with the package; None if `name` is none of `MODELS`."""
    return Path(__file__).parent / name if name in MODELS else None
