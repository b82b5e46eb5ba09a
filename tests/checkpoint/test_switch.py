"""Files of a folder replaced at one instant: kills, readers meanwhile, links, and systems without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import BertModel
from minibert.checkpoint import CheckpointError, Staging, read_weights, switch
from minibert.checkpoint.consistent import read_consistently
from tests import tiny

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and kills are POSIX's")
KILLS = "60"  # `make save-kills` has 400


def write(folder: Path, files: dict[str, str], gone: tuple[str, ...] = ()) -> None:
    with Staging(folder) as stage:
        for name, text in files.items():
            stage.open(name).write(text.encode())
        for name in gone:
            stage.remove(name)


def texts(folder: Path) -> dict[str, str]:
    """Everything that is in the folder now; a link would say so."""
    return {
        path.name: path.read_text() if not path.is_symlink() else f"-> {os.readlink(path)}" for path in folder.iterdir()
    }


def test_kills_during_saves_over_a_checkpoint() -> None:
    command = [sys.executable, "-m", "tests.checkpoint.save_kills", "--kills", KILLS]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    table = json.loads(done.stdout)
    assert sum(row["kills"] for row in table.values()) == int(KILLS)
    assert sum(row["old"] + row["new"] for row in table.values()) == int(KILLS)


def test_files_replaced_added_and_removed(tmp_path: Path) -> None:
    write(tmp_path, {"a": "1", "b": "1", "c": "1"})
    (tmp_path / "mine").write_text("mine")
    write(tmp_path, {"a": "2", "d": "2"}, gone=("b", "never there"))
    assert texts(tmp_path) == {"a": "2", "c": "1", "d": "2", "mine": "mine"}


def test_what_another_process_saves_meanwhile_is_replaced_whole(tmp_path: Path) -> None:
    """Its files that this save does not have would be mixed with the new ones."""
    (tmp_path / "old").mkdir()
    for folder in (tmp_path / "new", tmp_path / "old"):
        with Staging(folder) as stage:
            stage.open("config").write(b"2")
            stage.open("model-1").write(b"2")
            stage.remove_matching(lambda name: name.startswith("model"))
            write(folder, {"config": "1", "model": "1", "other": "1"})
        assert texts(folder) == {"config": "2", "model-1": "2", "other": "1"}


def test_a_folder_by_a_link_and_as_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", {"a": "1", "b": "1"})
    monkeypatch.chdir(tmp_path / "real")
    number = (tmp_path / "real").stat().st_ino
    write(Path(), {"a": "2", "b": "2"})
    assert texts(tmp_path / "real") == {"a": "2", "b": "2"}
    assert Path.cwd().stat().st_ino == number, "the folder is still the same one"


def test_files_that_are_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the hub's cache; what they point to is not changed, and after a failure they are there again."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (tmp_path / "blob").write_text("1")
    (folder / "a").symlink_to("../blob")
    (folder / "b").symlink_to(tmp_path / "blob")
    before = texts(folder)
    seen: list[str] = []
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        replace(source, target)
        if Path(target) == folder / "b" and not seen:
            seen.extend((folder / name).read_text() for name in ("a", "b"))
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            write(folder, {"a": "2", "b": "2"})
    assert seen == ["1", "1"], "in the middle they read as before"
    assert texts(folder) == before
    write(folder, {"a": "2", "b": "2"})
    assert texts(folder) == {"a": "2", "b": "2"}
    assert (tmp_path / "blob").read_text() == "1"


def test_where_files_cannot_have_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    write(tmp_path, {"a": "1", "b": "1"})
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        write(tmp_path, {"a": "2"}, gone=("b",))
    assert texts(tmp_path) == {"a": "2"}


def test_where_there_are_no_symbolic_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half done, the folder is a mixture for other programs; a reader here, and the next save, complete it."""

    class Killed(BaseException):
        pass

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    def die(hidden: Path) -> None:
        raise Killed

    write(tmp_path, {"a": "1", "b": "1", "c": "1"})
    monkeypatch.setattr(os, "symlink", refuse)
    write(tmp_path, {"a": "2", "b": "2"}, gone=("c",))
    assert texts(tmp_path) == {"a": "2", "b": "2"}
    for complete in (lambda: read_consistently(tmp_path, ["a"], lambda: None), lambda: write(tmp_path, {"z": "4"})):
        with monkeypatch.context() as patch:
            patch.setattr(switch, "settle", die)
            with pytest.raises(Killed):
                write(tmp_path, {"a": "3", "b": "3"})
        (hidden,) = tmp_path.glob(".save.*.part")
        os.replace(hidden / "new" / "a", tmp_path / "a")
        complete()
        assert (tmp_path / "b").read_text() == "3"
        assert not list(tmp_path.glob(".*"))
        write(tmp_path, {"a": "2", "b": "2"})


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match="link is a link to a folder that is not there"):
        write(tmp_path / "link", {"a": "1"})
    assert os.listdir(tmp_path) == ["link"]


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    write(tmp_path, {"a": "1"})
    (tmp_path / "b").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path, {"a": "2", "b": "2"})
    assert (tmp_path / "a").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_readers_meanwhile_see_the_old_or_the_new(tmp_path: Path) -> None:
    """One thread saves two models in turn, one loads: config and weights always fit each other."""
    models = [tiny.model(BertModel, seed=seed, dtype="float32", layer_norm_eps=10.0**-seed) for seed in (3, 5)]
    models[0].save_pretrained(tmp_path)
    stop = threading.Event()

    def save() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            models[turn % 2].save_pretrained(tmp_path, max_shard_size=None if turn % 2 else 4000)

    thread = threading.Thread(target=save)
    thread.start()
    try:
        for _ in range(30):
            found = BertModel.from_pretrained(tmp_path)
            which = models[[1e-3, 1e-5].index(found.config.layer_norm_eps)]
            for name, array in which.state_dict().items():
                np.testing.assert_array_equal(found.state_dict()[name], array)
    finally:
        stop.set()
        thread.join()
    assert set(read_weights(tmp_path)) == set(models[0].state_dict())


def test_what_never_stands_still_is_refused(tmp_path: Path) -> None:
    def read() -> None:
        (tmp_path / "a").write_text("x" * (1 + len((tmp_path / "a").read_text())))

    (tmp_path / "a").write_text("")
    with pytest.raises(CheckpointError, match="is written over again and again"):
        read_consistently(tmp_path, ["a"], read)
