"""Texts in: files of several formats to documents, one after another.

    text        a file is a document (one of over 32 MiB several of the same name); blank lines between paragraphs
    google      a sentence a line, a blank line between documents
    wikipedia   an XML dump: a page is a document, without lists, tables and headers (wikipedia.py)

Any of them plain or compressed (.gz, .bz2, .xz, .zst). A folder stands for all files of these kinds inside it, in the
order of their names (corpus_files.py). Files are read one at a time, so that memory depends on the largest document,
not on the corpus.

What cannot be read (not UTF-8, empty, cut off, no text at all) is reported with the file's name: `on_error="skip"`
warns and goes on, `on_error="refuse"` raises.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Literal

from minibert.paths import StrPath
from minibert.pretraining.compressed import damage, open_bytes
from minibert.pretraining.corpus_files import find_files, format_of, in_unicode, not_text
from minibert.pretraining.errors import CorpusError, CorpusWarning, one_line
from minibert.pretraining.sentences import split_sentences

__all__ = ["FORMATS", "Corpus", "Document", "named"]

FORMATS = ("auto", "text", "google", "wikipedia")
Format = Literal["auto", "text", "google", "wikipedia"]
OnError = Literal["skip", "refuse"]

_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
LARGEST_PARAGRAPH, LARGEST_DOCUMENT = 1 << 24, 1 << 25
"""Bytes. A longer paragraph (in Google's format: a longer line) is no text; a longer document is read in parts."""


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
        format: of all files; "auto" takes XML for a Wikipedia dump and everything else for text.
        on_error: "skip" warns of what cannot be read and goes on, "refuse" raises CorpusError.
        only: names (or patterns with * and ?) of the only documents wanted; none means all.
        leave_out: names or patterns of documents to leave out.

    Attributes:
        skipped: what was left out because it could not be read, one sentence each.
        position: bytes of `size` that have been read, for a progress bar.

    Raises:
        CorpusError: a path that does not exist, or no file at all.
    """

    paths: Sequence[StrPath]
    format: Format = "auto"
    on_error: OnError = "skip"
    only: Sequence[str] = ()
    leave_out: Sequence[str] = ()
    skipped: list[str] = field(default_factory=list, init=False)
    position: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if isinstance(self.paths, str | os.PathLike):
            self.paths = [self.paths]
        if self.format not in FORMATS:
            raise CorpusError(f"the format {self.format!r} is not known; there are {', '.join(FORMATS)}")
        if self.on_error not in ("skip", "refuse"):
            raise CorpusError(f"on_error is 'skip' or 'refuse', not {self.on_error!r}")
        self._unreadable: list[str] = []
        self.files = list(find_files(self.paths, self._unreadable.append))
        self.size = sum(path.stat().st_size for _, path in self.files)

    def __iter__(self) -> Iterator[Document]:
        """Every document that is wanted and can be read. Each time from the start."""
        self.skipped, self.position = [], 0
        for message in self._unreadable:
            self.complain(message)
        done = 0
        for name, path in self.files:
            try:
                with path.open("rb") as raw:
                    for document in self._documents(open_bytes(raw, path), name, path):
                        self.position = done + raw.tell()
                        if self.wants(document.name):
                            yield document
                    done += os.fstat(raw.fileno()).st_size
            except damage() as error:
                self.complain(f"{name} cannot be read to its end: {one_line(error)}")
            self.position = done

    def _documents(self, file: IO[bytes], name: str, path: Path) -> Iterator[Document]:
        """The documents of one file, by the reader of its format."""
        format: str = self.format
        if format == "auto":
            head = file.peek(1024)  # type: ignore[attr-defined]  # all of them are buffered
            format = format_of(path, head)
            if format == "text" and (kind := not_text(head)) is not None:
                self.complain(f"{name} is not UTF-8 text: {kind}")
                return
        yield from _READERS[format](file, name, self.complain)

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
    patterns = [in_unicode(pattern) for pattern in of]
    return any(
        pattern in (name, last) or fnmatchcase(name, pattern) or fnmatchcase(last, pattern) for pattern in patterns
    )


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
    count, sound = 0, True
    for data in _parts(file):
        if len(data) > LARGEST_DOCUMENT:
            complain(f"{name} is not text: {LARGEST_PARAGRAPH >> 20} MiB without a blank line; the rest is not read")
            return
        text = _decoded(data, name if not count else f"{name}, part {count + 1},", complain)
        sound = sound and text is not None
        paragraphs = list(_paragraphs(text or ""))
        if any(len(paragraph) > LARGEST_PARAGRAPH for paragraph in paragraphs):
            complain(f"{name} is not text: it has a paragraph of more than {LARGEST_PARAGRAPH >> 20} MiB")
            sound = False
        elif paragraphs:
            count += 1
            yield Document(name, paragraphs)
    if not count and sound:
        complain(f"{name} is empty")


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    """A file in parts of up to LARGEST_DOCUMENT bytes that end at a blank line; a longer part is one without."""
    rest = b""
    while data := file.read(LARGEST_DOCUMENT - len(rest)):
        data = rest + data
        if len(data) < LARGEST_DOCUMENT:  # a stream may give less than it is asked for
            rest = data
            continue
        end = max(data.rfind(blank) + len(blank) for blank in (b"\n\n", b"\n\r\n", b"\r\r"))
        if end <= LARGEST_PARAGRAPH:
            yield data + b" "
            return
        yield data[:end]
        rest = data[end:]
    yield rest


def _paragraphs(text: str) -> Iterator[str]:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    for part in _BLANK.split(text):
        if paragraph := " ".join(part.split()):
            yield paragraph


def _read_google(file: IO[bytes], name: str, complain: Complain) -> Iterator[Document]:
    lines: list[str] = []
    count = 0
    broken, sound = False, True  # this document, the whole file
    for number, line, whole in _lines(file):
        where = f"{name}, line {number},"
        if whole:
            text = _decoded(line, where, complain)
        else:
            complain(f"{where} is not text: it is longer than {LARGEST_PARAGRAPH >> 20} MiB")
            text = None
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


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """(number from 1, bytes, whether all of it) of every line; one that is longer than any sentence is cut."""
    number = 0
    while read := file.readline(LARGEST_PARAGRAPH):
        whole = len(read) < LARGEST_PARAGRAPH or read.endswith(b"\n")
        lines = read.removesuffix(b"\n").removesuffix(b"\r").split(b"\r")  # a carriage return alone is a line end too
        for k, line in enumerate(lines):
            number += 1
            yield number, line, whole or k < len(lines) - 1
        while not whole:  # what is left of it is read past
            rest = file.readline(LARGEST_PARAGRAPH)
            whole = not rest or rest.endswith(b"\n")


def _read_wikipedia(file: IO[bytes], name: str, complain: Complain) -> Iterator[Document]:
    from minibert.pretraining.wikipedia import pages

    count, complaints = 0, 0

    def counted(message: str) -> None:
        nonlocal complaints
        complaints += 1
        complain(message)

    for title, paragraphs in pages(file, name, counted):
        count += 1
        yield Document(title, paragraphs)
    if not count and not complaints:
        complain(f"{name} has no page with text")


_READERS: dict[str, Callable[[IO[bytes], str, Complain], Iterator[Document]]] = {
    "text": _read_text,
    "google": _read_google,
    "wikipedia": _read_wikipedia,
}
