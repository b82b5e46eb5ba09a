"""Compiled kernels on disk: kept while their sources stay, thrown away together when one changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from minibert.kernels.cpu import first_call


def test_compiled_code_goes_with_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first_call.py").write_text("one")
    (tmp_path / "callee.py").write_text("two")
    monkeypatch.setattr(first_call, "__file__", str(tmp_path / "first_call.py"))
    first_call.forget_what_is_stale()
    compiled = tmp_path / "__pycache__" / "kernel.nbc"
    compiled.write_bytes(b"code")
    first_call.forget_what_is_stale()
    assert compiled.exists()
    (tmp_path / "callee.py").write_text("three")
    first_call.forget_what_is_stale()
    assert not compiled.exists()
    assert sorted(p.name for p in compiled.parent.iterdir()) == ["kernels.stamp"]


def test_long_compilations_are_announced_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    announcer = first_call._Announcer()
    announcer.depth = 1
    announcer._say()
    assert capsys.readouterr().err.startswith("minibert: compiling kernels")
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
