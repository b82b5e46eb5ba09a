"""Texts in: files of several formats to documents, one after another.

    text        a file is a document; blank lines stand between its paragraphs
    google      a sentence a line, a blank line between documents
    wikipedia   an XML dump: a page is a document, without lists, tables and headers (wikipedia.py)

Any of them plain or compressed (.gz, .bz2, .xz, .zst). A folder stands for all files of these kinds inside it, in the
order of their names. Files are read one at a time, so that memory depends on the largest document, not on the corpus.

What cannot be read (not UTF-8, empty, cut off, no text at all) is reported with the file's name: `on_error="skip"`
warns and goes on, `on_error="refuse"` raises.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Literal

from minibert.pretraining.compressed import damage, open_bytes, stem
from minibert.pretraining.errors import CorpusError, CorpusWarning, one_line
from minibert.pretraining.sentences import split_sentences

__all__ = ["FORMATS", "Corpus", "Document", "named"]

FORMATS = ("auto", "text", "google", "wikipedia")
Format = Literal["auto", "text", "google", "wikipedia"]
OnError = Literal["skip", "refuse"]

_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
_LARGEST_LINE = 1 << 26  # bytes; a longer "sentence" is no text


@dataclass(frozen=True)
class Document:
    """A document: its name (the file's place in the folder, a page's title) and its paragraphs."""

    name: str
    paragraphs: list[str]
    in_sentences: bool = False  # paragraphs are sentences already

    def sentences(self) -> Iterator[str]:
        """The document's sentences in order."""
        for paragraph in self.paragraphs:
            yield from (paragraph,) if self.in_sentences else split_sentences(paragraph)


@dataclass
class Corpus:
    """The documents of some files and folders.

    Args:
        paths: files, or folders that are searched through.
        format: of all files; "auto" takes .xml for a Wikipedia dump and everything else for text.
        on_error: "skip" warns of what cannot be read and goes on, "refuse" raises CorpusError.
        only: names (or patterns with * and ?) of the only documents wanted; none means all.
        leave_out: names or patterns of documents to leave out.

    Attributes:
        skipped: what was left out because it could not be read, one sentence each.
        position: bytes of `size` that have been read, for a progress bar.

    Raises:
        CorpusError: a path that does not exist, or no file at all.
    """

    paths: Sequence[str | Path]
    format: Format = "auto"
    on_error: OnError = "skip"
    only: Sequence[str] = ()
    leave_out: Sequence[str] = ()
    skipped: list[str] = field(default_factory=list, init=False)
    position: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if isinstance(self.paths, str | Path):
            self.paths = [self.paths]
        if self.format not in FORMATS:
            raise CorpusError(f"the format {self.format!r} is not known; there are {', '.join(FORMATS)}")
        if self.on_error not in ("skip", "refuse"):
            raise CorpusError(f"on_error is 'skip' or 'refuse', not {self.on_error!r}")
        self.files = list(_files(self.paths))
        self.size = sum(path.stat().st_size for _, path in self.files)

    def __iter__(self) -> Iterator[Document]:
        """Every document that is wanted and can be read. Each time from the start."""
        self.skipped, self.position = [], 0
        done = 0
        for name, path in self.files:
            read = _READERS[_format_of(path, self.format)]
            try:
                with path.open("rb") as raw:
                    for document in read(open_bytes(raw, path), name, self.complain):
                        self.position = done + raw.tell()
                        if self.wants(document.name):
                            yield document
            except damage() as error:
                self.complain(f"{name} cannot be read to its end: {one_line(error)}")
            done += path.stat().st_size
            self.position = done

    def wants(self, name: str) -> bool:
        """Whether the document of this name is asked for, and not left out."""
        return (not self.only or named(name, self.only)) and not named(name, self.leave_out)

    def paragraphs(self) -> Paragraphs:
        """The paragraphs of all documents, to be gone through as often as one likes."""
        return Paragraphs(self)

    def reason(self) -> str:
        """Why there may be too little: what was left out first, as the end of a sentence; "" if nothing was."""
        more = f", and {len(self.skipped) - 1} more like that" if len(self.skipped) > 1 else ""
        return f": {self.skipped[0]}{more}" if self.skipped else ""

    def complain(self, message: str) -> None:
        """Report a text that cannot be used, as `on_error` says."""
        if self.on_error == "refuse":
            raise CorpusError(f"{message} (on_error='skip' leaves such texts out)")
        self.skipped.append(message)
        warnings.warn(CorpusWarning(f"{message}; left out"), stacklevel=3)


