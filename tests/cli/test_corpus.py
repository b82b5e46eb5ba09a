"""vocabulary and prepare, from the shell's side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("tokenizers", reason="vocabularies are trained by the tokenizers library")

from minibert import BertTokenizer
from minibert.cli import main
from minibert.pretraining import PretrainingData


@pytest.fixture
def books(tmp_path: Path) -> Path:
    (tmp_path / "books").mkdir()
    for k in range(4):
        text = "\n\n".join(f"Chapter {n} of the book. The Cat sat on the mat. It was late." for n in range(20 + k))
        (tmp_path / "books" / f"{k}.txt").write_text(text)
    return tmp_path / "books"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_texts_to_examples(books: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tmp_path / "names.txt"
    names.write_text("3.txt\n\n")
    (books / "broken.txt").write_bytes(b"\xff")
    held_out = ("--held-out", f"@{names}")
    assert run("vocabulary", books, "--size", 80, "--cased", "--out", tmp_path / "v", "--json", *held_out) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["tokens"] == len(BertTokenizer.from_pretrained(tmp_path / "v")) <= 80
    assert "broken.txt is not UTF-8 text" in out.err
    assert out.err.count("\n") == 1
    assert run("prepare", books, "--vocab", tmp_path / "v", "--out", tmp_path / "data", *held_out) == 0
    told = capsys.readouterr().out
    assert f"wrote {tmp_path / 'data' / 'train'}" in told
    assert f"wrote {tmp_path / 'data' / 'held-out'}" in told
    data = PretrainingData(tmp_path / "data" / "train", max_length=32, seed=0)
    assert data.documents == 3
    assert data.epoch(0).batch(0, 4)["input_ids"].shape[0] == 4
    options = ("--vocab", tmp_path / "v" / "vocab.txt", "--cased", "--json", "--shard-tokens", 100)
    assert run("prepare", books, "--out", tmp_path / "all", *options) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["documents"], told["shards"]) == (4, 4)
    assert len(told["skipped"]) == 1


def test_the_vocabulary_of_the_model_that_comes_along(books: Path, tmp_path: Path) -> None:
    from minibert.models import MINI

    assert run("prepare", books, "--vocab", MINI, "--out", tmp_path / "data", "--quiet") == 0
    theirs, ours = (BertTokenizer.from_pretrained(name) for name in (tmp_path / "data", MINI))
    assert theirs.get_vocab() == ours.get_vocab()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vocabulary", "BOOKS", "--out", "V"], "one of the arguments --cased --uncased is required"),
        (["vocabulary", "BOOKS", "--cased", "--out", "V", "--size", "6"], "at least 7 tokens"),
        (["vocabulary", "NOWHERE", "--cased", "--out", "V"], "no such file or folder"),
        (["vocabulary", "BOOKS", "--cased", "--out", "BOOKS/0.txt"], "is a file; --out names a folder"),
        (
            ["vocabulary", "latin.txt", "--cased", "--out", "V"],
            "no word to make a vocabulary of: latin.txt is not UTF-8",
        ),
        (
            ["prepare", "latin.txt", "empty.txt", "--vocab", "vocab.txt", "--cased", "--out", "D"],
            "has no text that can be used: latin.txt is not UTF-8 text: invalid continuation byte at byte 3, and 1",
        ),
        (["prepare", "BOOKS", "--vocab", "NOWHERE", "--out", "D"], "no such vocabulary"),
        (["prepare", "BOOKS", "--vocab", "vocab.txt", "--out", "D"], "add --cased or --uncased"),
        (["prepare", "BOOKS", "--vocab", "vocab.txt", "--cased", "--out", "BOOKS"], "exists already"),
        (["prepare", "BOOKS", "--vocab", "vocab.txt", "--cased", "--out", "D", "--held-out", "x"], "no document"),
        (["prepare", "BOOKS", "--vocab", "vocab.txt", "--cased", "--out", "D", "--held-out", "@x"], "No such file"),
        (["prepare", "BOOKS", "--vocab", "vocab.txt", "--cased", "--out", "D", "--format", "html"], "invalid choice"),
    ],
)
def test_errors_are_one_line(
    books: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    books.rename("BOOKS")
    Path("vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nthe\n")
    Path("latin.txt").write_bytes("café noir".encode("latin-1"))
    Path("empty.txt").touch()
    assert main(arguments) == 2
    out = capsys.readouterr()
    assert message in out.err
    assert (out.out, out.err.count("\n")) == ("", 1)
    assert not Path("D").exists()
    assert not Path("V").exists()
