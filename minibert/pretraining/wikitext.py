"""Wikitext to plain paragraphs, "ignoring lists, tables and headers" (BERT, section 3.1).

mwparserfromhell takes the source apart. What differs from wiki to wiki, the names of the namespaces, comes from the
dump (`Site`); the English names are understood by every MediaWiki beside its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from minibert.pretraining.errors import MissingLibrary

__all__ = ["Site", "is_redirect", "load_parser", "plain_paragraphs"]

MEDIA, MAIN, FILE, CATEGORY = -2, 0, 6, 14
"""Numbers of MediaWiki's namespaces."""

_CANONICAL = {
    "media": MEDIA, "special": -1, "talk": 1, "user": 2, "user talk": 3, "project": 4, "project talk": 5, "file": FILE,
    "image": FILE, "file talk": 7, "image talk": 7, "mediawiki": 8, "mediawiki talk": 9, "template": 10,
    "template talk": 11, "help": 12, "help talk": 13, "category": CATEGORY, "category talk": 15,
}  # fmt: skip
"""The names that hold in every wiki, whatever its language."""


def _key(name: str) -> str:
    """A namespace's name as MediaWiki compares it: case, underscores and spaces around it do not count."""
    return " ".join(name.replace("_", " ").split()).casefold()


@dataclass
class Site:
    """What a dump says about its wiki: the numbers of the namespaces by name, its own names and the canonical ones."""

    namespaces: dict[str, int] = field(default_factory=lambda: dict(_CANONICAL))

    def add(self, name: str, number: int) -> None:
        """Note a namespace of the dump's `<siteinfo>`."""
        if name.strip():
            self.namespaces[_key(name)] = number

    def namespace(self, title: str) -> int:
        """The namespace of a page or a link, by what stands before its first colon; MAIN if that is no namespace."""
        prefix, colon, _ = title.partition(":")
        return self.namespaces.get(_key(prefix), MAIN) if colon else MAIN

    def is_media_or_category(self, target: str) -> bool:
        """Whether a link shows a file or puts the page into a category, so that it is no running text."""
        target = target.strip().removeprefix(":")
        if self.namespace(target) in (MEDIA, FILE, CATEGORY):
            return True
        # An older local name ("Bild:" for "Datei:") still works in a wiki, and its dump does not list it.
        return _MEDIA_FILE.fullmatch(target.strip()) is not None


_MEDIA_FILE = re.compile(
    r"[^\W\d_]+\s*:[^|\[\]]*\.(?:jpe?g|png|gif|svg|tiff?|webp|xcf|djvu|pdf|og[agv]|webm|mid|flac|wav|mp3)",
    re.IGNORECASE,
)
_REDIRECT = re.compile(r"\s*#[^\W\d_]+\s*:?\s*\[\[")  # "#REDIRECT [[Ann]]" in the words of any language
_LIST = re.compile(r"^[*#:;].*$", re.MULTILINE)  # an item; what it continues on has been removed before
_SWITCH = re.compile(r"__[^\W\d_](?:\w*?[^\W_])?__")  # __NOTOC__ and its translations
_VARIANT = re.compile(r"-\{(?!\{)([^{}]*)\}-")  # one text in several scripts, in Chinese, Serbian, Kazakh, ...
_BLANK = re.compile(r"\n\s*\n")
_DROPPED_TAGS = (
    " ref references table gallery math chem ce timeline imagemap score hiero graph mapframe maplink syntaxhighlight "
    "source pre ol ul dl code templatestyles section inputbox categorytree includeonly h1 h2 h3 h4 h5 h6 "
)
_BLOCKS = "p|div|center|blockquote|li|dd|dt|section|article|poem|tr|td|th|caption"
_INLINE = (
    "abbr|b|bdi|bdo|big|cite|data|del|dfn|em|font|i|ins|kbd|mark|noinclude|onlyinclude|q|rb|rp|rt|rtc|ruby|s|samp|small|"
    "span|strike|strong|sub|sup|time|tt|u|var|wbr|ref|references|ol|ul|dl|code|table|tbody|thead|tfoot|h[1-6]|gallery"
)
_HTML = re.compile(
    rf"(?P<kept><nowiki>.*?</nowiki>)|</?(?:(?P<line>[bh]r)|(?P<block>{_BLOCKS})|(?:{_INLINE}))(?:\s[^<>]*)?/?>",
    re.IGNORECASE | re.DOTALL,
)
_INTERWIKI = re.compile(r"\s*[a-z]{2,3}(?:-[a-z-]+)?:")
_LEFT_BY_TEMPLATES = re.compile(r"\([;,\s]*\)|\[\s*\]|(?<=\()[;,\s]+")
_SPACE_BEFORE = re.compile(r"\s+([,.;:!?)])")