@dataclass(frozen=True)
class Paragraphs:
    """What `Corpus.paragraphs` gives."""

    corpus: Corpus

    def __iter__(self) -> Iterator[str]:
        for document in self.corpus:
            yield from document.paragraphs


def named(name: str, of: Iterable[str]) -> bool:
    """Whether a pattern means this document: its whole name, or the last part of it."""
    last = name.rsplit("/", 1)[-1]
    return any(pattern in (name, last) or fnmatchcase(name, pattern) or fnmatchcase(last, pattern) for pattern in of)


def _files(paths: Iterable[str | Path]) -> Iterator[tuple[str, Path]]:
    """(name, path) of every file: the name is its place in the folder that was given."""
    for given in paths:
        path = Path(given).expanduser()
        if path.is_file():
            yield path.name, path
        elif path.is_dir():
            found = sorted(entry for entry in path.rglob("*") if entry.is_file() and _is_text(path, entry))
            if not found:
                raise CorpusError(f"{path} holds no text: no file ends in {' or '.join(_KINDS)}, compressed or not")
            yield from ((entry.relative_to(path).as_posix(), entry) for entry in found)
        else:
            raise CorpusError(f"{path}: there is no such file or folder")


_KINDS = (".txt", ".xml")


def _is_text(folder: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and Path(stem(path)).suffix.lower() in _KINDS


def _format_of(path: Path, format: Format) -> str:
    if format != "auto":
        return format
    return "wikipedia" if Path(stem(path)).suffix.lower() == ".xml" else "text"


Complain = Callable[[str], None]


def _decoded(data: bytes, where: str, complain: Complain) -> str | None:
    """The text of some bytes; None, after a complaint, where they are not UTF-8 text."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        complain(f"{where} is not UTF-8 text: {error.reason} at byte {error.start}")
        return None
    if "\0" in text:
        complain(f"{where} is not text: it has the character NUL")
        return None
    return text


def _read_text(file: IO[bytes], name: str, complain: Complain) -> Iterator[Document]:
    text = _decoded(file.read(), name, complain)
    if text is None:
        return
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    paragraphs = [" ".join(part.split()) for part in _BLANK.split(text)]
    paragraphs = [part for part in paragraphs if part]
    if paragraphs:
        yield Document(name, paragraphs)
    else:
        complain(f"{name} is empty")


def _read_google(file: IO[bytes], name: str, complain: Complain) -> Iterator[Document]:
    lines: list[str] = []
    count = number = 0
    broken, sound = False, True  # this document, the whole file
    while line := file.readline(_LARGEST_LINE):
        number += 1
        text = _decoded(line, f"{name}, line {number},", complain)
        if text is None:
            broken, sound = True, False
        elif text.strip():
            lines.append(" ".join(text.split()))
        else:
            if lines and not broken:
                count += 1
                yield Document(f"{name}#{count}", lines, in_sentences=True)
            lines, broken = [], False
    if lines and not broken:
        count += 1
        yield Document(f"{name}#{count}", lines, in_sentences=True)
    if not count and sound:
        complain(f"{name} is empty")


def _read_wikipedia(file: IO[bytes], name: str, complain: Complain) -> Iterator[Document]:
    from minibert.pretraining.wikipedia import pages

    told: list[str] = []
    count = 0

    def tell(message: str) -> None:
        told[:] = [message]
        complain(message)

    for title, paragraphs in pages(file, name, tell):
        count += 1
        yield Document(title, paragraphs)
    if not count and not told:
        complain(f"{name} has no page with text")


_READERS: dict[str, Callable[[IO[bytes], str, Complain], Iterator[Document]]] = {
    "text": _read_text,
    "google": _read_google,
    "wikipedia": _read_wikipedia,
}
