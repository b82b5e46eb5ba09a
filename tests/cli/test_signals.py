"""Commands that are ended by a signal: nothing stays behind, and the next run removes what a SIGKILL left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines import checkpoints

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
ROOT = Path(__file__).parents[2]

# The command says when it is in the middle of its work, and waits there.
WAITING = """
import sys, time
from minibert.pretraining import shards
from minibert.checkpoint import save
from minibert.cli import main
def wait(*arguments):
    print("working", flush=True)
    time.sleep(60)
shards.ShardWriter.add = save._json = wait
sys.exit(main())
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    checkpoints.write(tmp_path / "model", "mlm")
    (tmp_path / "texts").mkdir()
    for name in ("one", "two"):
        (tmp_path / "texts" / f"{name}.txt").write_text("the cat sat on the mat. a dog ran.\n\nthe dog sings.\n")
    (tmp_path / "tmp").mkdir()
    return tmp_path


COMMANDS = {
    "prepare": ["prepare", "texts", "--vocab", "model", "--out", "new/prepared"],
    "convert": ["convert", "model", "new/out"],
    "evaluate": ["evaluate", "model", "--data", "texts"],
}


def ended(place: Path, command: str, number: int) -> int:
    """The status of a command that is sent a signal while it works."""
    environment = {**os.environ, "TMPDIR": str(place / "tmp"), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, *COMMANDS[command]],
        cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        assert left(place), "there is something to remove"
        process.send_signal(number)
        return process.wait()


def left(place: Path) -> list[str]:
    """What is there beside what was there before."""
    return sorted(str(path.relative_to(place)) for path in (*place.glob("new*"), *place.glob("tmp/*")))


@pytest.mark.parametrize("command", list(COMMANDS))
def test_signals_leave_nothing_behind(command: str, place: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        assert ended(place, command, number) == -number
        assert left(place) == []
    assert ended(place, command, signal.SIGINT) == 130
    assert left(place) == []


@pytest.mark.parametrize("command", list(COMMANDS))
def test_the_next_run_removes_what_a_kill_left(command: str, place: Path) -> None:
    assert ended(place, command, signal.SIGKILL) == -signal.SIGKILL
    assert left(place)
    environment = {**os.environ, "TMPDIR": str(place / "tmp"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "minibert.cli", *COMMANDS[command]],
        cwd=place, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list(place.glob("tmp/*"))
    assert [path.name for path in place.glob("new/*")] == [path.name for path in place.glob("new/[!.]*")]
