"""Linear layers and projections on the kernels' threads against the explicit ops run in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.backend import CPU_KERNELS, _load_kernel
from minibert.kernels.cpu import matmul, threads
from minibert.kernels.cpu.few_rows import few_rows
from minibert.ops.linear import Linear
from minibert.ops.projections import Projections

sizes = st.integers(1, 70)


def drawn(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def explicit(cls: Any, arrays: list[np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    op = cls()
    op.needs = (True,) * len(arrays)
    y = op.forward(*arrays)
    dy = np.random.default_rng(seed + 1).standard_normal(y.shape)
    return y, dy, op.backward(dy)


def compare(name: str, cls: Any, arrays: list[np.ndarray], seed: int) -> None:
    y, dy, grads = explicit(cls, arrays, seed)
    kernel = _load_kernel("cpu", name)
    # sums of up to 250 products of numbers of size one: some hundred roundings of 1e-16, or of 6e-8
    for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-4)):
        ours, saved = kernel.forward(*(x.astype(dtype) for x in arrays))
        gradients = kernel.backward(dy.astype(dtype), saved, (True,) * len(arrays))
        for got, expected in zip((ours, *gradients), (y, *grads), strict=True):
            assert got.dtype == dtype
            np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


@given(st.integers(0, 10**6), st.integers(1, 200), sizes, sizes, st.booleans())
def test_linear(seed: int, rows: int, inputs: int, outputs: int, bias: bool) -> None:
    arrays = drawn(seed, (rows, inputs), (outputs, inputs), (outputs,))
    compare("linear", Linear, arrays if bias else arrays[:2], seed)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 150), sizes, sizes, st.integers(1, 3))
def test_projections(seed: int, rows: int, inputs: int, outputs: int, n: int) -> None:
    compare("projections", Projections, drawn(seed, (rows, inputs), *[(outputs, inputs), (outputs,)] * n), seed)


@given(st.integers(0, 10**6), st.integers(1, 64), st.sampled_from([0, 1, 5, 127, 128, 129, 700]), st.integers(1, 60))
def test_few_rows(seed: int, rows: int, inputs: int, outputs: int) -> None:
    """Every edge of its blocks: vectors of rows, 24 outputs, 128 inputs."""
    x, weight, bias = drawn(seed, (rows, inputs), (outputs, inputs), (outputs,))
    y = np.full((rows, outputs), np.nan)
    few_rows(0, outputs, x, weight, bias, y)
    np.testing.assert_allclose(y, x @ weight.T + bias, rtol=0, atol=1e-11)  # sums of 700 products, each 1e-16


def test_three_dimensions_and_strides() -> None:
    x, weight, bias = drawn(0, (3, 50, 20), (30, 20), (30,))
    strided = np.repeat(weight, 2, axis=1)[:, ::2]
    y, _ = _load_kernel("cpu", "linear").forward(x.transpose(1, 0, 2), strided, bias)
    np.testing.assert_allclose(y, x.transpose(1, 0, 2) @ weight.T + bias, rtol=0, atol=1e-13)


@pytest.mark.parametrize("rows", [16, 300])
def test_the_same_bits_each_time(rows: int) -> None:
    x, weight, bias = (a.astype(np.float32) for a in drawn(0, (rows, 512), (768, 512), (768,)))
    first = [matmul.linear(x, weight, bias) for _ in range(5)]
    assert all((y == first[0]).all() for y in first)


def test_nothing_wanted_nothing_done() -> None:
    x, weight, bias, dy = drawn(0, (10, 4), (3, 4), (3,), (10, 3))
    kernel = _load_kernel("cpu", "linear")
    _, saved = kernel.forward(x, weight, bias)
    assert [g is None for g in kernel.backward(dy, saved, (False, True, False))] == [True, False, True]


def test_every_kernel_has_both_directions() -> None:
    for name in CPU_KERNELS:
        kernel = _load_kernel("cpu", name)
        assert callable(kernel.forward)
        assert callable(kernel.backward)


def test_more_threads_than_rows() -> None:
    before = threads.get_num_threads()
    threads.set_num_threads(4)
    try:
        x, weight = drawn(0, (2, 300), (500, 300))
        np.testing.assert_allclose(matmul.linear(x, weight, None), x @ weight.T, rtol=0, atol=1e-12)
        np.testing.assert_allclose(matmul.matmul(x, weight.T), x @ weight.T, rtol=0, atol=1e-12)
    finally:
        threads.set_num_threads(before)
