"""Readers: every format, compressed or not; what cannot be read is named, and skipped or refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minibert.pretraining.corpus
from minibert.pretraining import Corpus, CorpusError, CorpusWarning
from minibert.pretraining.sentences import split_sentences

TEXT = "\ufeffOne line,\r\nand more. A second one!\r\n\r\n \t\r\nNew paragraph.\n\n\n"
PARAGRAPHS = ["One line, and more. A second one!", "New paragraph."]


def compress(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data)
    if suffix == ".bz2":
        return bz2.compress(data)
    if suffix == ".xz":
        return lzma.compress(data)
    if suffix == ".zst":
        zstd = pytest.importorskip("backports.zstd", reason="reading .zst needs backports.zstd before Python 3.14")
        return bytes(zstd.compress(data))
    return data


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_text(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.txt{suffix}").write_bytes(compress(TEXT.encode(), suffix))
    corpus = Corpus(tmp_path)
    (document,) = corpus
    assert (document.name, document.paragraphs) == (f"a.txt{suffix}", PARAGRAPHS)
    assert list(document.sentences()) == ["One line, and more.", "A second one!", "New paragraph."]
    assert corpus.position == corpus.size > 0


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_google(tmp_path: Path, suffix: str) -> None:
    data = b"\n\nMr. A. B. said. Done.\nTwo\n\n  \n\nOther document\r\n"
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(compress(data, suffix))
    documents = list(Corpus([path], format="google"))
    assert [list(d.sentences()) for d in documents] == [["Mr. A. B. said. Done.", "Two"], ["Other document"]]
    assert [d.name for d in documents] == [f"a.txt{suffix}#1", f"a.txt{suffix}#2"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_google_with_any_line_ends(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(end.join([b"One.", b"Two.", b"", b"", b"Three."]))
    documents = list(Corpus(tmp_path, format="google", on_error="refuse"))
    assert [d.paragraphs for d in documents] == [["One.", "Two."], ["Three."]]


def test_a_folder_of_nothing_but_archives_says_so(tmp_path: Path) -> None:
    (tmp_path / "pages.xml-p1p2.7z").write_bytes(b"7z")
    with pytest.raises(CorpusError, match=r"holds no text: .*; pages\.xml-p1p2\.7z is an archive .*; unpack it"):
        Corpus(tmp_path)


def test_folders_are_searched_in_order(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/1.txt", "a.txt", "c.md", ".hidden/x.txt", "b/10.TXT.GZ"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(b"x") if name.endswith("GZ") else b"x")
    assert [d.name for d in Corpus(tmp_path)] == ["a.txt", "b/1.txt", "b/10.TXT.GZ", "b/2.txt"]
    assert [d.name for d in Corpus(tmp_path, only=["b/*"], leave_out=["2.txt"])] == ["b/1.txt", "b/10.TXT.GZ"]
    twice = Corpus([tmp_path / "a.txt", tmp_path])
    assert [d.name for d in twice] == [d.name for d in twice]  # each time from the start


BROKEN = {
    "latin.txt": ("fa\xe7ade".encode("latin-1"), r"latin\.txt is not UTF-8 text: .* at byte 2"),
    "utf16.txt": ("text".encode("utf-16"), r"utf16\.txt is not UTF-8 text"),
    "nul.txt": (b"a\0b", r"nul\.txt is not text"),
    "empty.txt": (b"", r"empty\.txt is empty"),
    "blank.txt": (b" \n\n\t", r"blank\.txt is empty"),
    "cut.txt.gz": (gzip.compress(b"much text " * 1000)[:-20], r"cut\.txt\.gz cannot be read to its end"),
    "plain.txt.gz": (b"not compressed", r"plain\.txt\.gz cannot be read to its end"),
    "cut.txt.bz2": (bz2.compress(b"much text " * 1000)[:-20], r"cut\.txt\.bz2 cannot be read to its end"),
    "cut.txt.xz": (lzma.compress(b"much text " * 1000)[:-20], r"cut\.txt\.xz cannot be read to its end"),
    "plain.txt.xz": (b"not compressed", r"plain\.txt\.xz cannot be read to its end"),
    "plain.txt.zst": (b"not compressed", r"plain\.txt\.zst cannot be read to its end"),
}


BROKEN |= {
    "bomb.txt.gz": (gzip.compress(bytes(1 << 25)), r"bomb\.txt\.gz cannot be read .*: it expands to more than 200"),
    "bomb.txt.xz": (lzma.compress(b"ab\n\n" * (1 << 23), preset=0), r"bomb\.txt\.xz cannot be .*: it expands to more"),
    "line.txt": (b"a " * (9 << 20), r"line\.txt is not text: it has a paragraph of more than 16 MiB"),
    "long.txt": (b"a" * (33 << 20), r"long\.txt is not text: 16 MiB without a blank line"),
    "page.txt": (b" \n<!DOCTYPE html><html><body>Text.</body></html>", r"page\.txt is not .*: it is a web page"),
    "wiki.txt": (b'<doc id="12" title="A">\nA\n\nText.\n</doc>\n', r"wiki\.txt is not .*: it has WikiExtractor"),
    "lfs.txt": (b"version https://git-lfs.github.com/spec/v1\noid x\n", r"lfs\.txt is not .*: it is a Git LFS pointer"),
    "index.txt": (b"".join(b"616:%d:Page: %d\n" % (i, i) for i in range(9)), r"index\.txt is not .* index of a dump"),
    "json.txt": (b'{"id": "1", "text": "Words."}\n', r"json\.txt is not .*: it is JSON"),
    "sql.txt": (b"-- MySQL dump 10.1\nINSERT INTO `page` VALUES (1);", r"sql\.txt is not .* in SQL"),
    "utf32.txt": ("text".encode("utf-32"), r"utf32\.txt is not UTF-8 text: it is UTF-32"),
    "seven.txt": (b"7z\xbc\xaf\x27\x1c\x00\x04", r"seven\.txt is not UTF-8 text: it is a 7z archive"),
    "alone.txt": (lzma.compress(b"a", format=lzma.FORMAT_ALONE), r"alone\.txt is not .*: it is compressed with lzma"),
    "pages.xml-p1p2.7z": (b"7z", r"pages\.xml-p1p2\.7z is an archive or a compression that is not read; unpack it"),
    "texts.tar.gz": (b"", r"texts\.tar\.gz is an archive or a compression that is not read; unpack it"),
    "xml.txt": (b"<?xml version='1.0'?><TEI>Text</TEI>", r"xml\.txt is not a MediaWiki dump: .* <TEI>"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(tmp_path: Path, name: str) -> None:
    data, message = BROKEN[name]
    if name.endswith("zst"):
        pytest.importorskip("backports.zstd", reason="reading .zst needs backports.zstd before Python 3.14")
    (tmp_path / "before.txt").write_text("Before.")
    (tmp_path / name).write_bytes(data)
    (tmp_path / "z.txt").write_text("After.")
    corpus = Corpus(tmp_path)
    with pytest.warns(CorpusWarning, match=message):
        assert sorted(d.name for d in corpus) == ["before.txt", "z.txt"]
    assert len(corpus.skipped) == 1
    with pytest.raises(CorpusError, match=message):
        list(Corpus(tmp_path, on_error="refuse"))


def test_the_content_says_what_a_file_is(tmp_path: Path) -> None:
    """A dump is a dump, and compressed is compressed, whatever the name says."""
    pytest.importorskip("mwparserfromhell", reason="a dump is read with mwparserfromhell")
    dump = (
        '\ufeff<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/"><page><title>Cat</title><ns>0</ns>'
        "<revision><text>The '''cat''' sat.</text></revision></page></mediawiki>"
    ).encode()
    names = ["enwiki-pages-articles1.xml-p1p41242", "a.XML", "dump.txt", "b.xml-p10p30302"]
    for name in names:
        for suffix in ("", ".gz", ".bz2", ".xz", ".zst"):
            (tmp_path / f"{name}{suffix}").write_bytes(compress(dump, suffix))
    (tmp_path / "c.txt").write_bytes(bz2.compress(b"Plain text."))
    found = [(d.name, d.paragraphs) for d in Corpus(tmp_path, on_error="refuse")]
    assert sorted(found) == [("Cat", ["The cat sat."])] * 20 + [("c.txt", ["Plain text."])]
    (document,) = Corpus([tmp_path / "dump.txt"], format="text")  # as it is asked for
    assert document.paragraphs[0].startswith("<mediawiki")


def test_what_lies_in_a_folder_and_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.txt").write_text("Deep.")
    (tmp_path / "deep" / "around.d").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(tmp_path / "deep")
    os.mkfifo(tmp_path / "fifo.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "missing")
    (tmp_path / "zero.dat").symlink_to("/dev/zero")  # is not named like a text
    corpus = Corpus(tmp_path)
    with pytest.warns(CorpusWarning) as said:
        names = [d.name for d in corpus]
    assert names in (["a.txt", "deep/b.txt"], ["a.txt", "linked/b.txt"])  # one folder under two names is read once
    assert sorted(str(w.message) for w in said) == [
        "fifo.txt is a FIFO; left out", "gone.txt is a broken link; left out", "zero.txt is a device; left out",
    ]  # fmt: skip
    with pytest.raises(CorpusError, match=r"txt is a"):
        list(Corpus(tmp_path, on_error="refuse"))
    for path, kind in (("/dev/zero", "a device"), (tmp_path / "fifo.txt", "a FIFO")):
        with pytest.raises(CorpusError, match=f"{path} is {kind}; a corpus is read from files, more than once"):
            Corpus([path])


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    given = os.fsdecode(b"caf\xe9.txt")
    try:
        (tmp_path / given).write_text("Text.")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    for corpus in (Corpus(tmp_path), Corpus([tmp_path / given]), Corpus(tmp_path, only=[given])):
        assert [d.name for d in corpus] == [r"caf\udce9.txt"]
    assert list(Corpus(tmp_path, leave_out=[given])) == []


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(folder: str) -> object:  # root may read everything: so the refusal is simulated
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.warns(CorpusWarning, match="closed cannot be searched: Permission denied"):
        assert [d.name for d in Corpus(tmp_path)] == ["a.txt"]


def test_a_large_file_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minibert.pretraining.corpus, "LARGEST_DOCUMENT", 1000)
    monkeypatch.setattr(minibert.pretraining.corpus, "LARGEST_PARAGRAPH", 500)
    paragraphs = [f"Paragraph {i} has some words, {'more ' * (i % 20)}and ends." for i in range(100)]
    for blank in ("\n\n", "\r\n\r\n", "\r\r"):
        (tmp_path / "a.txt").write_bytes(blank.join(paragraphs).encode())
        documents = list(Corpus(tmp_path, on_error="refuse"))
        assert len(documents) > 5
        assert {d.name for d in documents} == {"a.txt"}
        assert [p for d in documents for p in d.paragraphs] == paragraphs
    (tmp_path / "a.txt").write_bytes(b"\n\n".join([b"x" * 400, b"\xff" + b"y" * 400, b"z" * 400, b"w" * 400]))
    with pytest.warns(CorpusWarning, match=r"a\.txt is not UTF-8 text"):
        assert [d.paragraphs for d in Corpus(tmp_path)] == [["z" * 400, "w" * 400]]


def test_a_line_that_does_not_end_takes_its_document_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minibert.pretraining.corpus, "LARGEST_PARAGRAPH", 100)
    (tmp_path / "a.txt").write_text(f"one\n\ntwo\n{'x' * 950}\nthree\n\n{'y' * 99}\n\nfour")
    with pytest.warns(CorpusWarning, match=r"a\.txt, line 4, is not text: it is longer"):
        documents = list(Corpus(tmp_path, format="google"))
    assert [d.paragraphs for d in documents] == [["one"], ["y" * 99], ["four"]]


def test_a_broken_line_takes_its_document_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\ntwo\nbr\xffken\nthree\n\nfour\n")
    with pytest.warns(CorpusWarning, match=r"a\.txt, line 4, is not UTF-8"):
        documents = list(Corpus(tmp_path, format="google"))
    assert [d.paragraphs for d in documents] == [["one"], ["four"]]


def test_what_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such file or folder"):
        Corpus(tmp_path / "missing")
    with pytest.raises(CorpusError, match="holds no text"):
        Corpus(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(CorpusError, match="there are auto, text, google, wikipedia"):
        Corpus(tmp_path, format="words")  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="'skip' or 'refuse'"):
        Corpus(tmp_path, on_error="ignore")  # type: ignore[arg-type]


def test_memory_does_not_grow_with_a_file_of_many_documents(tmp_path: Path) -> None:
    def peak(documents: int) -> int:
        path = tmp_path / f"{documents}.txt"
        path.write_text("".join(f"Sentence {i} of some length.\nAnother one.\n\n" for i in range(documents)))
        tracemalloc.start()
        count = sum(1 for _ in Corpus([path], format="google"))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == documents
        return most

    peak(10)  # imports
    assert peak(20_000) < peak(1000) + 50_000  # 0.9 MB of text more; a list of the documents would be 5 MB


@pytest.mark.parametrize(
    ("paragraph", "sentences"),
    [
        ("Mr. Lorry said so. He left.", ["Mr. Lorry said so.", "He left."]),
        ("“Who? Me?” he asked. “You!”", ["“Who?", "Me?” he asked.", "“You!”"]),
        ("It cost 3.5 pounds... then nothing.", ["It cost 3.5 pounds... then nothing."]),
        ("J. R. Smith (b. 1900) did. So did I. Then 12.", ["J. R. Smith (b. 1900) did.", "So did I.", "Then 12."]),
        ("Élan vital. Über alles.", ["Élan vital.", "Über alles."]),
        ("你好。世界！", ["你好。", "世界！"]),
        ("  ", []),
    ],
)
def test_sentences(paragraph: str, sentences: list[str]) -> None:
    assert split_sentences(paragraph) == sentences


@given(st.text(alphabet="aB. !?”“(）。\n1’", max_size=60))
def test_sentences_lose_nothing(paragraph: str) -> None:
    joined = "".join("".join(split_sentences(paragraph)).split())
    assert joined == "".join(paragraph.split())
