"""The attention kernels, float32 and half precision, against the explicit op in float64."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.kernels.cpu import attention as cpu_attention
from minibert.kernels.cuda import adam, attention
from minibert.kernels.cuda.emulator import counted
from minibert.kernels.cuda.emulator.array import _Device, namespace
from minibert.kernels.cuda.launch import queue_of
from minibert.ops.attention import Attention
from minibert.philox import keep_mask
from tests.kernels.cuda.devices import DROPOUT, KEY, NO_DROPOUT, Device, Emulator, explicit, fused, relative_error, rms

# 1 to 200 crosses every edge of a tile: 16, 32 and 64 rows
EDGES = [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129, 192, 200]
lengths = st.lists(st.one_of(st.sampled_from(EDGES), st.integers(1, 200)), min_size=1, max_size=3)
head_sizes = st.sampled_from([16, 32, 64, 80, 128])
dropout = st.sampled_from([NO_DROPOUT, DROPOUT])
seeds = st.integers(0, 2**32 - 1)


def drawn(L: list[int], N: int, D: int, seed: int = 0) -> tuple[list[int], np.ndarray, np.ndarray]:
    """starts, qkv, dcontext."""
    rng, T = np.random.default_rng(seed), sum(L)
    return [0, *np.cumsum(L).tolist()], rng.standard_normal((3, T, N, D)), rng.standard_normal((T, N, D))


def run(device: Device, qkv: np.ndarray, dcontext: np.ndarray, **options: Any) -> list[np.ndarray]:
    return fused(device, attention, "attention", [qkv], dcontext, **options)


@settings(max_examples=25)
@given(lengths, st.integers(1, 3), head_sizes, dropout, seeds)
def test_float32_against_the_op(device: Device, L: list[int], N: int, D: int, options: Any, seed: int) -> None:
    starts, qkv, dcontext = (drawn(L, N, D, seed)[0], *(x.astype(np.float32) for x in drawn(L, N, D, seed)[1:]))
    truth = explicit(Attention, [qkv], dcontext, starts=starts, **options)
    for ours, exact in zip(run(device, qkv, dcontext, starts=starts, **options), truth, strict=True):
        # sums of 200 products of numbers of size one, behind sums of 128: some tens of roundings of 6e-8
        assert relative_error(ours, exact) < 1e-5


@pytest.mark.parametrize("D", [1, 4, 18, 50, 127])
def test_heads_of_odd_sizes(device: Device, D: int) -> None:
    starts, qkv, dcontext = drawn([37, 66], 2, D)
    qkv, dcontext = qkv.astype(np.float32), dcontext.astype(np.float32)
    truth = explicit(Attention, [qkv], dcontext, starts=starts, **DROPOUT)
    for ours, exact in zip(run(device, qkv, dcontext, starts=starts, **DROPOUT), truth, strict=True):
        assert relative_error(ours, exact) < 1e-5  # as above


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@settings(max_examples=12)
@given(lengths, st.integers(1, 2), head_sizes, dropout, seeds)
def test_half_precision_errs_little_more_than_its_inputs(
    device: Device, dtype: Any, L: list[int], N: int, D: int, options: Any, seed: int
) -> None:
    """Against the op on unrounded numbers; twice the error that rounding qkv and dcontext makes in exact arithmetic.

    The error is the root mean square: the largest of thousands of roundings is a matter of luck.
    """
    if device.name == "gpu" and dtype is not np.float16:
        pytest.importorskip("cupy", minversion="14.0", reason="bfloat16 arrays need CuPy 14")
    starts, qkv, dcontext = drawn(L, N, D, seed)
    narrow = qkv.astype(dtype), dcontext.astype(dtype)
    truth = explicit(Attention, [qkv], dcontext, starts=starts, **options)
    rounded = explicit(Attention, [narrow[0]], narrow[1], starts=starts, **options)
    for ours, inputs, exact in zip(run(device, *narrow, starts=starts, **options), rounded, truth, strict=True):
        assert ours.dtype == dtype
        assert rms(ours.astype(np.float64) - exact) <= 2 * rms(inputs - exact)


@pytest.mark.parametrize(("dtype", "capability"), [(np.float16, "70"), (ml_dtypes.bfloat16, "75")])
def test_where_tensor_cores_do_not_know_these_numbers(
    emulator: Emulator, dtype: Any, capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older GPUs take the kernels without tensor cores, which are as exact."""
    monkeypatch.setattr(_Device, "compute_capability", capability, raising=False)
    starts, qkv, dcontext = drawn([3, 70], 2, 32)
    narrow = qkv.astype(dtype), dcontext.astype(dtype)
    assert attention._specialised(emulator.array(narrow[0]))[0] == "attention"
    truth = explicit(Attention, [qkv], dcontext, starts=starts, **DROPOUT)
    rounded = explicit(Attention, [narrow[0]], narrow[1], starts=starts, **DROPOUT)
    for ours, inputs, exact in zip(run(emulator, *narrow, starts=starts, **DROPOUT), rounded, truth, strict=True):
        assert rms(ours.astype(np.float64) - exact) <= 2 * rms(inputs - exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_the_dropout_mask_is_the_ops_and_the_cpus(device: Device, dtype: Any) -> None:
    """Queries and keys 0, so weights are mask / L; values the identity, so the context is the weights. Backward: dV is
    the weights transposed, when dcontext is the identity."""
    L, N, p = 128, 2, 0.25
    qkv = np.zeros((3, L, N, L), dtype)
    qkv[2] = identity = np.broadcast_to(np.eye(L)[:, None], (L, N, L)).astype(dtype)
    context, dqkv = run(device, qkv, identity, starts=[0, L], p=p, key=KEY)
    cpus, _ = cpu_attention.attention_forward(qkv.astype(np.float32), starts=[0, L], p=p, key=KEY)
    np.testing.assert_array_equal(context > 0, cpus > 0)
    rows = np.arange(L, dtype=np.uint64) * np.uint64(N)
    for n in range(N):
        kept = keep_mask(rows + np.uint64(n), L, p, KEY)
        np.testing.assert_array_equal(context[:, n] > 0, kept)
        np.testing.assert_array_equal(dqkv[2][:, n].T > 0, kept)


@pytest.mark.parametrize("L", [[0], [0, 0], [1], [0, 1, 0], [1] * 9])
def test_sequences_of_no_and_of_one_token(device: Device, L: list[int]) -> None:
    starts, qkv, dcontext = drawn(L, 2, 16)
    context, dqkv = run(device, qkv.astype(np.float32), dcontext.astype(np.float32), starts=starts, **NO_DROPOUT)
    np.testing.assert_allclose(context, qkv[2], rtol=1e-6)  # a token by itself looks at itself
    np.testing.assert_allclose(dqkv[2], dcontext, rtol=1e-6)
    np.testing.assert_allclose(dqkv[:2], 0, atol=2e-6)


@pytest.mark.parametrize("scale", [1e-3, 10.0, 100.0])
def test_small_and_large_scores(device: Device, scale: float) -> None:
    """From a softmax that is flat to one that is a maximum, whose place moves from tile to tile."""
    starts, qkv, dcontext = drawn([150, 3], 2, 16)
    qkv[0] *= scale
    qkv, dcontext = qkv.astype(np.float32), dcontext.astype(np.float32)
    truth = explicit(Attention, [qkv], dcontext, starts=starts, **NO_DROPOUT)
    for ours, exact in zip(run(device, qkv, dcontext, starts=starts, **NO_DROPOUT), truth, strict=True):
        # a score of `scale` size has an absolute rounding error of that many eps, and so the weight a relative one
        assert relative_error(ours, exact) < 1e-6 * max(10.0, 10 * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_minus_infinity_first_and_numbers_later(device: Device, dtype: Any) -> None:
    """Whole tiles of scores -inf: the running maximum must not turn them into NaN."""
    starts, qkv, dcontext = drawn([150], 1, 16)
    qkv[0] = np.abs(qkv[0])
    qkv[1, :100, 0, 0] = -np.inf
    with np.errstate(invalid="ignore"):  # backward is full of NaN, as it must be
        context, _ = run(device, qkv.astype(dtype), dcontext.astype(dtype), starts=starts, **NO_DROPOUT)
        truth, _ = explicit(Attention, [qkv], dcontext, starts=starts, **NO_DROPOUT)
    assert np.isfinite(context.astype(np.float32)).all()
    # a few roundings of 6e-8, of 5e-4
    np.testing.assert_allclose(context.astype(np.float64), truth, atol=1e-5 if dtype is np.float32 else 5e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_same_bits_each_time(device: Device, dtype: Any) -> None:
    starts, qkv, dcontext = drawn([100, 33], 3, 32)
    results = [run(device, qkv.astype(dtype), dcontext.astype(dtype), starts=starts, **DROPOUT) for _ in range(2)]
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))


def test_a_head_that_is_too_large(device: Device) -> None:
    with pytest.raises(ValueError, match="at most 128 numbers, got 144"):
        attention.attention_forward(device.array(np.zeros((3, 2, 1, 144), np.float32)), starts=[0, 2], **NO_DROPOUT)


def test_tables_are_kept_for_each_stream(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are sent along a stream; another might read them before they have come."""
    current = SimpleNamespace(ptr=0)
    streams = SimpleNamespace(get_current_stream=lambda: current)
    monkeypatch.setattr(namespace, "cuda", streams, raising=False)
    x, found = emulator.array(np.zeros(3, np.float32)), {}
    for current.ptr in (7, 8, 7, 8):
        queue = queue_of(x)
        tables = attention._table((0, 40), 16, namespace, queue), adam._pieces((3, 4), namespace, queue)
        assert queue == (0, current.ptr)
        assert all(a is b for a, b in zip(tables, found.setdefault(queue, tables), strict=True))
    (a, b), (c, d) = found.values()
    assert a is not c
    assert b is not d


# ---- what goes through global memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_bytes_against_the_tiled_lower_bound(emulator: Emulator, dtype: Any) -> None:
    """With 64 queries in a block, queries are read and results written once, and keys and values read S / 64 times."""
    S, D, queries = 512, 64, 64
    starts, qkv, _ = drawn([S], 1, D)
    given = emulator.array(qkv.astype(dtype))
    with counted() as traffic:
        attention.attention_forward(given, starts=starts, **NO_DROPOUT)
    row = D * np.dtype(dtype).itemsize
    bound = S * row * (1 + 1 + 2 * S // queries)
    assert bound <= traffic.loaded + traffic.stored <= 1.3 * bound


def test_extra_memory_is_linear_in_the_length(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is allocated besides results: forward a number a query and head, backward another; and the tables of units,
    12 bytes for every 32 or 64 rows.
    """
    made, empty, asarray = list[int](), namespace.empty, namespace.asarray

    def noted(make: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            made.append((x := make(*args, **kwargs)).nbytes)
            return x

        return call

    monkeypatch.setattr(namespace, "empty", noted(empty), raising=False)
    monkeypatch.setattr(namespace, "asarray", noted(asarray), raising=False)
    N, D = 2, 16
    for S in (128, 256, 512):
        starts, qkv, dcontext = drawn([S], N, D)
        attention._table.cache_clear()
        made.clear()
        run(emulator, qkv.astype(np.float32), dcontext.astype(np.float32), starts=starts, **NO_DROPOUT)
        results, units = 4 * S * N * D * (1 + 3), 12 * (S // 64 + S // 32)
        assert sum(made) == results + 2 * 4 * S * N + units
