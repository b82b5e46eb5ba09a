"""Wrong invocations: status 2, one line that names the cause, nothing printed, nothing written."""

from __future__ import annotations

import gzip
import os
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Run

# command line: what its one line says
CASES = {
    # ---- words
    "fill-msk x": "invalid choice: 'fill-msk'; did you mean fill-mask?",
    "ner x": "did you mean tokens?",
    "'The [MASK] sat'": "did you mean minibert fill-mask TEXT?",
    "'The cat sat'": "the command comes first",
    "--model mlm fill-mask x": "--model comes before the command; options come after it",
    "fill-mask --topk 3 x": "unrecognized arguments: --topk; did you mean --top-k?",
    "fill-mask --top_k=3 x": "did you mean --top-k?",
    "fill-mask --batch-size 0 x": "--batch-size: expected a number of at least 1, got '0'",
    "fill-mask --top-k 1.5 x": "--top-k: expected a number of at least 1, got '1.5'",
    "fill-mask --dtype float16 x": "invalid choice: 'float16' (choose from float32, float64)",
    "fill-mask --dtype flaot32 x": "did you mean float32? (choose from float32, float64)",
    "fill-mask --device gpu x": "did you mean cuda?",
    "fill-mask --targets , 'a [MASK]'": "at least one target word",
    "features --pool maen x": "did you mean mean?",
    "classify x": "required: --model, with a folder or a name on the hub of a model that was fine-tuned for this",
    "tokens x": "such as dslim/bert-base-NER",
    "answer x y": "such as deepset/",
    "classify -m classes --top-k none x": "expected a number of at least 1, or all, got 'none'",
    "classify -m classes --function sigmod x": "did you mean sigmoid?",
    "classify -m mlm x": "it needs a checkpoint of BertForSequenceClassification, such as",
    "tokens -m tokens --stride -1 x": "expected a number of at least 0, got '-1'",
    "answer -m answers only": "expected two arguments, a question and the text with the answer; got 1",
    "answer -m answers --context x --context-file t.txt q": "both with --context and with --context-file",
    "answer -m answers --context-file -": "both come from stdin",
    "answer -m answers --context-file empty q": "empty is empty",
    "answer -m answers --context-file latin q": "latin is not UTF-8: byte 0xe9 in line 2",
    "next-sentence a b c": "expected two arguments, the first and the second text; got 3",
    "tokenize --pairs a": "expected two texts with one TAB between, found 0 TABs",
    "completion ksh": "choose from bash, zsh, fish",
    "completion": "required: SHELL",
    # ---- texts
    "fill-mask": "stdin is empty",
    "fill-mask --file none": "none: No such file or directory",
    "fill-mask --file sub": "sub is a folder; expected a text file",
    "fill-mask --file empty": "empty is empty",
    "fill-mask --file binary": "binary is not text: it has NUL bytes",
    "fill-mask --file t.gz": "t.gz is compressed with gzip; decompress it first",
    "fill-mask --file utf16": "utf16 is UTF-16; convert it first",
    "fill-mask --file ''": "--file/-f: expected a path, got an empty text",
    "fill-mask --file '~no-such-user/x'": "there is no home folder ~no-such-user",
    "fill-mask --file https://example.com/x": "is a URL; expected a file: download it first",
    "fill-mask --file 'C:\\texts\\a.txt'": "folders are separated by / here",
    "fill-mask --file t.txt x": "both as arguments and with --file",
    "fill-mask --file t.txt/x": "Not a directory",
    # ---- models
    "fill-mask -m none/ x": "there is no folder none",
    "fill-mask -m t.txt x": "t.txt is a file; expected the folder",
    "fill-mask -m sub x": "sub/config.json",
    "fill-mask -m '' x": "expected a path, got an empty text",
    "fill-mask -m minibert-mini --offline x": "did you mean minibert-mini-cased?",
    "fill-mask -m https://huggingface.co/some/model/tree/main x": "expected the name alone: some/model",
    "fill-mask -m https://example.com/model x": "is a URL; expected a folder",
    "fill-mask -m 'a b' x": "nor a possible hub name",
    "fill-mask --cache-dir t.txt x": "--cache-dir: t.txt is a file; expected a folder",
    "tokenize -m none.txt x": "there is no file none.txt",
    "info t.txt": "t.txt is a file",
    "info mlm --model mlm": "both as an argument and with --model",
    "info mlm encoder": "unrecognized arguments: encoder",
    # ---- output
    "features --out x.npz x": "x.npz must end in .npy",
    "features --out .npy x": "must end in .npy, such as vectors.npy",
    "features --out none/x.npy x": "there is no folder none",
    "features --out t.txt/x.npy x": "there is no folder t.txt, it is a file",
    "features --out folder.npy x": "it is a folder",
    "features --out pipe.npy x": "it is a device or a pipe",
    "features --file t.npy --out ./t.npy": "--file and --out are the same file",
    "convert mlm": "required: TARGET",
    "convert mlm t.txt": "t.txt is a file, not a folder",
    "convert none/ out": "there is no folder none",
    "convert mlm out --dtype int8": "invalid choice: 'int8' (choose from float64",
    "convert mlm out --max-shard-size huge": "max_shard_size",
    "average mlm --out out": "two checkpoints or more",
    "average mlm mlm --out out --shares 1,x": "expected numbers with commas between",
    "average mlm mlm --out out --shares nan,1": "shares are positive numbers",
    # ---- pretraining
    "prepare sub --vocab vocab.txt --out out": "add --cased or --uncased",
    "prepare sub --vocab minibert-mini --out out": "did you mean minibert-mini-cased?",
    "prepare sub --held-out @none --out out": "none: No such file or directory",
    "prepare sub --held-out @utf16 --out out": "utf16 is UTF-16",
    "prepare sub --held-out a.txt --out out": "every document of sub is held out",
    "prepare sub --out t.txt": "t.txt exists already",
    "vocabulary sub --cased --size x --out out": "--size: expected a number of at least 1",
    "estimate min": "did you mean mini?",
    "estimate sub": "the recipe sub cannot be read: it is a folder",
    "estimate bad.toml": "bad.toml is not TOML",
    "estimate mini --set optimizer.lr=fast": "recipe mini, changed by optimizer.lr=fast: optimizer.lr must be a number",
    "estimate mini --flops fast": "--flops: expected a number above 0",
    "estimate mini --data none --no-measure": "make the folder with `minibert prepare`",
    "pretrain mini --out run": "set data.folder (--data FOLDER",
    "resume none": "none is no run",
    "evaluate --data none": "there is no such file or folder",
    "evaluate mlm --data sub --seed x": "--seed: expected an integer, got 'x'",
    # ---- bench
    "bench nosuch": "unknown workload 'nosuch'",
    "bench dense --json x.txt": "x.txt must end in .json",
    "bench dense --json none/x.json": "there is no folder none",
    "bench dense --threads 0": "--threads: expected a number of at least 1",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoints: dict[str, Path]) -> Path:
    """A folder with files of the kinds that are mistaken for others."""
    place = tmp_path_factory.mktemp("place")
    for name in ("mlm", "encoder", "classes", "tokens", "answers"):
        (place / name).symlink_to(tiny_checkpoints[name])
    for name in ("sub", "folder.npy"):
        (place / name).mkdir()
    files = {
        "t.txt": b"the cat\n",
        "t.npy": b"the cat\n",
        "empty": b"",
        "binary": bytes(range(256)) * 8,
        "t.gz": gzip.compress(b"the cat\n"),
        "utf16": "the cat\n".encode("utf-16"),
        "latin": "the\ncaf\xe9\n".encode("latin-1"),
        "bad.toml": b"seed = \n",
        "vocab.txt": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n",
        "sub/a.txt": b"The cat. It ran.\n\nThe cat slept.\n",
    }
    for name, content in files.items():
        (place / name).write_bytes(content)
    if hasattr(os, "mkfifo"):
        os.mkfifo(place / "pipe.npy")
    return place


@pytest.mark.skipif(os.name != "posix", reason="paths are written as on POSIX")
@pytest.mark.parametrize("line", list(CASES))
def test_refused_in_one_line(line: str, run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = sorted(place.rglob("*"))
    ran = run(*shlex.split(line))
    assert CASES[line] in ran.err
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith("minibert: ")
    assert "not expected" not in ran.err
    assert sorted(place.rglob("*")) == before
