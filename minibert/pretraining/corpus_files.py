"""Which files a corpus has, and what each of them is: by its content first, by its name where that leaves it open.

A folder is searched through, also behind links to folders. What looks like a text but cannot be one (a device, a FIFO,
a folder without permission) is reported, since a text that is missing in silence is missed by no one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from minibert.file_kind import kind_of_bytes, what_to_do
from minibert.paths import StrPath, as_path
from minibert.pretraining.compressed import stem
from minibert.pretraining.errors import CorpusError, one_line

__all__ = ["find_files", "format_of", "in_unicode", "not_text"]

_KIND = re.compile(r"\.(txt|xml)(?:-p\d+p\d+)?\Z", re.IGNORECASE)  # Wikipedia's parts are called ...xml-p1p41242.bz2
_ARCHIVED = re.compile(
    r"\.(?:(?:txt|xml)(?:-p\d+p\d+)?\.(?:7z|zip|rar|lz4|lzma|lz|br|z)|tar(?:\.\w+)?|tgz)\Z", re.IGNORECASE
)

Report = Callable[[str], None]


def find_files(paths: Iterable[StrPath], report: Report) -> Iterator[tuple[str, Path]]:
    """(name, path) of every file, folders in the order of their names; the name is the file's place in its folder.

    Args:
        paths: files, of any name, or folders.
        report: called with a sentence for whatever in a folder cannot be read.

    Raises:
        CorpusError: a path that does not exist or is no regular file, or a folder without any text.
    """
    for given in paths:
        path = as_path(given)
        if path.is_dir():
            unread: list[str] = []
            found = sorted(_search(path, unread.append))
            if not found:
                why = f"; {unread[0]}" if unread else ""
                raise CorpusError(f"{path} holds no text: no file ends in .txt or .xml, compressed or not{why}")
            for message in unread:
                report(message)
            yield from ((in_unicode(name.as_posix()), path / name) for name in found)
        elif path.is_file():
            yield in_unicode(path.name), path
        elif path.exists():
            raise CorpusError(f"{path} is {_irregular(path)}; a corpus is read from files, more than once")
        else:
            raise CorpusError(f"{path}: there is no such file or folder")


def in_unicode(name: str) -> str:
    """A file's name that can be written anywhere: what is not UTF-8 in it, surrogates in Python, becomes escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _search(top: Path, report: Report) -> Iterator[Path]:
    """Places, relative to `top`, of the texts in it."""
    seen = set()  # folders by identity: links may lead around in a circle

    def unreadable(error: OSError) -> None:
        report(f"{error.filename} cannot be searched: {one_line(error.strerror or error)}")

    for folder, inner, files in os.walk(top, followlinks=True, onerror=unreadable):
        about = os.stat(folder)
        identity = (about.st_dev, about.st_ino)
        inner[:] = [] if identity in seen else [name for name in inner if not name.startswith(".")]
        if identity in seen:
            continue
        seen.add(identity)
        for name in files:
            path = Path(folder, name)
            if not name.startswith(".") and _ARCHIVED.search(name):
                report(f"{path.relative_to(top)} is an archive or a compression that is not read; unpack it")
                continue
            if name.startswith(".") or not _KIND.search(stem(path)):
                continue
            if path.is_file():
                yield path.relative_to(top)
            else:
                report(f"{path.relative_to(top)} is {_irregular(path)}")


def _irregular(path: Path) -> str:
    """What a path is that is neither a file nor a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "a broken link"
    kinds = {stat.S_ISFIFO: "a FIFO", stat.S_ISSOCK: "a socket", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}
    return next((kind for is_kind, kind in kinds.items() if is_kind(mode)), "no regular file")


def format_of(path: Path, head: bytes) -> str:
    """ "wikipedia" for XML, else "text", by the first bytes of the (decompressed) file, or by its name.

    Whatever begins as XML goes to the reader of dumps, which says what it is if it is none: markup is never text.
    """
    if _XML.match(_begins(head)):
        return "wikipedia"
    kind = _KIND.search(stem(path))
    return "wikipedia" if kind is not None and kind[1].lower() == "xml" else "text"


_XML = re.compile(rb"(?:<!--(?:(?!-->).)*-->\s*)*<(?:\?xml|mediawiki)", re.DOTALL)
_FOREIGN = {
    b"<doc id=": "it has WikiExtractor's markup; keep what is between the <doc> tags",
    b"%PDF-": "it is a PDF; extract its text first",
    b"{\\rtf": "it is RTF; save it as plain text",
    b"-- MySQL dump": "it is a dump of a database, in SQL; articles are in the dump named pages-articles.xml",
    b"\xff\xfe\0\0": "it is UTF-32; convert it with iconv -f utf-32 -t utf-8",
    b"\0\0\xfe\xff": "it is UTF-32; convert it with iconv -f utf-32 -t utf-8",
    b"\xff\xfe": "it is UTF-16; convert it with iconv -f utf-16 -t utf-8",
    b"\xfe\xff": "it is UTF-16; convert it with iconv -f utf-16 -t utf-8",
}
_JSON = re.compile(rb'\[?\s*\{\s*"\w+"\s*:')  # also a JSON object a line, as WikiExtractor writes with --json
_INDEX = re.compile(rb"(?:\d+:\d+:[^\n]+\n){3}")  # offset:page:title, beside a dump in many streams


def not_text(head: bytes) -> str | None:
    """What a file that is about to be read as text is instead, by its first bytes; None if it may be text."""
    for magic, sentence in _FOREIGN.items():
        if head.startswith(magic) or _begins(head).startswith(magic):
            return sentence
    if _JSON.match(_begins(head)):
        return "it is JSON; save the texts in it as plain text"
    if _INDEX.match(head):
        return "it is the index of a dump"
    kind = kind_of_bytes(head)
    return None if kind in (None, "empty") else what_to_do(str(kind))


def _begins(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()
