"""Progress of commands over many texts: on a terminal only, and never among the answers."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from minibert.cli import main, progress


class Terminal(io.StringIO):
    """A terminal to write to."""

    def isatty(self) -> bool:
        return True


def watch(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal for stderr, on which progress is shown at once."""
    monkeypatch.setattr(progress, "SHOWN_AFTER", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    return stream


@pytest.mark.parametrize("to_a_file", [False, True])
def test_shown_and_taken_away(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_checkpoints: dict[str, Path],
    tmp_path: Path,
    to_a_file: bool,
) -> None:
    terminal = watch(monkeypatch)
    (tmp_path / "texts").write_text("the cat\n" * 20)
    command = ["features", "-m", str(tiny_checkpoints["encoder"]), "--pool", "mean", "--file", str(tmp_path / "texts")]
    assert main([*command, *(["--out", str(tmp_path / "x.npy")] if to_a_file else ["--json"])]) == 0
    shown = terminal.getvalue()
    assert "8 texts (100%)" in shown  # of what was read: all of it at once
    assert "20 texts (100%)" in shown
    assert shown.endswith("\r\x1b[K")
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["convert", "average"])
def test_tensors_written(
    monkeypatch: pytest.MonkeyPatch, tiny_checkpoints: dict[str, Path], tmp_path: Path, command: str
) -> None:
    terminal = watch(monkeypatch)
    model, target = str(tiny_checkpoints["mlm"]), str(tmp_path / "new")
    arguments = ["convert", model, target] if command == "convert" else ["average", model, model, "--out", target]
    assert main(arguments) == 0
    count = int(terminal.getvalue().split(" of ")[1].split()[0])
    assert [f"{k} of {count} tensors written" in terminal.getvalue() for k in range(count)] == [True] * count
    assert terminal.getvalue().endswith("\r\x1b[K")
    terminal.truncate(0)
    terminal.seek(0)
    assert main([*arguments, "--quiet"]) == 0
    assert terminal.getvalue() == ""


def test_not_shown(tiny_checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    command = ["tokenize", "-m", str(tiny_checkpoints["mlm"]), "the cat", "a dog"]
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert main(command) == 0
    assert "2 texts" in terminal.getvalue()
    terminal.truncate(0)
    assert main([*command, "--quiet"]) == 0
    monkeypatch.setattr("sys.stdout", Terminal())  # the answers are the progress
    assert main(command) == 0
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert main(command) == 0
    assert terminal.getvalue() == ""
