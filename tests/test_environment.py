"""Environment variables: read when they are needed, refused in one sentence that names them."""

from __future__ import annotations

import numpy as np
import pytest

from minibert import backend, environment
from minibert.cli import main

WRONG = [
    ("MINIBERT_KERNELS", "sometimes", "auto, always or never"),
    ("MINIBERT_NUM_THREADS", "abc", "an integer from 1 to 1024"),
    ("OMP_NUM_THREADS", "0", "an integer from 1 to 1024"),
    ("MINIBERT_DETERMINISTIC", "yes", "1 or 0"),
    ("MINIBERT_CUDA", "please", "emulator"),
]


@pytest.fixture(autouse=True)
def _unread(monkeypatch: pytest.MonkeyPatch) -> None:
    environment.kernels_variable.cache_clear()
    for name in ("NUMBA_DISABLE_JIT", *(name for name, _, _ in WRONG)):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("name", "text", "expected"), WRONG)
def test_refused_by_the_library(monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: str) -> None:
    monkeypatch.setenv(name, text)
    switch = backend._Switch()  # made without a look at the variable
    monkeypatch.setattr(backend, "_switch", switch)
    with pytest.raises(ValueError, match=f"the environment variable {name} must be {expected}, got '{text}'"):
        backend.kernel_for("softmax", (np.zeros((100, 100), np.float32),))


@pytest.mark.parametrize(("name", "text", "expected"), WRONG)
def test_refused_by_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, text: str, expected: str
) -> None:
    """Also where the text is so short that no kernel would have run."""
    monkeypatch.setenv(name, text)
    assert main(["fill-mask", "a [MASK] ."]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"minibert: the environment variable {name} must be {expected}, got '{text}'\n"


@pytest.mark.parametrize("text", ["", " ", "auto", " auto "])
def test_blanks_and_nothing(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MINIBERT_KERNELS", text)
    assert environment.kernels_variable() == "auto"


@pytest.mark.parametrize(("text", "expected"), [("1", "never"), ("0", "auto"), ("", "auto")])
def test_without_numba_s_compiler_no_kernels_run(monkeypatch: pytest.MonkeyPatch, text: str, expected: str) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", text)
    assert environment.kernels_variable() == expected
