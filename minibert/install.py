"""How messages tell people to install what is missing.

The package is imported as `minibert`; on the Python package index that name belongs to another project, so the
distribution is named differently. Every message that says `pip install` takes the name from here.
"""

from __future__ import annotations

__all__ = ["DISTRIBUTION", "MissingLibrary", "install_extra"]

DISTRIBUTION = "minibert-numpy"


def install_extra(extra: str) -> str:
    """The command that installs the optional dependencies `extra`: "pip install 'minibert-numpy[serve]'"."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


class MissingLibrary(ValueError):
    """A library of an optional dependency group that is not installed."""

    def __init__(self, library: str, purpose: str, extra: str = "pretraining") -> None:
        super().__init__(f"{purpose} needs {library}, which is not installed: {install_extra(extra)}")
