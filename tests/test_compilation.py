"""Warming up: what is compiled then need not be compiled later, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import event

import minibert
from minibert import compilation
from minibert.autograd import no_grad
from minibert.backend import kernels_are_on, kernels_off
from minibert.cli import main
from minibert.compilation import WarmUp, warm_up
from minibert.philox import get_state


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """The names of functions that are compiled, not found on disk, from now on."""
    names: list[str] = []

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            names.append(event.data["dispatcher"].py_func.__qualname__)

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield names


@pytest.mark.skipif(not kernels_are_on(), reason="kernels are turned off (MINIBERT_KERNELS=never)")
def test_inference_compiles_nothing_after_a_warm_up(compiled: list[str]) -> None:
    before, parts = get_state(), list[str]()
    done = warm_up(progress=parts.append)
    assert done.folder is not None
    assert done.size > 100_000
    assert parts == ["inference, float32", "single ops, float32"]
    assert get_state() == before
    compiled.clear()
    config = minibert.BertConfig(
        vocab_size=99, hidden_size=96, num_attention_heads=3, num_hidden_layers=2, intermediate_size=200
    )
    model = minibert.BertForMaskedLM(config).eval()
    with no_grad():
        for B, S in ((3, 77), (1, 5)):
            model(np.arange(B * S).reshape(B, S) % 99, output_hidden_states=True)
            model(np.arange(B * S).reshape(B, S) % 99)
    assert compiled == []


def test_what_cannot_be_compiled_is_refused() -> None:
    with pytest.raises(ValueError, match="float32 or float64, got 'float16'"):
        warm_up("float16")
    with kernels_off(), pytest.raises(ValueError, match="turned off"):
        warm_up()


@pytest.mark.parametrize("folder", [Path("/some/where"), None])
def test_the_command(folder: Path | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fake(dtype: str, *, training: bool, progress: Any) -> WarmUp:
        progress(f"training={training}, {dtype}")
        return WarmUp(folder, 0 if folder is None else 12_300_000, 4.0)

    monkeypatch.setattr(minibert, "warm_up", fake)
    assert main(["warm-up", "--training", "--dtype", "float64"]) == 0
    out, err = capsys.readouterr()
    assert err == "minibert: kernels of training=True, float64\n"
    if folder is None:
        assert len(out.splitlines()) == 1
        assert "each process compiles again" in out
    else:
        assert str(folder) in out
        assert "12.3 MB" in out
    assert main(["warm-up", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == (None if folder is None else str(folder))


def test_it_goes_through_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, str]] = []
    for name in ("_infer", "_run_ops", "_train", "_make_examples"):
        monkeypatch.setattr(compilation, name, lambda dtype, name=name: ran.append((name, dtype)))
    warm_up("float64", training=True)
    assert ran == [(name, "float64") for name in ("_infer", "_run_ops", "_train", "_make_examples")]
