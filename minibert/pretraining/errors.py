"""What goes wrong with a corpus or with prepared data, in one sentence."""

from __future__ import annotations

import re

from minibert.install import MissingLibrary

__all__ = ["CorpusError", "CorpusWarning", "DataError", "DeviceError", "MissingLibrary", "one_line"]


class CorpusError(ValueError):
    """A text that cannot be read; the message begins with the file's name."""


class CorpusWarning(UserWarning):
    """A text that could not be read and was left out; the message begins with the file's name."""


class DataError(ValueError):
    """Prepared data that is missing, damaged, or not fit for what is asked of it."""


class DeviceError(ValueError):
    """A device or a precision that is not to be had."""


def one_line(error: object, limit: int = 200) -> str:
    """An error of another library, to be quoted inside a message of ours."""
    text = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
