"""OpenBLAS's kernels are chosen before NumPy loads, once, and only where its own choice is known to be bad."""

from __future__ import annotations

import sys

import pytest

from minibert import _blas

ZEN5 = {"vendor_id": "AuthenticAMD", "cpu family": "26", "flags": "fpu avx512f avx512dq avx512bw avx512vl"}


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (ZEN5, "SkylakeX"),
        ({**ZEN5, "cpu family": "25"}, None),
        ({**ZEN5, "vendor_id": "GenuineIntel"}, None),
        ({**ZEN5, "flags": "fpu avx2"}, None),
        ({}, None),
    ],
)
def test_choice(monkeypatch: pytest.MonkeyPatch, processor: dict[str, str], expected: str | None) -> None:
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(_blas, "_first_processor", lambda: processor)
    _blas.choose_kernels()
    assert _blas.os.environ.get("OPENBLAS_CORETYPE") == expected
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)


def test_what_is_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setattr(_blas, "_first_processor", lambda: ZEN5)
    _blas.choose_kernels()
    assert _blas.os.environ["OPENBLAS_CORETYPE"] == "Haswell"


def test_too_late_once_numpy_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", sys)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(_blas, "_first_processor", lambda: ZEN5)
    _blas.choose_kernels()
    assert "OPENBLAS_CORETYPE" not in _blas.os.environ