def is_redirect(source: str) -> bool:
    """Whether a page only points to another one."""
    return _REDIRECT.match(source) is not None


def plain_paragraphs(wikitext: str, site: Site | None = None) -> list[str]:
    """The paragraphs of a page's source, without tables, lists, headings, templates, references, files and categories.

    Args:
        site: the wiki that the page is from; names of namespaces are English otherwise.

    Raises:
        MissingLibrary: mwparserfromhell is not installed.
        ValueError: what mwparserfromhell says when a page is too contorted for it.
    """
    parser = load_parser()
    try:
        code = parser.parse(_VARIANT.sub(_first_variant, wikitext), skip_style_tags=True)
        _drop(code, site or Site())
        text = _SWITCH.sub(_without_switch, _LIST.sub("", str(code)))
        bare = parser.parse(_HTML.sub(_without_html, text), skip_style_tags=False)
        stripped = bare.strip_code(normalize=True, collapse=True, keep_template_params=False)
    except parser.parser.ParserError as error:
        raise ValueError(str(error)) from error
    paragraphs = (" ".join(part.split()) for part in _BLANK.split(stripped))
    paragraphs = (_SPACE_BEFORE.sub(r"\1", _LEFT_BY_TEMPLATES.sub("", part)) for part in paragraphs)
    return [paragraph for paragraph in paragraphs if any(char.isalnum() for char in paragraph)]


def _drop(code: Any, site: Site) -> None:
    """Remove, at every depth, what is no running text. (`code.remove` looks for each node from the start again.)"""
    code.nodes = [node for node in code.nodes if not _is_dropped(node, site)]
    for node in code.nodes:
        for part in ("contents", "text", "title"):  # of a tag, of a link, of an external link
            inner = getattr(node, part, None)
            if hasattr(inner, "nodes"):
                _drop(inner, site)


def _is_dropped(node: Any, site: Site) -> bool:
    kind = type(node).__name__
    if kind == "Tag":
        return f" {str(node.tag).strip().lower()} " in _DROPPED_TAGS
    if kind == "Wikilink":
        title = str(node.title)
        return site.is_media_or_category(title) or (_INTERWIKI.match(title) is not None and node.text is None)
    return kind in ("Template", "Heading", "Comment", "Argument")


def _without_html(match: re.Match[str]) -> str:
    """HTML that is left, closed or not: a block begins a paragraph, a break separates words, the others mark words."""
    if match["kept"]:
        return match["kept"]
    return "\n\n" if match["block"] else " " if match["line"] else ""


def _without_switch(match: re.Match[str]) -> str:
    return "" if match[0] == match[0].upper() else match[0]


def _first_variant(match: re.Match[str]) -> str:
    """-{zh-hans:a; zh-hant:b}- to a, -{a}- to a; rules that show nothing (-{H|...}-) to nothing."""
    flags, bar, rules = match[1].rpartition("|")
    if bar and flags.strip().upper() in ("H", "-", "T"):
        return ""
    name, colon, text = rules.split(";", 1)[0].partition(":")
    return text.strip() if colon and re.fullmatch(r"\s*[a-z]{2,3}(-[a-z]+)*\s*", name) else rules


def load_parser() -> Any:
    """The module mwparserfromhell. Raises MissingLibrary."""
    try:
        import mwparserfromhell
    except ImportError:
        raise MissingLibrary("mwparserfromhell", "reading a Wikipedia dump") from None
    return mwparserfromhell
