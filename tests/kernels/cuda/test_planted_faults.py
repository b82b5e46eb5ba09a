"""Mistakes that are easily made in CUDA, planted one at a time in the kernels' own text: each must be caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from minibert.kernels.cuda import (
    adam,
    add_layer_norm,
    attention,
    bias_gelu,
    cross_entropy,
    dropout,
    embedding_sum,
    sources,
)
from minibert.kernels.cuda.emulator import EmulatorError
from minibert.ops.add_layer_norm import AddLayerNorm
from minibert.ops.attention import Attention
from minibert.ops.bias_gelu import BiasGelu
from minibert.ops.cross_entropy import CrossEntropy
from minibert.ops.dropout import Dropout
from minibert.ops.embedding_sum import EmbeddingSum
from tests.kernels.cuda.devices import DROPOUT, KEY, Emulator, explicit, fused, normal, relative_error, rms

RNG = np.random.default_rng(0)


def same(emulator: Emulator, op: Any, module: Any, arrays: list[np.ndarray], dy: np.ndarray, **options: Any) -> None:
    truth = explicit(op, arrays, dy, **options)
    for ours, exact in zip(fused(emulator, module, op.name, arrays, dy, **options), truth, strict=True):
        assert relative_error(ours, exact) < 1e-5  # as in test_attention.py and test_rows.py


def check_attention(emulator: Emulator) -> None:
    qkv, dcontext = normal(RNG, 3, 110, 2, 16), normal(RNG, 110, 2, 16)
    same(emulator, Attention, attention, [qkv], dcontext, starts=[0, 37, 110], **DROPOUT)


def check_attention_half(emulator: Emulator) -> None:
    qkv, dcontext = RNG.standard_normal((3, 110, 2, 16)), RNG.standard_normal((110, 2, 16))
    narrow, options = (qkv.astype(np.float16), dcontext.astype(np.float16)), {"starts": [0, 37, 110], **DROPOUT}
    truth = explicit(Attention, [qkv], dcontext, **options)
    rounded = explicit(Attention, [narrow[0]], narrow[1], **options)
    results = fused(emulator, attention, "attention", [narrow[0]], narrow[1], **options)
    for ours, inputs, exact in zip(results, rounded, truth, strict=True):
        assert rms(ours.astype(np.float64) - exact) <= 2 * rms(inputs - exact)


def check_add_layer_norm(emulator: Emulator) -> None:
    R, H = 40, 130
    arrays = [normal(RNG, R, H), normal(RNG, H), normal(RNG, R, H), normal(RNG, H), normal(RNG, H)]
    same(emulator, AddLayerNorm, add_layer_norm, arrays, normal(RNG, R, H), eps=1e-3, **DROPOUT)


def check_bias_gelu(emulator: Emulator) -> None:
    same(emulator, BiasGelu, bias_gelu, [normal(RNG, 70, 33), normal(RNG, 33)], normal(RNG, 70, 33))


def check_cross_entropy(emulator: Emulator) -> None:
    labels = RNG.integers(0, 300, 5)
    labels[2] = -100
    options: Any = {"labels": labels, "ignore_index": -100}
    same(emulator, CrossEntropy, cross_entropy, [normal(RNG, 5, 300)], np.float32(1).reshape(()), **options)


def check_dropout(emulator: Emulator) -> None:
    same(emulator, Dropout, dropout, [normal(RNG, 7, 10)], normal(RNG, 7, 10), p=0.3, key=KEY)


def check_embedding_sum(emulator: Emulator) -> None:
    T = 140
    options: Any = {"ids": RNG.integers(0, 9, T), "position_ids": np.arange(T), "type_ids": np.arange(T) % 2}
    same(emulator, EmbeddingSum, embedding_sum, [normal(RNG, n, 12) for n in (9, T, 2)], normal(RNG, T, 12), **options)


def check_norm(emulator: Emulator) -> None:
    grads = [normal(RNG, 9000), normal(RNG, 3)]
    norm, _ = adam.norm_and_factor([emulator.array(g) for g in grads], 1.0)
    assert float(norm) == pytest.approx(np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in grads)), rel=1e-6)


class Fault(NamedTuple):
    what: str
    source: str
    right: str
    wrong: str
    check: Callable[[Emulator], None]


FAULTS = [
    Fault("no barrier before the keys are read", "attention",
          "__syncthreads();  // the keys (and, the first time, the queries) are there", "", check_attention),
    Fault("no barrier before values take the keys' place", "attention",
          "__syncthreads();  // nobody reads the keys any more: their", "//", check_attention),
    Fault("no barrier before the next tile", "attention_half",
          "__syncthreads();  // nobody reads these tiles any more", "", check_attention_half),
    Fault("a barrier that not all threads reach", "layer_norm.cuh",
          "    __syncthreads();\n    a = b = 0.0f;", "    if (threadIdx.x) __syncthreads();\n    a = b = 0.0f;",
          check_add_layer_norm),
    Fault("one scratch for two sums in a row", "add_layer_norm",
          "shared + (row & 1) * 2 * (blockDim.x / WARP)", "shared", check_add_layer_norm),
    Fault("a tile that is a row short", "attention", "int count = min(KEYS, unit.end - key);",
          "int count = min(KEYS, unit.end - key - 1);", check_attention),
    Fault("a tile that is a row too long", "attention", "if (row < count) four =", "if (row <= count) four =",
          check_attention),
    Fault("keys behind the end count", "attention",
          "4 * c + j < count ? s[i][j] * scale : -INFINITY", "s[i][j] * scale", check_attention),
    Fault("a wrong stride", "attention", "float* tile = queries + FORWARD * DOWN * STRIDE;",
          "float* tile = queries + FORWARD * DOWN * HEAD;", check_attention),
    Fault("too much shared memory is used", "attention", "float* weights = tile + KEYS * STRIDE;",
          "float* weights = tile + 2 * KEYS * STRIDE;", check_attention),
    Fault("a shuffle mask that leaves lanes out", "device.cuh",
          "ALL_LANES = 0xffffffffu", "ALL_LANES = 0x0fffffffu", check_add_layer_norm),
    Fault("a shuffle among too few lanes", "attention", "warp_max<ACROSS>(highest)", "warp_max<ACROSS / 2>(highest)",
          check_attention),
    Fault("an accumulator that nobody set", "attention", "float dq[BACKWARD][2 * PAIRS] = {}, log",
          "float dq[BACKWARD][2 * PAIRS], log", check_attention),
    Fault("an accumulator of shared memory that nobody set", "adam", "    sums[threadIdx.x] = sum;\n", "", check_norm),
    Fault("no barrier between the halves of a sum", "adam",
          "__syncthreads();  // what the other half holds is complete", "", check_norm),
    Fault("what is summed is not scaled to the new maximum", "attention", "sum[i][p] *= factor;", "", check_attention),
    Fault("backward draws another mask", "attention_half",
          "draw_tile(kept, draw, BACKWARD_TILE, first, ROWS, unit.first - unit.begin, n, N);",
          "draw_tile(kept, draw, BACKWARD_TILE, first, ROWS, unit.first, n, N);", check_attention_half),
    Fault("fragments of A in the wrong order", "tensor_cores.cuh",
          "a[1] = pair(from + 8 * STRIDE);", "a[1] = pair(from + 8);", check_attention_half),
    Fault("the last block's rows are not all there", "add_layer_norm", "if (row >= R) return;", "",
          check_add_layer_norm),
    Fault("the last columns are not written", "bias_gelu", "int groups = (F + 3) / 4;", "int groups = F / 4;",
          check_bias_gelu),
    Fault("vectors that are not aligned", "bias_gelu", "bool whole = F % 4 == 0;", "bool whole = true;",
          check_bias_gelu),
    Fault("words of one counter for eight columns", "dropout", "dropout_four(draw, group, row)",
          "dropout_four(draw, group / 2, row)", check_dropout),
    Fault("two blocks write one row", "embedding_sum", "if (comes_in || goes_on) {", "if (comes_in) {",
          check_embedding_sum),
    Fault("the joined mass of two threads is not scaled", "cross_entropy", "a.sum * expf(a.top - top)", "a.sum",
          check_cross_entropy),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_is_caught(emulator: Emulator, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    read = sources.read

    def planted(name: str) -> str:
        text = read(name)
        if name.removesuffix(".cu") != fault.source:
            return text
        assert fault.right in text, f"{fault.source} no longer holds {fault.right!r}"
        return text.replace(fault.right, fault.wrong)

    monkeypatch.setattr(sources, "read", planted)
    sources.text.cache_clear()
    try:
        with pytest.raises((AssertionError, EmulatorError)):
            fault.check(emulator)
    finally:
        sources.text.cache_clear()


@pytest.mark.parametrize("check", dict.fromkeys(fault.check for fault in FAULTS))
def test_without_a_fault_the_checks_pass(emulator: Emulator, check: Callable[[Emulator], None]) -> None:
    check(emulator)
