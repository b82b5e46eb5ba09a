"""Readers: every format, compressed or not; what cannot be read is named, and skipped or refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
