"""Products of small matrices inside kernels, against NumPy's in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from minibert.kernels.cpu.tiles import loose, product

SPARE = 64
"""Columns beyond those in use: `product` works on whole vectors."""


@njit
def multiply(C: Any, A: Any, B: Any, M: int, columns: int, K: int, add: bool) -> None:
    product(loose(C), loose(A), loose(B), M, columns, K, add)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=30)
@given(
    st.integers(0, 21), st.integers(0, 80), st.integers(0, 40), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1)
)
def test_product(dtype: Any, M: int, columns: int, K: int, add: bool, transposed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (K + 1, M + 2) if transposed else (M + 2, K + 1)
    A = rng.standard_normal(shape).astype(dtype)
    A = A.T if transposed else A
    B = rng.standard_normal((K, columns + SPARE)).astype(dtype)
    C = rng.standard_normal((M + 1, columns + SPARE)).astype(dtype)
    before = C.copy()
    multiply(C, A, B, M, columns, K, add)
    exact = A[:M, :K].astype(np.float64) @ B[:, :columns] + (before[:M, :columns] if add else 0)
    # up to 41 roundings of numbers of size ten
    np.testing.assert_allclose(C[:M, :columns], exact, rtol=0, atol=400 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(C[M:], before[M:])  # no row beyond M
    whole = -(-columns * dtype().itemsize // 64) * 64 // dtype().itemsize
    np.testing.assert_array_equal(C[:, whole:], before[:, whole:])  # no column beyond the last vector


def test_nan_stays_in_its_row_and_column() -> None:
    A, B, C = np.ones((5, 3)), np.ones((3, 8)), np.zeros((5, 8))
    A[1, 2], B[0, 4] = np.nan, np.inf
    multiply(C, A, B, 5, 8, 3, False)
    assert np.isnan(C[1]).all()
    assert np.isinf(C[[0, 2, 3, 4], 4]).all()
    rest = np.delete(np.delete(C, 1, axis=0), 4, axis=1)
    np.testing.assert_array_equal(rest, 3.0)
