"""A dump's articles without lists, tables, headers, templates, references and links to files."""

from __future__ import annotations

import bz2
import io
import tracemalloc
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from minibert.pretraining import Corpus, CorpusError, CorpusWarning

pytest.importorskip("mwparserfromhell", reason="a dump is read with mwparserfromhell")

from minibert.pretraining import wikipedia, wikitext_cost
from minibert.pretraining.wikipedia import pages
from minibert.pretraining.wikitext import plain_paragraphs

SOURCE = """{{Infobox person|name=Ann {{small|x}}|list=
* in a template
}}
'''Ann''' ({{lang|de|Anna}}; born 1900) was a [[painter|great painter]].<ref name="a">Book {{cite|a}} * x</ref> She
''lived'' in [[Rome]]&nbsp;and Paris.<!-- a comment -->
[[File:a.jpg|thumb|A [[nice]] picture]]

== Works ==
* one [[thing]]
** nested <ref>
over lines
</ref>
# number
: indented
; term : definition
Another paragraph with <math>x^2</math> a formula, <b>bold</b>, a [http://example.org link text] and H<sub>2</sub>O.

{| class="wikitable"
! head
|-
| cell || cell {{x}}
{| class="inner"
| inner
|}
|}
=== Header ===
After the table. <gallery>
File:x.jpg|caption
</gallery>
__NOTOC__
<br/> End of text [[de:Ann]] [[Category:People]] [[:Category:Shown|shown]]
"""
PARAGRAPHS = [
    "Ann (born 1900) was a great painter. She lived in Rome and Paris.",
    "Another paragraph with a formula, bold, a link text and H2O.",
    "After the table.",
    "End of text",
]


def page(title: str, text: str, *, ns: int = 0, redirect: bool = False) -> str:
    turn = '<redirect title="x" />' if redirect else ""
    return (
        f"<page><title>{escape(title)}</title><ns>{ns}</ns><id>1</id>{turn}<revision><id>2</id>"
        f"<text xml:space='preserve'>{escape(text)}</text></revision></page>\n"
    )


def dump(*pages: str) -> bytes:
    head = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="en"><siteinfo/>\n'
    return (head + "".join(pages) + "</mediawiki>").encode()


DUMP = dump(
    page("Ann & Co", SOURCE),
    page("Talk:Ann", "Talk.", ns=1),
    page("Anna", "#REDIRECT [[Ann]]", redirect=True),
    page("Old", "#redirect [[Ann]]"),
    page("List", "* only\n* a list"),
    page("Bob", "He was."),
)


def test_paragraphs() -> None:
    assert plain_paragraphs(SOURCE) == PARAGRAPHS


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("'''''Both''''' and [[a b]]s, [[x|]] {{{1|arg}}}", ["Both and a bs,"]),
        ("{{unclosed [[also", ["{{unclosed [[also"]),
        ("A{{nowrap|[[x]]}}B <ref name=a/> C", ["AB C"]),
        ("<nowiki>'' * not markup</nowiki>", ["'' * not markup"]),
        ("Caf&eacute; &#8212; &#x2014; &amp;", ["Café — — &"]),
        ("It''s ''''quoted'''' and '''unclosed, ''''''six", ["Its 'quoted' and unclosed, 'six"]),
        ("a<br>b<br />c<hr>d", ["a b c d"]),
        ("<div class='x' style=y>in a <span>div</span></div > and <b>un", ["in a div", "and un"]),
        ("http://example.org [http://example.org] [http://example.org ''shown'']", ["http://example.org shown"]),
        ("<!-- c -->* item\n{{t|{{{1}}}|==\nh ==}}<ref>[[File:a.png|{{x}}]]</ref>the [[a|''b'' {{x}}c]]", ["the b c"]),
        ("[[File:a.jpg|thumb|[[nested]] [http://a.b x]]] t [[Category:A]][[de:A]][[:de:A|shown]]", ["t shown"]),
        ("{{" * 60 + "x" + "}}" * 60 + "y", ["y"]),
        ("[[Image:x.png]][[Datei:a.png|thumb|a caption]][[Bild : b.JPG|mini]][[media:x.ogg]] t", ["t"]),
        ("[[Batman: Year One]] and [[2001: A Space Odyssey|2001]] t", ["Batman: Year One and 2001 t"]),
        ("First<p>Second</p>third<p/>fourth<P>fifth", ["First", "Second", "third", "fourth", "fifth"]),
        ("<div>a</div>b<center>c</center><blockquote>d</blockquote>e", ["a", "b", "c", "d", "e"]),
        ("<h2>Head</h2>text<h3 id=x>Sub</H3>", ["text"]),
        ("a<ul><li>one<li>two</ul>b <li>c", ["a", "b", "c"]),
        ("<span>x</span> <b>un <ref name=a>closed <nowiki><p></nowiki> &lt;p&gt;", ["x un closed <p> <p>"]),
        ("1 < 2 and a <- b, <3", ["1 < 2 and a <- b, <3"]),
        ("<includeonly>hidden</includeonly><noinclude>shown</noinclude>", ["shown"]),
        ("__KEIN_INHALTSVERZEICHNIS__a__目录__b __init__ c", ["ab __init__ c"]),
        ("-{zh-hans:汉;zh-hant:漢}-字 -{A|zh-cn:a;zh-tw:b}- -{原}- -{H|x:y}-", ["汉字 a 原"]),
        ("[[\u200fملف:قط.jpg|x]]القط.[[تصنيف:قطط\u200e]]", ["القط."]),
        ("[[檔案:猫|thumb]]猫。[[分类:猫]][[Категория:Коты]]", ["猫。"]),
        ("[[Tập tin:a.jpg|x]][[Thể loại:A]][[ภาพ:x]] t", ["t"]),
        ("A.\n[[simple:X]] [[De:X]] [[zh-min-nan:X|y]] [[CSI: Miami]] [[be-x-old:X]]", ["A. CSI: Miami"]),
        ("Before.\n\n:{| class=x\n| cell\n|}\nAfter.", ["Before.", "After."]),
        ("Before.\n{| class=x\n! head\n|-\n| cell\n|name=x\n\nAfter.", ["Before.", "After."]),
        ("|x| is not negative!\n\n!Kung is", ["|x| is not negative!", "!Kung is"]),
        ("Before.<table><tr><td>cell</table>After.<pre>x</pre>End.", ["Before.", "After.", "End."]),
        ("A line\n<!-- x --> <!-- y\n\n-->\ngoes on. <!-- [[never]] closed", ["A line goes on."]),
        ("<nowiki><!-- shown --></nowiki> and<!----> x <nowiki><!-- y", ["<!-- shown --> and x <nowiki><!-- y"]),
        ("__विषयसूचीहीन__क __БЕЗ_ОГЛ__я", ["क я"]),
        ("Ann ({{x}}) was. 安（{{lang|en}}，1900年）和（{{x}}、）", ["Ann was. 安（1900年）和"]),
        ("-{zh:a;zh-hans:-{b}-}-x -{zh-cn:{{t}}c;zh-tw:d}-", ["ax c"]),
        ("<style>.a{}</style><DynamicPageList>\na=b\n</DynamicPageList><indicator name=x>i</indicator>t", ["t"]),
        ("", []),
    ],
)
def test_markup(source: str, text: list[str]) -> None:
    assert plain_paragraphs(source) == text


