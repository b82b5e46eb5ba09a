"""The cases of the doubling test that read corpora: the readers of each format, and wikitext."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from minibert.pretraining.corpus import _READERS as READERS
from minibert.pretraining.wikitext import is_redirect, plain_paragraphs
from minibert.pretraining.wikitext_cost import unclosed

Task = Callable[[], Any]

FILES = {
    "a text of many paragraphs": ("text", b"The cat sat.\n\n"),
    "a text of blank lines": ("text", b" \n\t\n"),
    "Google's format, many documents": ("google", b"The cat.\n\n"),
    "Google's format, carriage returns": ("google", b"The cat.\r\r"),
}
PAGE = b"<page><title>A</title><ns>0</ns><revision><text>The cat.</text></revision></page>"
WIKITEXT = {
    "links": "[[a|b]] and [[c]]. ",
    "paragraphs": "A '''bold''' ''word''.\n\n",
    "comments": "a<!-- b -->\n<!-- c -->\n",
    "tables": "{|\n| a\n|}\nb\n",
    "variants": "-{zh-cn:a;zh-tw:b}-",
    "switches": "__A_B__ c ",
    "references": "a<ref name=b>{{c|d}}</ref> ",
    "empty brackets": "(({{a}}, ) ",
}


def corpus_cases() -> dict[str, tuple[int, Callable[[int], Task]]]:
    """(the smaller n, the maker of tasks of size n) by name; those of dumps where mwparserfromhell is installed."""
    cases: dict[str, tuple[int, Callable[[int], Task]]] = {}
    for name, (format, part) in FILES.items():
        cases[name] = 20_000, lambda n, format=format, part=part: _read(part * (n // len(part)) + b"x", format)
    cases["wikitext: redirects"] = 20_000, lambda n: _with(" " * n + "#" + "x" * n, is_redirect)
    cases["wikitext: what is not closed"] = 20_000, lambda n: _with("{{ <b> [[ </i> ]] " * (n // 18), unclosed)
    if find_spec("mwparserfromhell") is not None:
        for name, text in WIKITEXT.items():
            cases[f"wikitext: {name}"] = 4_000, lambda n, text=text: _with(text * (n // len(text)), plain_paragraphs)
        cases["a dump of many pages"] = 8_000, lambda n: _read(
            b"<mediawiki>" + PAGE * (n // len(PAGE)) + b"</mediawiki>", "wikipedia"
        )
    return cases


def _read(data: bytes, format: str) -> Task:
    return lambda: sum(1 for _ in READERS[format](io.BytesIO(data), "a", print))


def _with(value: Any, function: Callable[[Any], Any]) -> Task:
    return lambda: function(value)
