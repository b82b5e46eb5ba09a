"""How many arrays a step makes: those that the formulas need, and no copies that nobody asked for."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import nullcontext

import numpy as np
import pytest

from minibert import BertConfig, BertModel, no_grad

T, H, F, N = 256, 64, 256, 4


def bytes_of_a_forward(layers: int, *, training: bool) -> tuple[int, int]:
    """Bytes that are held after a forward pass, and at its worst moment, beyond those from before.

    The least of several passes: whatever else allocates in the process meanwhile (another thread, a module that is
    imported late, a collection of garbage) only adds.
    """
    config = BertConfig(
        vocab_size=50, hidden_size=H, num_hidden_layers=layers, num_attention_heads=N, intermediate_size=F,
        max_position_embeddings=64,
    )  # fmt: skip
    model = BertModel(config).train(training)
    ids = np.arange(T).reshape(4, 64) % 50
    with nullcontext() if training else no_grad():
        model(ids)  # kernels are loaded and compiled, workers started
    gc.collect()
    tracemalloc.start()
    gc.disable()
    try:
        passes = [_bytes_of_a_pass(model, ids, training=training) for _ in range(5)]
    finally:
        gc.enable()
        tracemalloc.stop()
    return min(held for held, _ in passes), min(peak for _, peak in passes)


def _bytes_of_a_pass(model: BertModel, ids: np.ndarray, *, training: bool) -> tuple[int, int]:
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    with nullcontext() if training else no_grad():
        out = model(ids)
    after, peak = tracemalloc.get_traced_memory()
    del out
    return after - before, peak - before


def test_what_a_layer_keeps_for_backward() -> None:
    """Of (T, H): queries, keys, values, context, two products before a residual and two sums after it. Of (T, F): the
    wide product, and GELU of it. Then a few numbers a row: maxima, sums, means, deviations."""
    held = bytes_of_a_forward(3, training=True)[0] - bytes_of_a_forward(1, training=True)[0]
    arrays = (8 * T * H + 2 * T * F) * 4
    a_row = (2 * N + 4) * T * 4
    # Python's own objects of a layer (tensors, ops, holds of saved arrays) are some 40 kB; a single forgotten
    # (T, H) is 65 kB
    assert held / 2 == pytest.approx(arrays + a_row + 40_000, abs=30_000)


def test_inference_keeps_nothing_of_a_layer() -> None:
    held = bytes_of_a_forward(3, training=False)[0] - bytes_of_a_forward(1, training=False)[0]
    assert abs(held) < T * H * 4 // 2


def test_the_worst_moment_of_inference_does_not_grow_with_depth() -> None:
    two, five = (bytes_of_a_forward(layers, training=False)[1] for layers in (2, 5))
    assert abs(five - two) < T * H * 4 // 2
