"""How long a page would keep the parser busy: what is opened and never closed is read again and again.

mwparserfromhell takes a bracket or a tag for an opening one, reads on to the end of the page, finds nothing that closes
it, and begins anew behind it as if it were text: each costs the length of the page. A sound page has a few such places;
two megabytes of them would take days.
"""

from __future__ import annotations

import re
from collections import Counter

__all__ = ["MOST_WORK", "refuse_endless", "unclosed"]

MOST_WORK = 30_000_000
"""Places that are not closed, times characters of the page. The parser reads some 10 million characters a second."""

_MARK = re.compile(
    r"(?P<open>\{\{|\[\[|(?<!\{)\{\||\[(?=[a-zA-Z+.-]{0,16}:?//|mailto:))|(?P<close>\}\}|\]\]|\|\}(?!\})|\])"
    r"|<(?P<end>/?)(?P<tag>[^\s<>/!]+)(?P<rest>[^<>]*)(?P<done>>?)"
)
_STYLE = re.compile("'{2,}")
_INSIDE = re.compile(r"\[[^\[\]]*\]|>[^<>]*</")
_CLOSES = {"}}": "{{", "]]": "[[", "|}": "{|", "]": "["}
_SINGLE = ("br", "hr", "wbr", "li", "dd", "dt", "tr", "td", "th", "meta", "link", "img")


def unclosed(source: str) -> int:
    """How many brackets and tags of a page are opened and not closed, or closed too late: behind what they stand in."""
    stack: list[str] = []
    depth: Counter[str] = Counter()  # of each kind, in the stack
    count = 0
    for mark in _MARK.finditer(source):
        tag = (mark["tag"] or "").lower()
        if tag and not mark["done"]:  # "<ref name=" without ">"
            count += 1
        elif mark["open"] or (tag and not mark["end"]):
            kind = mark["open"] or tag
            if tag not in _SINGLE and not (mark["rest"] or "").endswith("/"):
                stack.append(kind)
                depth[kind] += 1
        else:
            kind = tag or _CLOSES[mark["close"]]
            while depth[kind]:
                last = stack.pop()
                depth[last] -= 1
                if last == kind:
                    break
                count += 1
    return count + len(stack)


def _unclosed_styles(source: str) -> int:
    """How many links and tags hold an odd number of marks of bold and italic type, one of which is not closed there."""
    return sum(len(_STYLE.findall(inside[0])) % 2 for inside in _INSIDE.finditer(source))


def refuse_endless(source: str, *, styles: bool = False) -> None:
    """Raises ValueError for a page that the parser would read too many times; `styles`: it looks for '' and ''' too."""
    count = unclosed(source) + (_unclosed_styles(source) if styles else 0)
    if count * len(source) > MOST_WORK:
        raise ValueError(f"it has {count:,} brackets and tags that are not closed, in {len(source):,} characters")
