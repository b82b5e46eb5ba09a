"""Token files: what was written is read, and a folder is whole or not there; damage is named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert.pretraining import DataError, PretrainingData
from minibert.pretraining.shards import Shard, ShardWriter, new_folder, open_shards, read_index
from tests.pretraining.texts import random_documents, write_folder


def read(folder: Path) -> tuple[list[Shard], list[list[list[int]]]]:
    """The shards, and the documents as they were given."""
    shards = open_shards(folder, read_index(folder), verify=True)
    documents = []
    for shard in shards:
        for start, stop in zip(shard.documents, shard.documents[1:], strict=False):
            cuts = shard.segments[(shard.segments > start) & (shard.segments < stop)] - start
            documents.append([part.tolist() for part in np.split(shard.tokens[start:stop], cuts)])
    return shards, documents


@pytest.mark.parametrize("size", [400, 70_000])
def test_round_trip(tmp_path: Path, size: int) -> None:
    given = random_documents([50, 1, 700, 300, 20], size=size)
    given.insert(2, [[], []])  # a document without tokens leaves no trace
    folder = write_folder(tmp_path / "data", given, size=size, shard_tokens=500)
    shards, documents = read(folder)
    assert documents == [[s for s in document if s] for document in given if any(document)]
    assert [shard.tokens.dtype for shard in shards] == [np.dtype("uint16" if size == 400 else "uint32")] * 2
    assert [shard.first_token for shard in shards] == [0, 751]
    assert [shard.first_document for shard in shards] == [0, 3]
    assert [name for shard in shards for name in shard.names()] == [f"document {k}" for k in (0, 1, 3, 4, 5)]
    told = read_index(folder)
    assert (told["documents"], told["tokens"], told["vocabulary_size"]) == (5, 1071, size)
    assert all(isinstance(shard.tokens, np.memmap) and not shard.tokens.flags.writeable for shard in shards)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", random_documents([600, 500]), shard_tokens=500)


def data(folder: Path, **options: Any) -> PretrainingData:
    return PretrainingData(folder, max_length=32, seed=0, **options)


@pytest.mark.parametrize("kind", ["tokens", "segments", "documents", "names"])
def test_cut_off(folder: Path, kind: str) -> None:
    path = folder / f"shard-00001.{kind}"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match=rf"shard-00001\.{kind} has [\d,]+ bytes and should have [\d,]+: copy it again"):
        data(folder, verify=False)


@pytest.mark.parametrize("name", ["shard-00000.tokens", "shard-00001.documents", "vocab.txt"])
def test_changed(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} is not what it was .*SHA-256"):
        data(folder)


def test_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "shard-00000.segments").unlink()
    with pytest.raises(DataError, match=r"shard-00000\.segments: No such file.*; copy it again"):
        data(folder)
    (folder / "data.json").unlink()
    with pytest.raises(DataError, match="has no data.json: make the folder with `minibert prepare`"):
        data(folder)
    with pytest.raises(DataError, match=r"vocab\.txt is a file, and prepared data is a folder"):
        read_index(folder / "vocab.txt")
    with pytest.raises(DataError, match="has no data.json"):
        data(tmp_path / "nowhere")


def test_other_things_in_its_place(folder: Path) -> None:
    index = folder / "data.json"
    told = json.loads(index.read_text())
    index.write_text(json.dumps({**told, "skipped": 1}))
    with pytest.raises(DataError, match=r"data.json is damaged: copy it again"):  # its own digest tells
        data(folder)
    del told["digest"]  # as earlier versions wrote it
    index.write_text(json.dumps(told))
    data(folder)
    for text, message in (
        ("{", "data.json is not JSON: .*: copy it again"),
        ("[]", "holds a JSON list"),
        (json.dumps({**told, "format": "x"}), "does not describe prepared data"),
        (json.dumps({**told, "version": 99}), "is of version 99, and this minibert reads version 1"),
        (json.dumps({**told, "tokens": told["tokens"] + 1}), "does not tell what the shards hold: copy it again"),
        (json.dumps({**told, "documents": 3}), "does not tell what the shards hold"),
        (json.dumps({**told, "dtype": "uint17"}), "data.json is damaged: copy it again"),
        (json.dumps({**told, "tokens": "many"}), "is damaged"),
        (json.dumps({**told, "tokenizer": None}), "is damaged"),
        (json.dumps({**told, "shards": [{}]}), "is damaged"),
        (json.dumps({**told, "shards": [*told["shards"], None]}), "is damaged"),
    ):
        index.write_text(text)
        with pytest.raises(DataError, match=message):
            data(folder)


def test_the_fingerprint_is_the_contents(folder: Path, tmp_path: Path) -> None:
    again = shutil.copytree(folder, tmp_path / "copy")
    assert data(folder).fingerprint == data(again).fingerprint
    other = write_folder(tmp_path / "other", random_documents([600, 500], seed=1), shard_tokens=500)
    assert data(folder).fingerprint != data(other).fingerprint


def test_nothing_is_written_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match="cannot write .*data: No space left on device"):
        write_folder(tmp_path / "data", random_documents([600]))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with new_folder(tmp_path / "data") as hidden:
            ShardWriter(hidden, 400, shard_tokens=1).add("x", [[5]])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_folders_on_the_way_go_with_it(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()

    def failing() -> None:
        with new_folder(tmp_path / "there" / "new" / "newer" / "data"):
            raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        failing()
    assert list((tmp_path / "there").iterdir()) == []
    write_folder(tmp_path / "there" / "new" / "newer" / "data", random_documents([600]))
    assert [path.name for path in (tmp_path / "there").rglob("data.json")] == ["data.json"]


def test_a_folder_of_prepared_folders_names_them(folder: Path) -> None:
    with pytest.raises(DataError, match="holds prepared folders: name one of them, .*data$"):
        data(folder.parent)


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").touch()
    with pytest.raises(DataError, match="exists already"):
        write_folder(tmp_path / "data", random_documents([600]))
    assert os.listdir(tmp_path / "data") == ["mine"]
    (tmp_path / "empty").mkdir()
    assert data(write_folder(tmp_path / "empty", random_documents([600, 600]))).tokens == 1200
