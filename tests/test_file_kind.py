"""Files that are not what their names say, recognised by their first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from minibert.file_kind import instead_of, kind_of


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("config.json"))
    return file.getvalue()


def _zip(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"content")
    return file.getvalue()


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


KINDS: list[tuple[str | None, bytes]] = [
    ("empty", b""),
    ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 440473133\n"),
    ("html", b"\xef\xbb\xbf  <!DOCTYPE html>\n<html>"),
    ("html", b"<html><head>"),
    ("answer", b"Entry not found"),
    ("answer", b"404: Not Found"),
    ("answer", b"Access to model some/bert is restricted. You must be authenticated to access it."),
    ("answer", b'{"error": "Repository not found"}'),
    ("answer", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
    ("gzip", gzip.compress(b"{}", mtime=0)),
    ("bzip2", bz2.compress(b"{}")),
    ("xz", lzma.compress(b"{}")),
    ("tar", _tar()),
    ("zip", _zip("config.json")),
    ("torch", _zip("archive/data.pkl")),
    ("torch", _zip("archive/data.pkl")[:40]),  # cut short
    ("torch", pickle.dumps({"a": 1}, protocol=2)),
    ("hdf5", b"\x89HDF\r\n\x1a\n" + b"x" * 100),
    ("gguf", b"GGUF" + b"x" * 100),
    ("npy", _npy()),
    ("safetensors", save({"a": np.ones(3, np.float32)})),
    (None, b'{"vocab_size": 3}'),
    (None, b"[PAD]\n[UNK]\nnot found\nthe\n"),
    (None, b"404\n403\n"),  # a list of tokens
]


@pytest.mark.parametrize(("kind", "content"), KINDS, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(KINDS)])
def test_kinds(tmp_path: Path, kind: str | None, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert kind_of(path) == kind
    assert (instead_of(path) is None) == (kind is None)
    if kind is not None:
        assert instead_of(path, kind) is None


def test_what_cannot_be_read_is_left_to_the_caller(tmp_path: Path) -> None:
    assert instead_of(tmp_path / "nothing") is None
    assert instead_of(tmp_path) is None
