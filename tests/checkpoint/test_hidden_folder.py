"""Hidden folders: removed whatever happens, by the next process at the latest, and never those of one that lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from minibert.checkpoint import Staging, hidden_folder
from minibert.checkpoint.hidden_folder import HiddenFolder, new_folder, remove_dead, scratch_folder

ROOT = Path(__file__).parents[2]


def in_another_process(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs `code` and says "ready"."""
    head = "import sys, time; from pathlib import Path; from minibert.checkpoint.hidden_folder import *\n"
    command = [sys.executable, "-c", head + code, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


MAKE = "HiddenFolder(Path(sys.argv[1]), 'thing'); print('ready', flush=True); time.sleep(60)"


@pytest.mark.skipif(os.name != "posix", reason="locks and signals are POSIX's")
def test_those_of_the_dead_are_removed_and_those_of_the_living_kept(tmp_path: Path) -> None:
    with in_another_process(MAKE, tmp_path) as other:
        try:
            mine = HiddenFolder(tmp_path, "mine")
            remove_dead(tmp_path)
            assert len(list(tmp_path.iterdir())) == 2
            mine.remove()
        finally:
            other.kill()
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / ".kept.0123abcd.part").mkdir()
    (tmp_path / ".kept.0123abcd.part" / "of another program").write_text("")
    with Staging(tmp_path) as stage:
        stage.open("file").write(b"1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".kept.0123abcd.part", "file"]


def test_where_files_cannot_be_locked_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden_folder.disk, "CAN_LOCK", False)
    left = tmp_path / ".thing.0123abcd.part"
    (left / "content").mkdir(parents=True)
    remove_dead(tmp_path)
    assert left.is_dir()
    yesterday = time.time() - 25 * 3600
    for path in (left / "content", left):
        os.utime(path, (yesterday, yesterday))
    remove_dead(tmp_path)
    assert not left.exists()


def test_a_new_folder_appears_whole_with_its_parents(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "down"

    def interrupted() -> None:
        with new_folder(target) as content:
            (content / "file").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())
    with new_folder(target) as content:
        (content / "file").write_text("1")
        assert not target.exists()
    assert [path.name for path in target.parent.iterdir()] == ["down"]
    assert (target / "file").read_text() == "1"


def test_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    with Staging(tmp_path / ("ä" * 120)) as stage:  # 240 bytes of the 255 that a name may have
        stage.open("file").write(b"1")
    assert (tmp_path / ("ä" * 120) / "file").read_text() == "1"


def test_the_scratch_folder_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    with scratch_folder("try") as folder:
        assert folder.is_dir()
        if os.name == "posix":
            assert folder.parent.stat().st_mode & 0o077 == 0
    assert not list(tmp_path.iterdir())


# ---- signals

SAVE = """
import os, signal, threading
from minibert import cleanup
from minibert.checkpoint import Staging
number, stop = int(sys.argv[2]), int(sys.argv[3])
if sys.argv[4:] == ["nohup"]:
    signal.signal(number, signal.SIG_IGN)
count = 0
def counted(real):
    def change(*arguments, **options):
        global count
        result = real(*arguments, **options)
        count += 1
        if count == stop:
            os.kill(os.getpid(), number)
        return result
    return change
for name in ("replace", "rename", "link", "symlink", "unlink", "mkdir", "rmdir", "open", "fsync"):
    setattr(os, name, counted(getattr(os, name)))
with cleanup.on_signals():
    with Staging(Path(sys.argv[1])) as stage:
        for name in ("a", "b"):
            stage.open(name).write(b"2")
        stage.remove("c")
print(count)
"""


def save_and_signal(folder: Path, number: int, stop: int, *more: str) -> tuple[int, str]:
    head = "import sys, time; from pathlib import Path\n"
    command = [sys.executable, "-c", head + SAVE, str(folder), str(int(number)), str(stop), *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_signals_at_every_step_leave_the_old_or_the_new_and_nothing_else(tmp_path: Path) -> None:
    def files(folder: Path) -> dict[str, str]:
        return {path.name: path.read_text() for path in folder.iterdir()}

    old, new = {"a": "1", "b": "1", "c": "1"}, {"a": "2", "b": "2"}
    folder = tmp_path / "folder"
    folder.mkdir()
    status, printed = save_and_signal(folder, signal.SIGTERM, 0)
    assert status == 0
    outcomes = set()
    for turn, stop in enumerate(range(1, int(printed) + 8, 3)):  # every third instant; all of them take half a minute
        for path in folder.iterdir():
            path.unlink()
        for name, text in old.items():
            (folder / name).write_text(text)
        number = (signal.SIGTERM, signal.SIGHUP)[turn % 2]
        status, _ = save_and_signal(folder, number, stop)
        assert status in (-number, 0)
        found = files(folder)
        assert found in (old, new)
        outcomes.add((status == 0, found == new))
    assert {(False, False), (False, True)} <= outcomes, "killed before the instant, and behind it"
    assert save_and_signal(folder, signal.SIGHUP, 4, "nohup")[0] == 0, "an ignored SIGHUP stays ignored"
    assert files(folder) == new
