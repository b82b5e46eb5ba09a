"""Large matrix products: every edge of panels and tiles, any strides, adding on, and numbers that are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.kernels.cpu import threads
from minibert.kernels.cpu.gelu import gelu_forward
from minibert.kernels.cpu.gemm import DEPTH, ROWS, WIDTH, gemm

rows = st.sampled_from([1, 3, 4, 5, 70, ROWS + 3])
columns = st.sampled_from([1, 15, 16, 17, WIDTH - 1, WIDTH, WIDTH + 1, 2 * WIDTH + 16])
depths = st.sampled_from([1, 7, DEPTH - 1, DEPTH, DEPTH + 1, 2 * DEPTH + 5])


def layout(x: np.ndarray, name: str) -> np.ndarray:
    """The same numbers by rows, by columns, or with gaps."""
    if name == "columns":
        return np.asfortranarray(x)
    if name == "gaps":
        wide = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)
        wide[::2, ::3] = x
        return wide[::2, ::3]
    return np.ascontiguousarray(x)


layouts = st.sampled_from(["rows", "columns", "gaps"])


@settings(max_examples=60)
@given(st.integers(0, 10**6), rows, depths, columns, layouts, layouts, st.booleans(), st.booleans(), st.integers(1, 5))
def test_equals_numpy(
    seed: int, M: int, K: int, N: int, of_a: str, of_b: str, bias: bool, add: bool, workers: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b, v, c = (rng.standard_normal(shape) for shape in ((M, K), (K, N), (N,), (M, N)))
    expected = a @ b + (v if bias else 0.0) + (c if add else 0.0)
    before = threads.get_num_threads()
    try:
        threads._threads = workers
        # sums of up to 261 products of numbers of size one: roundings of 1e-16 and 6e-8, a few hundred of them
        for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-4)):
            room = np.full((M + 2, N), np.nan, dtype)
            result = room[1:-1]
            result[...] = c
            gemm(layout(a.astype(dtype), of_a), layout(b.astype(dtype), of_b), v.astype(dtype) if bias else None,
                 result, add=add)  # fmt: skip
            np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance)
            assert np.isnan(room[[0, -1]]).all()  # nothing was written beside the result
    finally:
        threads._threads = before


@settings(max_examples=20)
@given(st.integers(0, 10**6), rows, depths, columns, st.booleans())
def test_gelu_of_the_product(seed: int, M: int, K: int, N: int, bias: bool) -> None:
    """The same bits as GELU afterwards, whatever block the rows are in."""
    rng = np.random.default_rng(seed)
    a, b, v = rng.standard_normal((M, K)), rng.standard_normal((K, N)), rng.standard_normal(N)
    first, second = np.empty((2, M, N))
    gemm(a, b, v if bias else None, first)
    gemm(a, b, v if bias else None, second, gelu=True)
    np.testing.assert_array_equal(second, gelu_forward(first)[0])


@pytest.mark.parametrize(("M", "K", "N"), [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_nothing_to_multiply(M: int, K: int, N: int) -> None:
    """Also where whole vectors do not fit a row (4 of float64) and the result takes a way round."""
    for columns in (N, 5 * N):
        c = np.full((M, columns), np.nan)
        gemm(np.ones((M, K)), np.ones((K, columns)), np.full(columns, 2.0), c)
        assert (c == 2.0 + K).all()
        gemm(np.ones((M, K)), np.ones((K, columns)), np.full(columns, 2.0), c, add=True)
        assert (c == 2 * (2.0 + K)).all()


def test_infinity_and_nan_come_through() -> None:
    a, b = np.ones((70, 130)), np.ones((130, 70))
    a[3, 5], b[7, 9] = np.inf, np.nan
    c = np.empty((70, 70))
    gemm(a, b, None, c)
    assert np.isnan(c[:, 9]).all()
    assert np.isinf(np.delete(c[3], 9)).all()
    assert np.isfinite(np.delete(np.delete(c, 3, axis=0), 9, axis=1)).all()


def test_the_same_bits_for_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((100, 300)).astype(np.float32), rng.standard_normal((300, 200)).astype(np.float32)
    before, results = threads.get_num_threads(), []
    try:
        for threads._threads in (1, 2, 3, 7):
            c = np.empty((100, 200), np.float32)
            gemm(a, b, None, c)
            results.append(c)
    finally:
        threads._threads = before
    assert all((c == results[0]).all() for c in results)
