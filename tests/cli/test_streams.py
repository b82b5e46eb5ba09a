"""Standard streams that are closed, full, or not what they should be: at most one line, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="redirections are a POSIX shell's")
ROOT = Path(__file__).parents[2]


def shell(tiny_checkpoints: dict[str, Path], arguments: str, redirections: str) -> subprocess.CompletedProcess[bytes]:
    command = (
        f"exec '{sys.executable}' -m minibert tokenize --json -m '{tiny_checkpoints['mlm']}' {arguments} {redirections}"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(["sh", "-c", command], capture_output=True, timeout=120, check=False, env=environment)


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(tiny_checkpoints: dict[str, Path], redirections: str) -> None:
    done = shell(tiny_checkpoints, "'the cat'", redirections)
    assert (done.returncode, done.stderr) == (0, b"")
    if ">&-" not in redirections.replace("2>&-", ""):
        assert json.loads(done.stdout)["text"] == "the cat"


def test_nothing_to_read_from_a_closed_stdin(tiny_checkpoints: dict[str, Path]) -> None:
    done = shell(tiny_checkpoints, "", "<&-")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert done.stderr.startswith(b"minibert: stdin is empty")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("redirections", [">/dev/full", ">/dev/full 2>/dev/full", "1</dev/null"])
def test_streams_that_cannot_be_written(tiny_checkpoints: dict[str, Path], redirections: str) -> None:
    done = shell(tiny_checkpoints, "'the cat'", redirections)
    assert done.returncode == 2
    if "2>" not in redirections:
        assert done.stderr.startswith(b"minibert: cannot write to stdout: ")
        assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("option", ["--help", "--version", "tokenize --help"])
def test_help_that_cannot_be_written(option: str) -> None:
    command = f"exec '{sys.executable}' -m minibert {option} > /dev/full"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=120, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith(b"minibert: cannot write to stdout: ")
    assert done.stderr.count(b"\n") == 1


def test_an_argument_in_a_locale_without_its_letters(tiny_checkpoints: dict[str, Path]) -> None:
    """Python then hands over the bytes, which are UTF-8 all the same."""
    arguments = ["tokenize", "--json", "-m", str(tiny_checkpoints["mlm"]), "the café"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "minibert", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["text"] == "the café"


def test_an_output_that_is_also_the_input(tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "texts"
    file.write_text("the cat\n")
    done = shell(tiny_checkpoints, f"--file '{file}'", f">> '{file}'")
    assert done.returncode == 2
    assert b"is read and written at once" in done.stderr
    assert file.read_text() == "the cat\n"
