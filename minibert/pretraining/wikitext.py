"""Wikitext to plain paragraphs, "ignoring lists, tables and headers" (BERT, section 3.1).

mwparserfromhell takes the source apart. What differs from wiki to wiki, the names of the namespaces, comes from the
dump (`Site`) and from a table of the names that dumps leave out (wiki_names.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from minibert.pretraining.errors import MissingLibrary
from minibert.pretraining.wiki_names import CATEGORY, FILE, LANGUAGES, MAIN, MEDIA, NAMESPACES, name_key
from minibert.pretraining.wikitext_cost import refuse_endless

__all__ = ["Site", "is_redirect", "load_parser", "plain_paragraphs"]


@dataclass
class Site:
    """What a dump says about its wiki: the numbers of the namespaces by name, its own names and the usual ones."""

    namespaces: dict[str, int] = field(default_factory=lambda: dict(NAMESPACES))

    def add(self, name: str, number: int) -> None:
        """Note a namespace of the dump's `<siteinfo>`."""
        if name.strip():
            self.namespaces[name_key(name)] = number

    def namespace(self, title: str) -> int:
        """The namespace of a page or a link, by what stands before its first colon; MAIN if that is no namespace."""
        prefix, colon, _ = title.partition(":")
        return self.namespaces.get(name_key(prefix), MAIN) if colon else MAIN

    def is_media_or_category(self, target: str) -> bool:
        """Whether a link shows a file or puts the page into a category, so that it is no running text."""
        target = target.strip().removeprefix(":")
        if self.namespace(target) in (MEDIA, FILE, CATEGORY):
            return True
        # Any other older name of a wiki's own, which its dump does not list.
        return _MEDIA_FILE.fullmatch(target.strip()) is not None


_MEDIA_FILE = re.compile(
    r"[^|\[\]:/.,\d]{2,40}:[^|\[\]]*\.(?:jpe?g|png|gif|svg|tiff?|webp|xcf|djvu|pdf|og[agv]|webm|mid|flac|wav|mp3)",
    re.IGNORECASE,
)
_REDIRECT = re.compile(r"\s*#[^\W\d_]+\s*:?\s*\[\[")  # "#REDIRECT [[Ann]]" in the words of any language
_ITEM_OR_ROW = re.compile(  # of a list, and of a table that is not closed or comes from templates
    r"^(?:[*#:;]|[ \t]*(?:\{\||\|(?:[-}+\s]|[\w ]+=)|!\s)).*$", re.MULTILINE
)
_COMMENT_OR_NOWIKI = re.compile("<!--|<nowiki>", re.IGNORECASE)
_GONE = "\0"  # stands for a comment; XML cannot hold this character
_GONE_LINES = re.compile(r"^[ \t]*\0[ \t\0]*\n", re.MULTILINE)
_INDENTED_TABLE = re.compile(r"^[*#:;]+[ \t]*(?=\{\|)", re.MULTILINE)
_SWITCH = re.compile(r"__(?=[^\W\d_])[^\s_<>|{}\[\]]+(?:_[^\s_<>|{}\[\]]+){0,9}__")  # __NOTOC__ and its translations
_VARIANT = re.compile(r"-\{(?!\{)([^{}]*)\}-")  # one text in several scripts, in Chinese, Serbian, Kazakh, ...
_BLANK = re.compile(r"\n\s*\n")
_DROPPED_TAGS = (
    " ref references math chem ce timeline score hiero graph mapframe maplink syntaxhighlight source code "
    "templatestyles section inputbox categorytree includeonly indicator style script dynamicpagelist "
)
_DROPPED_BLOCKS = " table gallery imagemap pre ol ul dl h1 h2 h3 h4 h5 h6 "  # what is around them is apart
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
_LEFT_BY_TEMPLATES = re.compile(r"\([;,\s]*\)|（[；，、;,\s]*）|\[\s*\]|(?<=\()[;,\s]+|(?<=（)[；，、;,\s]+")
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
        source = _INDENTED_TABLE.sub("", _without_comments(wikitext))
        refuse_endless(source)
        code = parser.parse(_VARIANT.sub(_first_variant, source), skip_style_tags=True)
        _drop(code, site or Site(), parser.nodes.Text)
        text = _SWITCH.sub(_without_switch, _ITEM_OR_ROW.sub("", _VARIANT.sub(_first_variant, str(code))))
        text = _HTML.sub(_without_html, text)
        refuse_endless(text, styles=True)
        bare = parser.parse(text, skip_style_tags=False)
        stripped = bare.strip_code(normalize=True, collapse=True, keep_template_params=False)
    except parser.parser.ParserError as error:
        raise ValueError(str(error)) from error
    paragraphs = (" ".join(_LEFT_BY_TEMPLATES.sub("", part).split()) for part in _BLANK.split(stripped))
    paragraphs = (_SPACE_BEFORE.sub(r"\1", part) for part in paragraphs)
    return [paragraph for paragraph in paragraphs if any(char.isalnum() for char in paragraph)]


def _drop(code: Any, site: Site, text: Any) -> None:
    """Remove, at every depth, what is no running text. (`code.remove` looks for each node from the start again.)

    Args:
        text: the parser's class of text, for the blank line that stays in the place of a block.
    """
    kept = []
    for node in code.nodes:
        if type(node).__name__ == "Tag" and _name(node) in _DROPPED_BLOCKS:
            kept.append(text("\n\n"))
        elif not _is_dropped(node, site):
            kept.append(node)
    code.nodes = kept
    for node in kept:
        for part in ("contents", "text", "title"):  # of a tag, of a link, of an external link
            inner = getattr(node, part, None)
            if hasattr(inner, "nodes"):
                _drop(inner, site, text)


def _name(tag: Any) -> str:
    return f" {str(tag.tag).strip().lower()} "


def _is_dropped(node: Any, site: Site) -> bool:
    kind = type(node).__name__
    if kind == "Tag":
        return _name(node) in _DROPPED_TAGS
    if kind == "Wikilink":
        title = str(node.title)
        return site.is_media_or_category(title) or _is_interlanguage(title, node.text is not None)
    return kind in ("Template", "Heading", "Comment", "Argument")


def _is_interlanguage(title: str, has_text: bool) -> bool:
    """Whether a link leads to the article in another language, and stands beside the page, not in it."""
    prefix, colon, _ = title.partition(":")
    return bool(colon) and (name_key(prefix) in LANGUAGES or (not has_text and _INTERWIKI.match(title) is not None))


def _without_comments(source: str) -> str:
    """A page without its comments, as MediaWiki removes them before all else.

    A line of nothing but comments goes with its line end; a comment that is not closed reaches to the end of the page.
    """
    kept, start = [], 0
    for opening in _COMMENT_OR_NOWIKI.finditer(source):
        if opening.start() < start:  # inside of one
            continue
        comment = opening[0] == "<!--"
        closing = "-->" if comment else "</nowiki>"
        end = source.find(closing, opening.end())
        if end < 0:
            source = source[: opening.start()] if comment else source
            break
        if comment:
            kept += [source[start : opening.start()], _GONE]
            start = end + len(closing)
        else:
            kept.append(source[start:end])
            start = end
    return _GONE_LINES.sub("", "".join([*kept, source[start:]])).replace(_GONE, "")


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