def test_a_page_that_the_library_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import mwparserfromhell

    def give_up(*args: object, **kwargs: object) -> None:
        raise mwparserfromhell.parser.ParserError("too contorted")

    monkeypatch.setattr(mwparserfromhell, "parse", give_up)
    with pytest.raises(ValueError, match="too contorted"):
        plain_paragraphs("a")


@pytest.mark.parametrize(
    "part",  # of which the page is nothing but repetitions
    ["[http://a ", "<ref>", "<b>", "<ref name=a ", '<a href="', "{{a|", "[[a|", "{|\n", "[[a|<b>]]</b>", "[[a|''b]]"],
)
def test_a_page_that_would_be_parsed_for_hours(part: str) -> None:
    with pytest.raises(ValueError, match=r"it has [\d,]+ brackets and tags that are not closed, in [\d,]+ characters"):
        plain_paragraphs(part * 10_000)


def test_what_is_not_closed() -> None:
    sound = "{{a|b=}}{{c|}}{{{1|}}}[[x|<b>y</b>]] [http://a b] <br><li><ref name=a/>\n{|\n|{{a|\n}}\n|}\n" * 50_000
    assert wikitext_cost.unclosed(sound) == 0
    assert wikitext_cost.unclosed("{{ [[ <b> [http://a {| <ref name=") == 6
    assert wikitext_cost.unclosed("}} ]] </b> ] |}") == 0
    assert wikitext_cost.unclosed("[[a|<b>]]</b> {{x|<p>}}") == 2
    assert plain_paragraphs("<p>Old HTML" * 1000) == ["Old HTML"] * 1000


GERMAN = (
    "<siteinfo><sitename>Wikipedia</sitename><namespaces>"
    '<namespace key="-2">Medium</namespace><namespace key="-1">Spezial</namespace><namespace key="0" />'
    '<namespace key="1">Diskussion</namespace><namespace key="3">Benutzer Diskussion</namespace>'
    '<namespace key="6">Datei</namespace><namespace key="14">Kategorie</namespace><namespace>keyless</namespace>'
    "</namespaces></siteinfo>"
)


def test_a_dump_names_its_own_namespaces() -> None:
    source = "[[Datei:K.jpg|mini|Eine [[Katze]]]]Die '''Katze''' ist ein [[Haustier]].\n\n[[ kategorie :Haustier]]"
    data = dump(
        GERMAN,
        page("Katze", source),
        page("Kater", "#WEITERLEITUNG [[Katze]]"),
        page("Kätzin", "#Přesměruj: [[Katze]]"),
        page("Nummer", "#eins"),
    )
    assert list(pages(io.BytesIO(data), "x", pytest.fail)) == [("Katze", ["Die Katze ist ein Haustier."])]


