"""Pages of a Wikipedia dump as plain paragraphs, "ignoring lists, tables and headers" (BERT, section 3.1).

The dump is read as a stream, a page at a time; wikitext is taken apart by mwparserfromhell. Only articles are wanted:
redirects, talk pages, templates and files are left out.

Of mwparserfromhell it is the tokens that are used. Its tree, in which every parameter of every template is an object,
takes four times as long to make as the tokens take to be gone through once, and a dump is large.
"""

from __future__ import annotations

import html
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any
from xml.etree import ElementTree

from minibert.pretraining.errors import MissingLibrary, one_line

__all__ = ["pages", "plain_paragraphs"]

_LIST = re.compile(r"^[*#:;].*$", re.MULTILINE)  # an item; what it continues on has been taken out before
_MAGIC = re.compile(r"__[A-Z]+__")
_QUOTES = re.compile(r"'{2,}")  # two are italics, three are bold, five are both; what is above that is read
_BLANK = re.compile(r"\n\s*\n")
_DROPPED_TAGS = (
    " ref references table gallery math chem ce timeline imagemap score hiero graph mapframe maplink syntaxhighlight "
    "source pre ol ul dl code templatestyles section inputbox categorytree templatedata "
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
    text = _MAGIC.sub("", _LIST.sub("", _running_text(_tokens(wikitext))))
    paragraphs = (_SPACE_BEFORE.sub(r"\1", _LEFT_BY_TEMPLATES.sub("", " ".join(p.split()))) for p in _BLANK.split(text))
    return [paragraph for paragraph in paragraphs if any(char.isalnum() for char in paragraph)]


class _Open:
    """Markup that has been opened and not closed yet: a tag, a link, an entity; or the page.

    Attributes:
        name: what stands before the first separator: a link's target, a tag's name; None while there was none.
        text: what came since the last separator, to be shown if it is the last.
    """

    def __init__(self, token: Any) -> None:
        self.markup, self.brackets = token.get("wiki_markup"), token.get("brackets")
        self.name: str | None = None
        self.text: list[str] = []

    def separate(self) -> None:
        """The name ends here; or an attribute, which nobody will see."""
        if self.name is None:
            self.name = "".join(self.text)
        self.text = []


def _running_text(tokens: Iterable[Any]) -> str:
    """What a reader sees, out of a page's tokens, which are properly nested. A list keeps its marks, for `_LIST`."""
    inside, hidden = [_Open({})], 0
    for token in tokens:
        kind, top = type(token).__name__, inside[-1]
        if kind in _HIDING:
            hidden += _HIDING[kind]
        elif hidden:
            continue
        elif kind == "Text":
            text = token["text"]
            top.text.append(_QUOTES.sub(_without_quotes, text) if "''" in text and top.name != "nowiki" else text)
        elif kind in _OPENING:
            inside.append(_Open(token))
        elif kind in _SEPARATING:
            top.separate()
        elif kind == "TagOpenClose":  # </, where a tag's contents end
            inside[-2].text.append(_contents(top))
        elif kind == "TagCloseClose":  # what stands in </...> is its name once more
            inside.pop()
        elif kind in _CLOSING:
            inside.pop()
            inside[-1].text.append(_CLOSING[kind](top))
        elif kind in _PARTS_OF_ENTITIES:
            top.text.append(_PARTS_OF_ENTITIES[kind])
    return "".join(inside[0].text)


def _without_quotes(match: re.Match[str]) -> str:
    count = len(match[0])
    return "'" if count == 4 else "'" * (count - 5)


def _contents(tag: _Open) -> str:
    return "" if f" {(tag.name or '').strip().lower()} " in _DROPPED_TAGS else "".join(tag.text)


def _lone_tag(tag: _Open) -> str:
    """A tag without contents: <br>, <ref name=x/>, or the mark of a list's item."""
    if tag.markup is not None:
        return str(tag.markup) if tag.markup in "*#:;" else ""
    return " " if tag.name is None and "".join(tag.text).strip().lower() == "br" else ""


def _wikilink(link: _Open) -> str:
    text = "".join(link.text)
    target = text if link.name is None else link.name
    return "" if _MEDIA.match(target) or (link.name is None and _INTERWIKI.match(target)) else text


def _external_link(link: _Open) -> str:
    return "" if link.brackets and link.name is None else "".join(link.text)


def _entity(entity: _Open) -> str:
    return html.unescape(f"&{''.join(entity.text)};")


_HIDING = {
    "TemplateOpen": 1, "ArgumentOpen": 1, "CommentStart": 1, "HeadingStart": 1,
    "TemplateClose": -1, "ArgumentClose": -1, "CommentEnd": -1, "HeadingEnd": -1,
}  # fmt: skip
_OPENING = {"TagOpenOpen", "WikilinkOpen", "ExternalLinkOpen", "HTMLEntityStart"}
_SEPARATING = {"TagAttrStart", "TagCloseOpen", "WikilinkSeparator", "ExternalLinkSeparator"}
_CLOSING = {
    "TagCloseSelfclose": _lone_tag,
    "WikilinkClose": _wikilink,
    "ExternalLinkClose": _external_link,
    "HTMLEntityEnd": _entity,
}
_PARTS_OF_ENTITIES = {"HTMLEntityNumeric": "#", "HTMLEntityHex": "x"}


def _tokens(wikitext: str) -> Iterable[Any]:
    """A page's tokens; the quotes of italics and bold stay text, since they often do not match."""
    parser = _parser()
    tokenizer = parser.CTokenizer or importlib.import_module("mwparserfromhell.parser.tokenizer").Tokenizer
    try:
        tokens: list[Any] = tokenizer().tokenize(wikitext, 0, True)
    except parser.ParserError as error:
        raise ValueError(str(error)) from error
    return tokens


def _parser() -> Any:
    try:
        return importlib.import_module("mwparserfromhell.parser")
    except ImportError:
        raise MissingLibrary("mwparserfromhell", "reading a Wikipedia dump") from None


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
    except (ValueError, RecursionError, RuntimeError) as error:
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
