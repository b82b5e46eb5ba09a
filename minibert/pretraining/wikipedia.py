"""Articles of a Wikipedia dump: MediaWiki's XML, of any language and of any age.

The dump is parsed as a stream, and nothing is kept but the page that is being read. Its own `<siteinfo>` names the
namespaces. Only articles are wanted: redirects, talk pages, templates, files and pages that hold no wikitext are
skipped. What no dump has (a document type, whose entities may expand to gigabytes; endless tags; deep nesting) ends the
reading with a complaint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO
from xml.parsers import expat

from minibert.pretraining.errors import MissingLibrary, one_line
from minibert.pretraining.wiki_names import MAIN
from minibert.pretraining.wikitext import Site, is_redirect, load_parser, plain_paragraphs

__all__ = ["pages"]

LARGEST_SOURCE = 1 << 23
"""Characters of a page that are kept. MediaWiki accepts pages of 2 MiB."""
LARGEST_TAG, DEEPEST = 1 << 20, 16
"""Bytes of one tag or comment; levels of elements. A dump has a hundred bytes and six levels."""
CHUNK = 1 << 16


class _NoDump(Exception):
    """What no dump has, in a sentence."""


@dataclass
class _Page:
    """What is known so far of the page that is being read."""

    title: str = ""
    number: str | None = None  # of its namespace; dumps before 2011 have none
    redirect: bool = False
    model: str = "wikitext"
    source: str = ""  # of its last revision
    length: int = 0  # of the source, also of what was not kept

    def is_article(self, site: Site) -> bool:
        """Whether it is in the main namespace, is no redirect, and holds wikitext."""
        main = self.number == "0" if self.number is not None else site.namespace(self.title) == MAIN
        return main and not self.redirect and self.model == "wikitext" and not is_redirect(self.source)


class _Dump:
    """The handlers of the XML parser: they fill `site`, and `finished` with pages."""

    def __init__(self) -> None:
        self.site = Site()
        self.finished: list[_Page] = []
        self.page = _Page()
        self.path: list[str] = []
        self.key = ""  # of the namespace that is being named
        self.text: list[str] = []
        self.length = 0

    def parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        parser.CharacterDataHandler = self.characters
        parser.StartDoctypeDeclHandler = self.document_type
        return parser

    def document_type(self, *_: object) -> None:
        raise _NoDump("it declares a document type")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        kind = name.rpartition(" ")[2]  # the XML namespace states the dump's version
        if not self.path and kind != "mediawiki":
            raise _NoDump(f"its outermost element is <{kind}>")
        if len(self.path) == DEEPEST:
            raise _NoDump(f"elements are nested more than {DEEPEST} deep")
        self.path.append(kind)
        self.text, self.length = [], 0
        if kind == "page":
            self.page = _Page()
        elif kind == "revision":
            self.page.model, self.page.source, self.page.length = "wikitext", "", 0
        elif kind == "namespace":
            self.key = attributes.get("key", "")

    def characters(self, data: str) -> None:
        if self.length < LARGEST_SOURCE:
            self.text.append(data)
        self.length += len(data)

    def end(self, name: str) -> None:
        kind = self.path.pop()
        match [*self.path[-1:], kind]:
            case ["namespaces", "namespace"]:
                if self.key.removeprefix("-").isdecimal():
                    self.site.add("".join(self.text), int(self.key))
            case ["page", "title"]:
                self.page.title = "".join(self.text)
            case ["page", "ns"]:
                self.page.number = "".join(self.text).strip()
            case ["page", "redirect"]:
                self.page.redirect = True
            case ["revision", "model"]:
                self.page.model = "".join(self.text).strip()
            case ["revision", "text"]:
                self.page.source, self.page.length = "".join(self.text), self.length
            case [*_, "page"]:
                self.finished.append(self.page)
                self.page = _Page()
        self.text, self.length = [], 0


def pages(file: IO[bytes], name: str, complain: Callable[[str], None]) -> Iterator[tuple[str, list[str]]]:
    """(title, paragraphs) of every article of a dump that has text.

    Args:
        file: the XML, decompressed.
        name: the file's, for complaints.
        complain: called with a sentence for a page that cannot be parsed, and for XML that breaks off or is no dump.
    """
    load_parser()
    dump = _Dump()
    parser = dump.parser()
    fed, end = 0, False
    problem = ""
    while not end and not problem:
        data = file.read(CHUNK)
        fed, end = fed + len(data), not data
        try:
            parser.Parse(data, end)
            if fed - parser.CurrentByteIndex > LARGEST_TAG:  # the parser would look at all of it again and again
                raise _NoDump(f"a tag or a comment of more than {LARGEST_TAG >> 20} MiB")
        except expat.ExpatError as error:
            problem = f"{name} is damaged: {one_line(error)}; what follows cannot be read"
        except _NoDump as error:
            problem = f"{name} is not a MediaWiki dump: {error}; what follows is not read"
        for page in dump.finished:  # also those before the damage
            if page.is_article(dump.site):
                yield from _paragraphs(page, dump.site, name, complain)
        dump.finished = []
    if problem:
        complain(problem)


def _paragraphs(page: _Page, site: Site, name: str, complain: Callable[[str], None]) -> Iterator[tuple[str, list[str]]]:
    if page.length > LARGEST_SOURCE:
        complain(f"{name}: the page {page.title!r} has {page.length:,} characters, more than any wiki accepts")
        return
    try:
        paragraphs = plain_paragraphs(page.source, site)
    except MissingLibrary:
        raise
    except (ValueError, RecursionError, RuntimeError, KeyError, AttributeError, IndexError) as error:
        complain(f"{name}: the page {page.title!r} cannot be parsed: {one_line(error)}")
        return
    if paragraphs:
        yield page.title, paragraphs
