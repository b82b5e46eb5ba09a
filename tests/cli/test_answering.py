"""Texts as they arrive: answered at once, in constant memory, and a bad one in its place among the good ones."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert.cli import main, signals
from minibert.cli.errors import CommandError
from minibert.cli.reading import LONGEST_LINE, Texts
from tests.cli.conftest import EndlessInput, Ran, Run

ROOT = Path(__file__).parents[2]
BOM = b"\xef\xbb\xbf"


def test_a_bad_line_has_its_place_among_the_good_ones(run: Run, tiny_checkpoints: dict[str, Path]) -> None:
    lines = [b"a [MASK]", b"", b"th\xe9 [MASK]", b"a \x00 [MASK]", b"a" * (LONGEST_LINE + 5), b"no mask", b"the [MASK]"]
    ran = run("fill-mask", "-m", tiny_checkpoints["mlm"], "--json", stdin=BOM + b"\r\n".join(lines))
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.status == 1
    assert ["predictions" in answer for answer in answers] == [True, *[False] * 5, True]
    assert [answer.get("line") for answer in answers] == [None, 2, 3, 4, 5, 6, None]
    assert answers[0]["text"] == "a [MASK]"  # without the byte order mark
    said = ran.err.splitlines()
    assert [line.split(":")[1] for line in said] == [f" stdin, line {n}" for n in (2, 3, 4, 5, 6)]
    for line, what in zip(
        said, ("No mask_token", "byte 3 (0xe9)", "byte 3 is NUL", "1,048,582 bytes", "No mask"), strict=True
    ):
        assert what in line


def test_a_bad_line_in_tables(run: Run, tiny_checkpoints: dict[str, Path]) -> None:
    ran = run("fill-mask", "-m", tiny_checkpoints["mlm"], "--top-k", 1, "a [MASK]", "the cat", "the [MASK]")
    assert (ran.status, ran.err.count("\n")) == (1, 1)
    assert ran.err.startswith("minibert: argument 2: No mask_token")
    tables = ran.out.split("\n\n")
    assert [table.splitlines()[0] for table in tables] == ["a [MASK]", "the cat", "the [MASK]"]
    assert tables[1].splitlines()[1].startswith("  not answered: No mask_token")
    ran = run("next-sentence", "-m", tiny_checkpoints["next"], stdin=b"a\tb\n\na b\nc\td\n")
    assert [line.split()[0] for line in ran.out.splitlines()[2:4]] == ["not", "not"]
    assert "line 2: expected two texts with one TAB between, the line is blank" in ran.err
    assert "line 3: expected two texts with one TAB between, found 0 TABs" in ran.err


@pytest.mark.parametrize(
    ("texts", "status"),
    [(["a [MASK]", "the [MASK]"], 0), (["a [MASK]", "the"], 1), (["a", "the"], 2), (["the"], 2)],
)
def test_status(run: Run, tiny_checkpoints: dict[str, Path], texts: list[str], status: int) -> None:
    ran = run("fill-mask", "-m", tiny_checkpoints["mlm"], *texts)
    assert ran.status == status
    assert ran.err.count("\n") == sum("[MASK]" not in text for text in texts)
    if len(texts) == 1:
        assert ran.out == ""


def test_text_without_an_answer_is_nan_in_an_array(run: Run, tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    for pool in ("mean", "none"):
        target = tmp_path / f"{pool}.npy"
        command = ["features", "-m", tiny_checkpoints["encoder"], "--pool", pool, "--out", target]
        ran = run(*command, stdin=b"a\n\xff\nthe cat\n")
        assert ran.status == 1
        assert "line 2: byte 1 (0xff) is not UTF-8" in ran.err
        array = np.load(target)
        assert array.shape == ((3, 12) if pool == "mean" else (3, 4, 12))
        np.testing.assert_array_equal(np.isnan(array).all(axis=tuple(range(1, array.ndim))), [False, True, False])
        assert np.isfinite(array[[0, 2]]).all()
        before = target.read_bytes()
        assert run(*command, stdin=b"\xff\n").status == 2
        assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mean.npy", "none.npy"]


@pytest.mark.parametrize("content", [b"\x00", b"a"])
def test_endless_input_ends(run: Run, tiny_checkpoints: dict[str, Path], content: bytes) -> None:
    ran = run("tokenize", "-m", tiny_checkpoints["mlm"], stdin=EndlessInput(content))
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ("NUL" if content == b"\x00" else "line 1 has no end within 64 MB") in ran.err


def test_noise_is_no_text(run: Run, tiny_checkpoints: dict[str, Path]) -> None:
    noise = np.random.default_rng(0).bytes(1 << 14)
    ran = run("tokenize", "-m", tiny_checkpoints["mlm"], stdin=noise)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "stdin is not text" in ran.err


@pytest.mark.parametrize("text", ["BZh, said the bee", "%PDF-1.7 is a version", "\u00e9" * 40_000])
def test_text_that_begins_like_another_format(run: Run, tiny_checkpoints: dict[str, Path], text: str) -> None:
    ran = run("tokenize", "-m", tiny_checkpoints["mlm"], "--json", stdin=text.encode())
    assert (ran.status, json.loads(ran.out)["text"]) == (0, text)


def test_memory_does_not_grow_with_the_number_of_lines() -> None:
    class Lines(io.RawIOBase):
        """50,000 lines of 40 bytes."""

        left = 50_000 * 40

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            size = min(len(buffer), self.left, 40 * 1000)
            buffer[:size] = (b"x" * 39 + b"\n") * (size // 40)
            self.left -= size
            return size

    texts = Texts(argparse.Namespace(text=["x"], file=None), 128)
    texts._arguments, texts._file, texts.name = [], Lines(), "lines"
    tracemalloc.start()
    try:
        counted = sum(len(stretch) for stretch in texts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counted == 50_000
    assert peak < 1 << 20  # the lines themselves have 2 MB; a block has 64 kB, its lines with their names some more


def test_only_a_byte_order_mark_is_no_line(tmp_path: Path) -> None:
    (tmp_path / "mark").write_bytes(BOM)
    with ExitStack() as resources, pytest.raises(CommandError, match="mark is empty"):
        list(Texts(argparse.Namespace(text=[], file=str(tmp_path / "mark"), resources=resources), 8))


def test_the_home_folder_in_options(
    run: Run, tiny_checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "texts").write_bytes(BOM + b"the cat\r\n")
    (tmp_path / "model").symlink_to(tiny_checkpoints["encoder"])
    ran = run("features", "--model=~/model", "--file=~/texts", "--out=~/x.npy", "--pool=mean")
    assert (ran.status, ran.err) == (0, "")
    assert np.load(tmp_path / "x.npy").shape == (1, 12)
    assert run("features", "--model=~/model", "--file=~/texts", "--out=~/x.npy").status == 0  # over the old one
    assert run("convert", "~/model", "~/new").status == 0
    assert run("info", "~/new").status == 0


# ---- as a process


@pytest.fixture
def pipe(tiny_checkpoints: dict[str, Path]) -> Iterator[subprocess.Popen[bytes]]:
    """tokenize in a pipe that stays open; it has answered one line."""
    command = [sys.executable, "-m", "minibert", "tokenize", "--json", "-m", str(tiny_checkpoints["mlm"])]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, **streams) as process:  # type: ignore[call-overload]
        process.stdin.write(b"the cat\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == "the cat"
        yield process
        process.kill()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize(
    ("number", "status", "said"), [("SIGINT", 130, b"minibert: interrupted\n"), ("SIGTERM", -15, b"")]
)
def test_a_signal_loses_no_answer(pipe: Any, number: str, status: int, said: bytes) -> None:
    pipe.stdin.write(b"the dog\n" * 20 + b"a [MA")  # the last line has no end yet
    pipe.stdin.flush()
    answers = [json.loads(pipe.stdout.readline())["text"] for _ in range(20)]
    pipe.send_signal(getattr(signal, number))
    out, err = pipe.communicate(timeout=60)
    assert answers == ["the dog"] * 20
    assert (pipe.returncode, out, err) == (status, b"", said)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe(run: Run, tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = subprocess.Popen(["sh", "-c", f"printf 'the cat\\na' > '{tmp_path / 'pipe'}'"])
    ran: Ran = run("tokenize", "-m", tiny_checkpoints["mlm"], "--json", "--file", tmp_path / "pipe")
    assert writer.wait(60) == 0
    assert [json.loads(line)["text"] for line in ran.out.splitlines()] == ["the cat", "a"]


def test_python_m_minibert() -> None:
    done = subprocess.run([sys.executable, "-m", "minibert", "--version"], capture_output=True, check=True, timeout=60)
    assert done.stdout.startswith(b"minibert 0.")


def test_main_leaves_the_warnings_filter_alone(capsys: pytest.CaptureFixture[str]) -> None:
    import warnings

    before = list(warnings.filters), warnings.showwarning
    assert main(["info", "no/such/folder"]) == 2
    assert (list(warnings.filters), warnings.showwarning) == before


def test_a_lost_interrupt_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost:
        def __del__(self) -> None:
            signals._raise(signal.SIGINT, None)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(signals, "_arrived", False)
    monkeypatch.setattr("sys.unraisablehook", signals._report_unraisable)
    try:
        signals.check()
        lost = Lost()
        del lost  # its exception goes nowhere
        with pytest.raises(KeyboardInterrupt):
            signals.check()
    finally:
        signal.signal(signal.SIGINT, before)
