"""One tiny checkpoint of each kind, written once; a runner of commands in this process."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from minibert.cli import main
from tests.pipelines import checkpoints


class Ran(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


class EndlessInput(io.RawIOBase):
    """Bytes without an end and without a line end, as of /dev/zero."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = self._content * len(buffer)
        return len(buffer)


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("checkpoints")
    return {kind: checkpoints.write(top / kind, kind) for kind in checkpoints.NAMES}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command: its status and what it printed."""

    def go(*arguments: object, stdin: bytes | io.RawIOBase = b"") -> Ran:
        raw: Any = io.BytesIO(stdin) if isinstance(stdin, bytes) else io.BufferedReader(stdin)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw))
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capsys.readouterr())

    return go
