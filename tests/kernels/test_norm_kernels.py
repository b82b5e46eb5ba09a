"""Kernels of LayerNorm, the residual connection, dropout and the embeddings against the explicit ops in float64."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.autograd import Op
from minibert.backend import Kernel, _load_kernel
from minibert.kernels.cpu import add_layer_norm as add_layer_norm_kernel
from minibert.kernels.cpu import layer_norm as layer_norm_kernel
from minibert.kernels.cpu import threads
from minibert.ops.add_layer_norm import AddLayerNorm
from minibert.ops.dropout import Dropout
from minibert.ops.embedding_sum import EmbeddingSum
from minibert.ops.layer_norm import LayerNorm
from minibert.philox import Key

seeds = st.integers(0, 10**6)
leads = st.one_of(st.lists(st.integers(0, 9), max_size=2), st.integers(30, 140).map(lambda n: [n]))
widths = st.one_of(st.integers(1, 70), st.sampled_from([127, 128, 768, 1000]))
chances = st.sampled_from([0.0, 0.1, 0.5, 0.9])
KEY = Key(2**63 + 12345, 2**40 + 7)


def run(kernel: Kernel, arrays: list[np.ndarray], dy: np.ndarray, **options: Any) -> tuple[Any, ...]:
    """(result, gradients...), everything read-only in between, as on the tape."""
    y, saved = kernel.forward(*arrays, **options)
    for value in saved:
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return (y, *kernel.backward(dy, saved, (True,) * len(arrays), **options))


def compare(op: type[Op], arrays: list[np.ndarray], units: float, **options: Any) -> None:
    """Kernel against op, in both precisions.

    `units`: the error allowed, in roundings (6e-8 and 1.1e-16) of the largest number of a result, or of 1.
    """
    for dtype in (np.float32, np.float64):
        inputs = [x.astype(dtype, order="K") for x in arrays]
        judge: Any = op()
        judge.needs = (True,) * len(arrays)
        y = judge.forward(*(x.astype(np.float64) for x in inputs), **options)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        gradients = judge.backward(dy.astype(np.float64))
        truth = (y, *(gradients if isinstance(gradients, tuple) else (gradients,)))
        for ours, theirs in zip(run(_load_kernel("cpu", op.name), inputs, dy, **options), truth, strict=True):
            assert (ours.dtype, ours.shape) == (dtype, theirs.shape)
            size = max(1.0, float(np.abs(theirs).max(initial=0.0)))
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=units * size * float(np.finfo(dtype).eps) / 2)


def uniform(rng: np.random.Generator, *shape: int, half: float = 1.0) -> np.ndarray:
    return np.asarray(rng.uniform(-half, half, shape))


def with_spread(x: np.ndarray, by: float) -> np.ndarray:
    """No row of almost equal numbers: there is no direction to normalise those to, and rounding decides."""
    x[..., 0] += by
    return x


def norm_inputs(seed: int, lead: list[int], H: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [with_spread(uniform(rng, *lead, H), 4.0), uniform(rng, H, half=2.0), uniform(rng, H)]


def residual_inputs(seed: int, lead: list[int], H: int, p: float = 0.0) -> list[np.ndarray]:
    """The product's part is at most 1 / (1 - p) at any place, so that it cannot undo the residual's spread."""
    rng = np.random.default_rng(seed)
    residual = with_spread(uniform(rng, *lead, H, half=0.5), 3.0 / (1 - p))
    x, bias = uniform(rng, *lead, H, half=0.5), uniform(rng, H, half=0.5)
    return [x, bias, residual, uniform(rng, H, half=2.0), uniform(rng, H)]


def embedding_inputs(seed: int, tokens: int, H: int) -> tuple[list[np.ndarray], dict[str, Any]]:
    rng = np.random.default_rng(seed)
    lengths = [int(rng.integers(1, 40)), int(rng.integers(1, 20)), int(rng.integers(1, 4))]
    indices = {
        name: rng.integers(0, n, tokens) for name, n in zip(("ids", "position_ids", "type_ids"), lengths, strict=True)
    }
    return [uniform(rng, n, H) for n in lengths], indices


# A row's x_hat carries the rounding of its mean and variance, magnified by x / std, which is below 20 here; a column
# sum of up to 140 rows adds some roundings of its own. Drawn examples stay below 40.
NORM_UNITS = 200


# One column alone is left out: x_hat is 0 whatever x is, and 1 / sqrt(eps) = 1e6 times a rounding is all that dx shows.
@given(seed=seeds, lead=leads, H=widths.filter(lambda H: H > 1))
def test_layer_norm(seed: int, lead: list[int], H: int) -> None:
    compare(LayerNorm, norm_inputs(seed, lead, H), NORM_UNITS, eps=1e-12)


@given(seed=seeds, lead=leads, H=widths.filter(lambda H: H > 1), p=chances)
def test_add_layer_norm(seed: int, lead: list[int], H: int, p: float) -> None:
    options = {"eps": 1e-12, "p": p, "key": KEY if p else None}
    compare(AddLayerNorm, residual_inputs(seed, lead, H, p), NORM_UNITS, **options)


@given(seed=seeds, lead=leads, C=widths, p=chances)
def test_dropout(seed: int, lead: list[int], C: int, p: float) -> None:
    x = uniform(np.random.default_rng(seed), *lead, C)
    compare(Dropout, [x], 3, p=p, key=KEY)  # the factor is rounded, and the product


def test_dropout_of_a_single_number() -> None:
    compare(Dropout, [np.array(0.7)], 3, p=0.5, key=KEY)


@given(seed=seeds, tokens=st.integers(0, 200), H=widths)
def test_embedding_sum(seed: int, tokens: int, H: int) -> None:
    tables, indices = embedding_inputs(seed, tokens, H)
    compare(EmbeddingSum, tables, 100, **indices)  # sums of up to 200 rows


def test_eps_is_inside_the_root_and_the_variance_biased() -> None:
    x = np.array([[1.0, 3.0]])
    y, _ = layer_norm_kernel.layer_norm_forward(x, np.ones(2), np.zeros(2), eps=3.0)
    np.testing.assert_allclose(y, [[-0.5, 0.5]], rtol=1e-15)  # variance 1, not 2; root of 1 + 3


@contextmanager
def thread_count(n: int) -> Iterator[None]:
    before = threads.get_num_threads()
    threads.set_num_threads(n)
    try:
        yield
    finally:
        threads.set_num_threads(before)


def all_cases() -> dict[str, tuple[list[np.ndarray], dict[str, Any]]]:
    tables, indices = embedding_inputs(5, 3000, 192)
    return {
        "layer_norm": (norm_inputs(5, [600], 192), {"eps": 1e-12}),
        "add_layer_norm": (residual_inputs(5, [600], 192, 0.1), {"eps": 1e-12, "p": 0.1, "key": KEY}),
        "dropout": (norm_inputs(5, [600], 192)[:1], {"p": 0.1, "key": KEY}),
        "embedding_sum": (tables, indices),
    }


@pytest.mark.parametrize("name", sorted(all_cases()))
def test_the_same_bits_with_any_number_of_threads(name: str) -> None:
    arrays, options = all_cases()[name]
    arrays = [x.astype(np.float32) for x in arrays]
    shape = arrays[0].shape if name != "embedding_sum" else (3000, 192)
    dy = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    results = []
    for n in (1, 2, 3, 5, 2):
        with thread_count(n):
            results.append([x.tobytes() for x in run(_load_kernel("cpu", name), arrays, dy, **options)])
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("name", ["add_layer_norm", "dropout"])
def test_backward_draws_the_mask_of_forward(name: str) -> None:
    """Where x was dropped, neither x nor its gradient goes through; elsewhere both do."""
    shape, p = (50, 37), 0.3
    if name == "dropout":
        y, dx = run(_load_kernel("cpu", name), [np.ones(shape)], np.ones(shape), p=p, key=KEY)
        np.testing.assert_array_equal(y, dx)
        passed = y != 0
    else:
        arrays = residual_inputs(3, [50], 37, p)
        dy = np.random.default_rng(0).standard_normal(shape)
        _, dx, _, dresidual, _, _ = run(_load_kernel("cpu", name), arrays, dy, eps=1e-12, p=p, key=KEY)
        passed = dx != 0
        np.testing.assert_allclose(dx, np.where(passed, dresidual / (1 - p), 0.0), rtol=1e-14)
    rate = passed.mean()
    assert abs(rate - (1 - p)) < 4 * math.sqrt(p * (1 - p) / passed.size)  # four standard deviations


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_a_number_stays_in_its_row(bad: float) -> None:
    arrays = residual_inputs(0, [4], 40)
    arrays[2][2, 7] = bad
    y, _ = add_layer_norm_kernel.add_layer_norm_forward(*arrays, eps=1e-12, p=0.0, key=None)
    assert np.isnan(y[2]).all()
    assert np.isfinite(np.delete(y, 2, axis=0)).all()
    y, _ = layer_norm_kernel.layer_norm_forward(arrays[2], arrays[3], arrays[4], eps=1e-12)
    assert np.isnan(y[2]).all()
    assert np.isfinite(np.delete(y, 2, axis=0)).all()


def test_any_layout_in_memory_and_read_only() -> None:
    arrays = residual_inputs(1, [5, 6], 16)
    plain = run(_load_kernel("cpu", "add_layer_norm"), arrays, np.ones((5, 6, 16)), eps=1e-12, p=0.0, key=None)
    odd = [np.asfortranarray(arrays[0]), np.repeat(arrays[1], 2)[::2], *arrays[2:]]
    for x in odd:
        x.flags.writeable = False
    dy = np.broadcast_to(np.float64(1.0), (5, 6, 16))
    for ours, theirs in zip(
        run(_load_kernel("cpu", "add_layer_norm"), odd, dy, eps=1e-12, p=0.0, key=None), plain, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_one_compilation_serves_writeable_and_read_only_arrays() -> None:
    arrays = [x.astype(np.float32) for x in norm_inputs(1, [5], 16)]
    layer_norm_kernel.layer_norm_forward(*arrays, eps=1e-12)
    before = len(layer_norm_kernel._forward.signatures)
    for i in range(3):
        arrays[i].flags.writeable = False
        layer_norm_kernel.layer_norm_forward(*arrays, eps=1e-12)
    assert len(layer_norm_kernel._forward.signatures) == before


@pytest.mark.skipif("MALLOC_PERTURB_" in os.environ, reason="the allocator was told to write into all memory it gives")
def test_only_touched_rows_of_a_large_vocabulary_become_memory() -> None:
    resource = pytest.importorskip("resource", reason="memory is measured as Unix does")
    V, H = 400_000, 128  # 200 MB if it were all touched
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    dy, numbers = np.ones((10, H), np.float32), np.arange(10)
    dwords, _, _ = _load_kernel("cpu", "embedding_sum").backward(
        dy, (numbers, numbers, numbers, V, 10, 10), (True,) * 3
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 10_000  # 50,000 pages for all of it
    assert dwords.shape == (V, H)
