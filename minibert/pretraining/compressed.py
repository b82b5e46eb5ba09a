"""Files that may be compressed, recognised by their first bytes, or else by the ending of their names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from pathlib import Path
from typing import IO, Any, cast

from minibert.pretraining.errors import MissingLibrary

__all__ = ["SUFFIXES", "damage", "open_bytes", "stem"]

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")

_MAGIC = {b"\x1f\x8b\x08": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
_BZIP2_BLOCK = b"1AY&SY"  # follows "BZh" and a digit; three letters alone may begin a text

MOST_EXPANSION, UNCHECKED = 200, 1 << 24
"""How many times its size a file may expand to, after so many bytes. Texts stay under 20; a bomb reaches 1,000."""


def stem(path: Path) -> str:
    """The name without the ending of a compression: "a.txt.gz" -> "a.txt"."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def open_bytes(raw: IO[bytes], path: Path) -> IO[bytes]:
    """What is in the open file `raw`, decompressed. A stream: nothing is held whole.

    Raises:
        MissingLibrary: .zst without Python 3.14 or backports.zstd.
        OSError: when it is read, if it expands to more than any text does.
    """
    suffix = _compression(raw, path)
    inner: Any
    if suffix == ".gz":
        inner = gzip.GzipFile(fileobj=raw)
    elif suffix == ".bz2":
        inner = bz2.BZ2File(raw)
    elif suffix == ".xz":
        inner = lzma.LZMAFile(raw)  # noqa: SIM115 (lives as long as `raw`, which the caller closes)
    elif suffix == ".zst":
        inner = _zstd().ZstdFile(raw)
    else:
        return raw
    return cast(IO[bytes], io.BufferedReader(_Bounded(inner, raw), 1 << 16))


def _compression(raw: IO[bytes], path: Path) -> str:
    head = raw.read(10)
    raw.seek(0)
    for magic, suffix in _MAGIC.items():
        if head.startswith(magic) and (suffix != ".bz2" or head[4:] == _BZIP2_BLOCK):
            return suffix
    return path.suffix.lower()


class _Bounded(io.RawIOBase):
    """A decompressed stream that refuses to grow out of proportion."""

    def __init__(self, inner: Any, raw: IO[bytes]) -> None:
        self.inner, self.raw = inner, raw
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.inner.read(len(buffer))
        buffer[: len(data)] = data
        self.given += len(data)
        if self.given > max(UNCHECKED, MOST_EXPANSION * self.raw.tell()):
            raise OSError(f"it expands to more than {MOST_EXPANSION} times its size, as no text does")
        return len(data)


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
