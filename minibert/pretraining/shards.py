"""Token files: a corpus as numbers, in pieces that are mapped into memory and checked when opened.

A folder holds the tokenizer's files, for each shard

    shard-00000.tokens      the token ids of its documents, one after another; uint16, or uint32 for a large vocabulary
    shard-00000.segments    where each sentence begins, counted in tokens from the shard's start, and the end; uint32
    shard-00000.documents   where each document begins, counted likewise, and the end; uint32
    shard-00000.names       the documents' names, one a line

(little-endian, nothing else in them) and data.json, which gives every file's length and SHA-256 and one of itself. A
document never spans two shards. Documents, sentences and tokens are numbered through the whole folder.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoint import hidden_folder
from minibert.json_file import is_sealed, read_object, seal
from minibert.number_like import is_int
from minibert.paths import is_file_name
from minibert.pretraining.errors import DataError, one_line

__all__ = ["INDEX", "Shard", "ShardWriter", "let_go", "new_folder", "open_shards", "prepared_inside", "read_index"]

INDEX = "data.json"
FORMAT, VERSION = "minibert pretraining data", 1
_KINDS = ("tokens", "segments", "documents", "names")
SHARD_TOKENS = 1 << 23  # a shard is closed behind the document that fills it: 16 MB of uint16


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that gets its name when the block ends well, and is taken away when it does not.

    Raises:
        DataError: there is something at `target` already, or it cannot be written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} exists already: choose another folder, or take it away first")
    try:
        with hidden_folder.new_folder(target) as content:
            yield content
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or one_line(error)}") from error


class ShardWriter:
    """Writes documents into a folder; `finish` writes data.json.

    Args:
        folder: there, and empty but for the tokenizer's files.
        vocabulary_size: ids are below it; decides the width of a token.
        shard_tokens: the number of tokens that closes a shard.
    """

    def __init__(self, folder: Path, vocabulary_size: int, shard_tokens: int = SHARD_TOKENS) -> None:
        self.folder = folder
        self.vocabulary_size = vocabulary_size
        self.dtype = np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")
        self.shard_tokens = shard_tokens
        self.shards: list[dict[str, Any]] = []
        self.tokens = self.segments = self.documents = 0
        self._clear()

    def _clear(self) -> None:
        self._tokens = array("H" if self.dtype.itemsize == 2 else "I")
        self._segments, self._documents = array("I"), array("I")
        self._names: list[str] = []

    @property
    def open_documents(self) -> int:
        """Documents of the shard that is not closed yet."""
        return len(self._documents)

    def add(self, name: str, segments: Iterable[list[int]]) -> int:
        """One document, as the token ids of its sentences; those without tokens are dropped. Returns its tokens."""
        start = len(self._tokens)
        for ids in segments:
            if ids:
                self._segments.append(len(self._tokens))
                self._tokens.extend(ids)
        count = len(self._tokens) - start
        if count:
            self._documents.append(start)
            self._names.append(" ".join(name.split()))
            if len(self._tokens) >= self.shard_tokens:
                self._close()
        return count

    def _close(self) -> None:
        self.tokens += len(self._tokens)
        self.segments += len(self._segments)
        self.documents += len(self._documents)
        self._segments.append(len(self._tokens))
        self._documents.append(len(self._tokens))
        stem = f"shard-{len(self.shards):05d}"
        parts: dict[str, bytes | memoryview] = {
            "tokens": _little_endian(self._tokens),
            "segments": _little_endian(self._segments),
            "documents": _little_endian(self._documents),
            "names": "".join(name + "\n" for name in self._names).encode(),
        }
        self.shards.append({kind: _write(self.folder / f"{stem}.{kind}", data) for kind, data in parts.items()})
        self._clear()

    def finish(self, **about: Any) -> dict[str, Any]:
        """Writes what is left and data.json; `about` is kept in it. Returns what it says."""
        if self._documents:
            self._close()
        kept = sorted(path for path in self.folder.iterdir() if not path.name.startswith("shard-"))
        contents = {
            "format": FORMAT,
            "version": VERSION,
            "vocabulary_size": self.vocabulary_size,
            "dtype": self.dtype.name,
            "documents": self.documents,
            "segments": self.segments,
            "tokens": self.tokens,
            **about,
            "tokenizer": {path.name: _sum(path.read_bytes()) for path in kept},
            "shards": self.shards,
        }
        told = seal(contents)
        (self.folder / INDEX).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return told


def _little_endian(numbers: array[int]) -> memoryview:
    """The bytes of an array, which on most machines are its own: nothing is copied."""
    if sys.byteorder != "little":
        numbers.byteswap()
    return memoryview(numbers).cast("B")


def _sum(data: bytes | memoryview) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write(path: Path, data: bytes | memoryview) -> dict[str, Any]:
    path.write_bytes(data)
    return {"file": path.name, **_sum(data)}


# ---- reading


@dataclass(frozen=True)
class Shard:
    """An open shard. `first_token`, `first_document`: how many stand before it in the folder.

    tokens (n,), segments (sentences + 1,) and documents (documents + 1,) are mapped read-only.
    """

    first_token: int
    first_document: int
    tokens: np.ndarray
    segments: np.ndarray
    documents: np.ndarray
    names_file: Path

    def names(self) -> list[str]:
        """The documents' names."""
        return self.names_file.read_text(encoding="utf-8").split("\n")[:-1]

    def let_go(self) -> None:
        """Forget the pages read so far."""
        for part in (self.tokens, self.segments, self.documents):
            let_go(part)


