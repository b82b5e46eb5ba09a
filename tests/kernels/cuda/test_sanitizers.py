"""The kernels under ThreadSanitizer, and under AddressSanitizer with UndefinedBehaviorSanitizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minibert.kernels.cuda import adam, layer_norm, sources
from minibert.kernels.cuda.emulator.replay import SANITIZERS, Recorded, recorded, replay
from tests.kernels.cuda import test_planted_faults as planted
from tests.kernels.cuda.devices import DROPOUT, KEY, Emulator, fused, normal

RNG = np.random.default_rng(0)
KERNELS = [
    "adam", "add_layer_norm", "attention", "attention_half", "bias_gelu", "column_sums", "cross_entropy", "dropout",
    "embedding_sum", "layer_norm",
]  # fmt: skip
MASKED: dict[str, Any] = {"labels": np.array([2, -100, 11]), "ignore_index": -100}


def launches(emulator: Emulator, source: str) -> list[Recorded]:
    """A forward and a backward pass: small, since each CUDA thread is one of the system's, but over several tiles."""
    with recorded() as found:
        if source in ("attention", "attention_half"):
            dtype = np.float32 if source == "attention" else np.float16
            qkv, dcontext = normal(RNG, 3, 40, 1, 16).astype(dtype), normal(RNG, 40, 1, 16).astype(dtype)
            fused(emulator, planted.attention, "attention", [qkv], dcontext, starts=[0, 3, 40], **DROPOUT)
        elif source == "add_layer_norm":
            arrays = [normal(RNG, 5, 130), normal(RNG, 130), normal(RNG, 5, 130), normal(RNG, 130), normal(RNG, 130)]
            fused(emulator, planted.add_layer_norm, source, arrays, normal(RNG, 5, 130), eps=1e-3, **DROPOUT)
        elif source == "layer_norm":
            arrays = [normal(RNG, 70, 130), normal(RNG, 130), normal(RNG, 130)]
            fused(emulator, layer_norm, source, arrays, normal(RNG, 70, 130), eps=1e-3)
        elif source == "adam":
            step_of_adam(emulator)
        elif source in ("bias_gelu", "column_sums"):
            fused(emulator, planted.bias_gelu, "bias_gelu", [normal(RNG, 70, 9), normal(RNG, 9)], normal(RNG, 70, 9))
        elif source == "cross_entropy":
            fused(emulator, planted.cross_entropy, source, [normal(RNG, 3, 300)], np.float32(1).reshape(()), **MASKED)
        elif source == "dropout":
            fused(emulator, planted.dropout, source, [normal(RNG, 5, 10)], normal(RNG, 5, 10), p=0.3, key=KEY)
        else:
            options = {"ids": np.arange(66) % 3, "position_ids": np.arange(66) % 9, "type_ids": np.zeros(66, np.int64)}
            tables = [normal(RNG, rows, 6) for rows in (3, 9, 2)]
            fused(emulator, planted.embedding_sum, source, tables, normal(RNG, 66, 6), **options)
    assert found
    return found


def step_of_adam(emulator: Emulator) -> None:
    """A clipped step of three arrays: one of two pieces and a few numbers more, one of a single number; and skipped."""
    sizes = (adam.PIECE + 70, 1, 33)
    updates = [[emulator.array(normal(RNG, size)) for _ in "pgm"] + [emulator.array(np.ones(size, np.float32))]
               for size in sizes]  # fmt: skip
    _, factor = adam.norm_and_factor([g for _, g, _, _ in updates], 1.0)
    numbers = [(factor, 0.99, 0.9, 0.1, 0.999, 0.001, root, 1e-6, 1e-3) for root in (0.5, 0.4)]
    adam.adam_step([(*arrays, numbers, False) for arrays in updates], emulator.array(np.ones(1, np.int32)))


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize("source", KERNELS)
def test_clean(emulator: Emulator, source: str, sanitizer: str) -> None:
    for launch in launches(emulator, source):
        if launch.source == source:
            assert replay(launch, sanitizer) == "", launch.kernel


@pytest.mark.parametrize(("what", "sanitizer", "says"), [
    ("no barrier before the keys are read", "thread", "data race"),
    ("too much shared memory is used", "address", "heap-buffer-overflow"),
    ("no barrier between the halves of a sum", "thread", "data race"),
])  # fmt: skip
def test_a_planted_fault_is_seen(
    emulator: Emulator, what: str, sanitizer: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sanitizer that sees nothing anywhere would prove nothing."""
    fault = next(fault for fault in planted.FAULTS if fault.what == what)
    found = launches(emulator, fault.source)
    read = sources.read
    monkeypatch.setattr(sources, "read", lambda name: read(name).replace(fault.right, fault.wrong))
    sources.text.cache_clear()
    try:
        # A race is seen if the two threads meet within what the sanitizer remembers: mostly, not each time.
        tries = (launch for _ in range(10) for launch in found if launch.source == fault.source)
        assert any(says in replay(launch, sanitizer) for launch in tries)
    finally:
        sources.text.cache_clear()
