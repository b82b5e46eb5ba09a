"""Where compiled code is kept, what may be read there, and which generations are removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from minibert.kernels.cpu import cache_files
from minibert.kernels.cpu.cache_files import DAY, Generation, Place, places

NAME = "minibert-cpu-" + "0" * 16


def _write(generation: Generation, name: str = "one.nbi") -> Path:
    generation.write(name, b"data")
    assert list(generation.read(name)) == [b"data"]
    assert generation.folder is not None
    return generation.folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_folder_that_is_named(tmp_path: Path, home: Path) -> None:
    folder = _write(Generation(NAME, places(str(tmp_path / "given" / "deep"), tmp_path)))
    assert folder == tmp_path / "given" / "deep" / NAME
    assert folder.stat().st_mode & 0o022 == 0


def test_a_named_folder_that_others_write_has_one_folder_for_each_user(tmp_path: Path, home: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    folder = _write(Generation(NAME, places(str(shared), tmp_path)))
    assert folder == shared / f"minibert-{os.geteuid()}" / NAME
    assert [p.stat().st_mode & 0o777 for p in (folder, folder.parent)] == [0o700, 0o700]


def test_beside_the_sources(tmp_path: Path, home: Path) -> None:
    assert _write(Generation(NAME, places("", tmp_path))) == tmp_path / "__pycache__" / NAME


def test_at_home_where_the_sources_cannot_be_written(tmp_path: Path, home: Path) -> None:
    (tmp_path / "__pycache__").touch()
    folder = _write(Generation(NAME, places("", tmp_path)))
    assert folder == home / ".cache" / "minibert" / "kernels" / NAME
    assert [p.stat().st_mode & 0o777 for p in (folder, *folder.parents[:2])] == [0o700] * 3


def test_nowhere(tmp_path: Path, home: Path) -> None:
    (tmp_path / "__pycache__").touch()
    (home / ".cache").touch()
    generation = Generation(NAME, places(str(tmp_path / "__pycache__" / "given"), tmp_path))
    assert generation.folder is None
    assert list(generation.read("one.nbi")) == []
    with pytest.raises(OSError, match="no folder"):
        generation.write("one.nbi", b"data")


def test_another_users_home_is_left_alone(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under sudo, which may keep HOME."""
    monkeypatch.setattr(cache_files, "_user", lambda: 12345)
    if os.geteuid() == 0:
        os.chown(home, 54321, 54321)
    assert places("", tmp_path) == [Place(tmp_path / "__pycache__", 0o755)]


def test_a_folder_that_brings_code_and_cannot_be_written_is_read_first(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = _write(Generation(NAME, places("", tmp_path)))
    can_write = cache_files._can_write
    monkeypatch.setattr(cache_files, "_can_write", lambda path: path != brought and can_write(path))
    generation = Generation(NAME, places("", tmp_path))
    assert list(generation.read("one.nbi")) == [b"data"]
    assert not (home / ".cache").exists(), "to read makes no folder"
    folder = _write(generation, "two.nbi")
    assert home in folder.parents


def test_files_without_a_trusted_writer(tmp_path: Path, home: Path) -> None:
    generation = Generation(NAME, places("", tmp_path))
    folder = _write(generation)
    for mode in (0o664, 0o646):
        (folder / "one.nbi").chmod(mode)
        assert list(generation.read("one.nbi")) == []
    (folder / "one.nbi").chmod(0o644)
    folder.chmod(0o775)
    assert list(generation.read("one.nbi")) == []
    with pytest.raises(PermissionError):
        generation.write("two.nbi", b"")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = Generation(NAME, places("", tmp_path))
    folder = _write(generation)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        generation.write("two.nbi", b"data")
    assert [p.name for p in folder.iterdir()] == ["one.nbi"]


def test_generations_that_have_not_been_used_lately_are_removed(tmp_path: Path, home: Path) -> None:
    def used(number: int, days: float, prefix: str = "minibert-cpu-") -> Path:
        folder = tmp_path / "__pycache__" / f"{prefix}{number:016x}"
        folder.mkdir(parents=True)
        (folder / "one.nbc").touch()
        os.utime(folder, (time.time() - days * DAY,) * 2)
        return folder

    today = [used(n, 0.5) for n in range(1, 13)]  # even if they are many
    recent = used(20, 3)
    others = used(21, 99, "minibert-pretraining-"), used(22, 99, "somebody-")
    _write(Generation(NAME, places("", tmp_path)))
    assert not recent.exists()
    assert all(folder.exists() for folder in (*today, *others))

    for folder in today:
        os.utime(folder, (time.time() - 3 * DAY,) * 2)
    old = used(23, 40)
    _write(Generation(NAME[:-1] + "f", places("", tmp_path)))
    assert not old.exists()
    assert sum(folder.exists() for folder in today) == 2 * cache_files.KEPT - 1, "and the one before this"


def test_a_generation_in_use_is_marked(tmp_path: Path, home: Path) -> None:
    folder = _write(Generation(NAME, places("", tmp_path)))
    os.utime(folder, (time.time() - 20 * DAY,) * 2)
    assert list(Generation(NAME, places("", tmp_path)).read("one.nbi")) == [b"data"]
    assert time.time() - folder.stat().st_mtime < DAY
