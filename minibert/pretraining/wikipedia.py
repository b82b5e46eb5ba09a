"""Pages of a Wikipedia dump as plain paragraphs, "ignoring lists, tables and headers" (BERT, section 3.1).

The dump is read as a stream, a page at a time; wikitext is taken apart by mwparserfromhell. Only articles are wanted:
redirects, talk pages, templates and files are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import IO, Any
from xml.etree import ElementTree

from minibert.pretraining.errors import MissingLibrary, one_line

__all__ = ["pages", "plain_paragraphs"]

_LIST = re.compile(r"^[*#:;].*$", re.MULTILINE)  # an item; what it continues on has been taken out before
_MAGIC = re.compile(r"__[A-Z]+__")
_BREAK = re.compile(r"<[bh]r\s*/?>", re.IGNORECASE)  # strip_code would join the words on both sides
_BLANK = re.compile(r"\n\s*\n")
_DROPPED_TAGS = (
    " ref references table gallery math chem ce timeline imagemap score hiero graph mapframe maplink syntaxhighlight "
    "source pre ol ul dl code templatestyles section inputbox categorytree "
)
_MEDIA = re.compile(r"\s*:?\s*(?:file|image|media|category)\s*:", re.IGNORECASE)
_INTERWIKI = re.compile(r"\s*[a-z]{2,3}(?:-[a-z-]+)?:")
_LEFT_BY_TEMPLATES = re.compile(r"\([;,\s]*\)|\[\s*\]|(?<=\()[;,\s]+")
_SPACE_BEFORE = re.compile(r"\s+([,.;:!?)])")


def plain_paragraphs(wikitext: str) -> list[str]:
    """The paragraphs of a page's source, without tables, lists, headings, templates, references, files and categories.

    Raises:
        MissingLibrary: mwparserfromhell is not installed.
        ValueError: what it says when a page is too contorted for it.
    """
    parser = _parser()
    try:
        code = parser.parse(_BREAK.sub(" ", wikitext), skip_style_tags=True)
        _drop(code)
        text = _MAGIC.sub("", _LIST.sub("", str(code)))
        bare = parser.parse(text).strip_code(normalize=True, collapse=True, keep_template_params=False)
    except parser.parser.ParserError as error:
        raise ValueError(str(error)) from error
    paragraphs = (_SPACE_BEFORE.sub(r"\1", _LEFT_BY_TEMPLATES.sub("", " ".join(p.split()))) for p in _BLANK.split(bare))
    return [paragraph for paragraph in paragraphs if any(char.isalnum() for char in paragraph)]


def _drop(code: Any) -> None:
    """Take out, at every depth, what is no running text. (`code.remove` looks for each node from the start again.)"""
    code.nodes = [node for node in code.nodes if not _is_dropped(node)]
    for node in code.nodes:
        for part in ("contents", "text", "title"):  # of a tag, of a link, of a link to elsewhere
            inner = getattr(node, part, None)
            if hasattr(inner, "nodes"):
                _drop(inner)


def _is_dropped(node: Any) -> bool:
    kind = type(node).__name__
    if kind == "Tag":
        return f" {str(node.tag).strip().lower()} " in _DROPPED_TAGS
    if kind == "Wikilink":
        title = str(node.title)
        return bool(_MEDIA.match(title) or (_INTERWIKI.match(title) and node.text is None))
    return kind in ("Template", "Heading", "Comment", "Argument")


def _parser() -> Any:
    try:
        import mwparserfromhell
    except ImportError:
        raise MissingLibrary("mwparserfromhell", "reading a Wikipedia dump") from None
    return mwparserfromhell


def pages(file: IO[bytes], name: str, complain: Callable[[str], None]) -> Iterator[tuple[str, list[str]]]:
    """(title, paragraphs) of every article of a dump that has text.

    Args:
        file: the XML, decompressed.
        name: the file's, for complaints.
        complain: told of a page that cannot be taken apart, and of XML that breaks off or is no dump.
    """
    _parser()
    events = ElementTree.iterparse(file, events=("start", "end"))
    root: ElementTree.Element | None = None
    try:
        for event, element in events:
            if root is None:
                root = element
                if _local(element) != "mediawiki":
                    complain(f"{name} is not a MediaWiki dump: its outermost element is <{_local(element)}>")
                    return
            if event == "end" and _local(element) == "page":
                article = _article(element)
                root.clear()  # the page, and all before it
                if article is not None:
                    yield from _paragraphs(*article, name, complain)
    except ElementTree.ParseError as error:
        complain(f"{name} is damaged: {one_line(error)}; what follows cannot be read")


def _paragraphs(title: str, source: str, name: str, complain: Callable[[str], None]) -> Iterator[tuple[str, list[str]]]:
    try:
        paragraphs = plain_paragraphs(source)
    except MissingLibrary:
        raise
    except (ValueError, RecursionError, RuntimeError, KeyError, AttributeError, IndexError) as error:
        complain(f"{name}: the page {title!r} cannot be taken apart: {one_line(error)}")
        return
    if paragraphs:
        yield title, paragraphs


def _local(element: ElementTree.Element) -> str:
    return element.tag.rsplit("}", 1)[-1]  # the namespace tells the dump's version


def _article(page: ElementTree.Element) -> tuple[str, str] | None:
    """(title, source) of a page in the main namespace that is no redirect."""
    title, source = "", None
    for child in page:
        kind = _local(child)
        if kind == "title":
            title = child.text or ""
        elif kind == "redirect" or (kind == "ns" and (child.text or "").strip() != "0"):
            return None
        elif kind == "revision":
            for part in child:
                if _local(part) == "text":
                    source = part.text
    return (title, source) if source and not source.lstrip().lower().startswith("#redirect") else None
