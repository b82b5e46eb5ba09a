"""Files that may be compressed, by the ending of their names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from pathlib import Path
from typing import IO, Any, cast

from minibert.pretraining.errors import MissingLibrary

__all__ = ["SUFFIXES", "damage", "open_bytes", "stem"]

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")


def stem(path: Path) -> str:
    """The name without the ending of a compression: "a.txt.gz" -> "a.txt"."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def open_bytes(raw: IO[bytes], path: Path) -> IO[bytes]:
    """What is in the open file `raw`, decompressed as the ending of `path` says. A stream: nothing is held whole.

    Raises:
        MissingLibrary: .zst without Python 3.14 or backports.zstd.
    """
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if suffix == ".bz2":
        return cast(IO[bytes], bz2.BZ2File(raw))
    if suffix == ".xz":
        return cast(IO[bytes], lzma.LZMAFile(raw))
    if suffix == ".zst":
        return cast(IO[bytes], _zstd().ZstdFile(raw))
    return raw


def damage() -> tuple[type[Exception], ...]:
    """The errors by which a damaged or unreadable file makes itself known."""
    known: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, lzma.LZMAError)
    loaded = sys.modules.get("compression.zstd") or sys.modules.get("backports.zstd")
    return known if loaded is None else (*known, loaded.ZstdError)


def _zstd() -> Any:
    """Python's own module from 3.14 on, the same code as a package before."""
    import importlib

    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise MissingLibrary("backports.zstd", "reading .zst")