def test_old_dumps_say_the_namespace_in_the_title() -> None:
    def old(title: str) -> str:
        return page(title, f"Text of {title}.").replace("<ns>0</ns>", "")

    titles = ["Ann", "Talk:Ann", "Diskussion:Ann", "benutzer_Diskussion:Ann", "Image:a.png", "Alien: Covenant"]
    data = dump(GERMAN, *map(old, titles))
    assert [title for title, _ in pages(io.BytesIO(data), "x", pytest.fail)] == ["Ann", "Alien: Covenant"]


def test_only_wikitext_and_only_the_last_revision() -> None:
    revision = "<revision><model>{}</model><text>{}</text></revision>"
    history = "".join(revision.format("wikitext", text) for text in ("First.", "Second.", "Third."))
    data = dump(
        f"<page><title>History</title><ns>0</ns>{history}</page>",
        f"<page><title>Data</title><ns>0</ns>{revision.format('json', '{}')}</page>",
        "<page><title>Deleted</title><ns>0</ns><revision><text deleted='deleted' /></revision></page>",
    )
    assert list(pages(io.BytesIO(data), "x", pytest.fail)) == [("History", ["Third."])]


def test_memory_does_not_grow_with_the_history_of_a_page() -> None:
    def peak(count: int) -> int:
        revision = "<revision><text>" + "Some words here. " * 50 + "</text></revision>"
        data = io.BytesIO(dump("<page><title>A</title><ns>0</ns>", revision * count, "</page>"))
        tracemalloc.start()
        assert sum(1 for _ in pages(data, "x", pytest.fail)) == 1
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)  # imports
    assert peak(3000) < peak(300) + 300_000  # the texts of 2700 revisions would be 2.3 MB


def test_a_page_that_no_wiki_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikipedia, "LARGEST_SOURCE", 1 << 10)
    said: list[str] = []
    data = dump(page("Long", "word " * 300), page("Ann", "Text."), page("Longer", "word " * 500_000))
    assert [title for title, _ in pages(io.BytesIO(data), "a.xml", said.append)] == ["Ann"]
    assert said == [
        "a.xml: the page 'Long' has 1,500 characters, more than any wiki accepts",
        "a.xml: the page 'Longer' has 2,500,000 characters, more than any wiki accepts",
    ]


def test_pages_before_the_damage_are_kept() -> None:
    said: list[str] = []
    found = [title for title, _ in pages(io.BytesIO(DUMP + DUMP), "a.xml", said.append)]
    assert found == ["Ann & Co", "Bob"]
    assert said == ["a.xml is damaged: junk after document element: line 40, column 12; what follows cannot be read"]


@pytest.mark.parametrize("suffix", ["", ".bz2"])
def test_articles_only(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"wiki.xml{suffix}").write_bytes(bz2.compress(DUMP) if suffix else DUMP)
    documents = list(Corpus(tmp_path, on_error="refuse"))
    assert [d.name for d in documents] == ["Ann & Co", "Bob"]
    assert documents[0].paragraphs == PARAGRAPHS


def test_dumps_come_in_several_streams(tmp_path: Path) -> None:
    middle = len(DUMP) // 2
    (tmp_path / "wiki.xml.bz2").write_bytes(bz2.compress(DUMP[:middle]) + bz2.compress(DUMP[middle:]))
    assert [d.name for d in Corpus(tmp_path)] == ["Ann & Co", "Bob"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DUMP[: DUMP.index(b"Bob")], r"wiki\.xml is damaged: .*; what follows cannot be read"),
        (b"", r"wiki\.xml is damaged"),
        (b"just text", r"wiki\.xml is damaged"),
        (b"<html><body/></html>", r"wiki\.xml is not a MediaWiki dump: its outermost element is <html>"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><mediawiki>&a;</mediawiki>', r"no.* dump: it declares a document"),
        (b"<mediawiki>" + b"<a>" * 99, r"no.* dump: elements are nested more than 16 deep"),
        (b"<mediawiki><!--" + b"x" * (3 << 20), r"no.* dump: a tag or a comment of more than 1 MiB"),
        (b"<mediawiki a='" + b"x" * (3 << 20), r"no.* dump: a tag or a comment of more than 1 MiB"),
        (dump(page("Talk:Ann", "Talk.", ns=1)), r"wiki\.xml has no page with text"),
    ],
)
def test_damage(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "wiki.xml").write_bytes(data)
    with pytest.warns(CorpusWarning, match=message):
        list(Corpus(tmp_path))
    with pytest.raises(CorpusError, match=message):
        list(Corpus(tmp_path, on_error="refuse"))


def test_memory_does_not_grow_with_the_dump() -> None:
    def peak(count: int) -> int:
        data = io.BytesIO(dump(*(page(f"Page {i}", "Some words here. " * 20) for i in range(count))))
        tracemalloc.start()
        assert sum(1 for _ in pages(data, "wiki.xml", pytest.fail)) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)  # imports
    assert peak(1500) < peak(150) + 150_000  # the elements of 1350 pages would be 2 MB