def let_go(mapped: np.ndarray) -> None:
    """Tell the system that pages of a mapped array are not needed again soon: the process gets smaller at once.

    They stay in the system's cache as long as it has room, and are there again for the asking. Where there is no such
    call (Windows), nothing is done.
    """
    file = getattr(mapped, "_mmap", None)
    if file is not None and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)


def read_index(folder: Path) -> dict[str, Any]:
    """What data.json says.

    Raises:
        DataError: it is not there, or is something else.
    """
    path = folder / INDEX
    if not path.exists() and (inside := prepared_inside(folder)):
        raise DataError(f"{folder} holds prepared folders: name one of them, {' or '.join(map(str, inside))}")
    try:
        told = read_object(path)
    except FileNotFoundError:
        raise DataError(f"{folder} has no {INDEX}: make the folder with `minibert prepare`") from None
    except NotADirectoryError:
        raise DataError(f"{folder} is a file, and prepared data is a folder: `minibert prepare` makes it") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or one_line(error)}") from None
    except ValueError as error:
        raise DataError(f"{error}: {_REPAIR}") from None
    if told.get("format") != FORMAT or not told.get("shards"):
        raise DataError(f"{path} does not describe prepared data: make the folder again with `minibert prepare`")
    if told.get("version") != VERSION:
        raise DataError(
            f"{path} is of version {told.get('version')!r:.40}, and this minibert reads version {VERSION}:"
            " make the folder again with `minibert prepare`"
        )
    if is_sealed(told) is False or not _is_sound(told):
        raise DataError(f"{path} is damaged: {_REPAIR}")
    return told


def prepared_inside(folder: Path) -> list[Path]:
    """Prepared folders in this one, as `minibert prepare --held-out` leaves them."""
    return sorted(path.parent for path in folder.glob(f"*/{INDEX}"))


def _is_sound(told: dict[str, Any]) -> bool:
    """Whether data.json has all that is asked of it later."""
    counts = [told.get(name) for name in ("vocabulary_size", "documents", "segments", "tokens")]
    shards, tokenizer = told["shards"], told.get("tokenizer")
    if not isinstance(shards, list) or not isinstance(tokenizer, dict) or told.get("dtype") not in ("uint16", "uint32"):
        return False
    parts = [part.get(kind) if isinstance(part, dict) else None for part in shards for kind in _KINDS]
    files = [*parts, *({"file": name, **part} if isinstance(part, dict) else None for name, part in tokenizer.items())]
    positive = all(isinstance(count, int) and is_int(count) and count >= 1 for count in counts)
    return positive and all(map(_is_entry, files))


def _is_entry(part: Any) -> bool:
    """Whether data.json says of a file its name, in the folder itself, its length and its digest."""
    return (
        isinstance(part, dict)
        and is_file_name(part.get("file"))
        and is_int(part.get("bytes"))
        and isinstance(part.get("sha256"), str)
    )


def open_shards(folder: Path, told: dict[str, Any], *, verify: bool) -> list[Shard]:
    """Every shard of a folder, its files' lengths checked, with `verify` their digests too.

    Raises:
        DataError: a file that is missing, cut off or changed.
    """
    token = np.dtype(told["dtype"]).newbyteorder("<")
    shards: list[Shard] = []
    first_token = first_document = 0
    for entry in [*told["shards"]]:
        for kind in _KINDS:
            _check(folder / entry[kind]["file"], entry[kind], verify)
        tokens = _mapped(folder / entry["tokens"]["file"], token)
        segments = _mapped(folder / entry["segments"]["file"], np.dtype("<u4"))
        documents = _mapped(folder / entry["documents"]["file"], np.dtype("<u4"))
        if not _is_closed(segments, len(tokens)) or not _is_closed(documents, len(tokens)):
            raise DataError(f"{folder / INDEX} puts files together that are not of one shard: {_REPAIR}")
        names = folder / entry["names"]["file"]
        shards.append(Shard(first_token, first_document, tokens, segments, documents, names))
        first_token += len(tokens)
        first_document += len(documents) - 1
    if (first_token, first_document) != (told["tokens"], told["documents"]):
        raise DataError(f"{folder / INDEX} does not tell what the shards hold: {_REPAIR}")
    for name, entry in told["tokenizer"].items():
        _check(folder / name, entry, verify)
    return shards


def _is_closed(starts: np.ndarray, tokens: int) -> bool:
    """Whether places in a shard go from its beginning to its end."""
    return len(starts) > 1 and int(starts[0]) == 0 and int(starts[-1]) == tokens


def _mapped(path: Path, dtype: np.dtype[Any]) -> np.ndarray:
    size = path.stat().st_size
    if not size or size % dtype.itemsize:
        raise DataError(f"{path} has {size:,} bytes, which are no {dtype.name} numbers: {_REPAIR}")
    return np.memmap(path, dtype=dtype, mode="r")


def _check(path: Path, entry: dict[str, Any], verify: bool) -> None:
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is no file: {_REPAIR}")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise DataError(f"{path} has {size:,} bytes and should have {entry['bytes']:,}: {_REPAIR}")
        if verify:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                    raise DataError(f"{path} is not what it was when it was written (its SHA-256 differs): {_REPAIR}")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or one_line(error)}; {_REPAIR}") from None


_REPAIR = "copy it again, or make the folder again with `minibert prepare`"
