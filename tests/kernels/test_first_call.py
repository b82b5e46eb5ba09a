"""The wait for a compilation is explained: once, not for short ones, and never at the price of a failure."""

from __future__ import annotations

import io
import os
import sys

import pytest

from minibert.kernels.cpu import first_call
from minibert.kernels.cpu.cache_files import Generation


def test_long_compilations_are_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    announcer = first_call._Announcer()
    announcer.depth = 1
    announcer._say()
    announcer._say()
    assert capsys.readouterr().err.count("minibert: compiling kernels") == 1
    announcer.on_start(None)
    assert announcer.timer is None


def test_short_compilations_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    announcer = first_call._Announcer()
    announcer.on_start(None)
    announcer.on_end(None)
    announcer._say()
    assert capsys.readouterr().err == ""
    announcer.on_start(None)
    assert announcer.timer is not None
    announcer.timer.cancel()


def test_without_a_cache_the_next_start_is_not_promised_to_be_fast(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_call, "generation_of", lambda _: Generation("minibert-cpu-0", []))
    announcer = first_call._Announcer()
    announcer.depth = 1
    announcer._say()
    assert "at each start" in capsys.readouterr().err


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_closed_stderr_is_no_failure(stream: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", None if stream is None else closed)
    announcer = first_call._Announcer()
    announcer.depth = 1
    announcer._say()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_child_of_a_fork_announces_its_own_compilations() -> None:
    announcer = first_call._Announcer()
    announcer.on_start(None)  # a timer that the child does not have
    assert announcer.timer is not None
    announcer.timer.cancel()
    announcer.reset()  # as after a fork
    assert (announcer.depth, announcer.timer) == (0, None)
    announcer.on_start(None)
    assert announcer.timer is not None
    announcer.timer.cancel()
