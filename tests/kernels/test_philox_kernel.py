"""The kernels' masks are those of minibert/philox.py, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.kernels.cpu.philox import dropout_numbers, dropout_row
from minibert.philox import Key, drop_threshold, keep_mask

words = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(columns=st.integers(1, 200), row=st.integers(0, 2**32 - 1), p=st.floats(0.0, 0.999), seed=words, stream=words)
def test_a_row_of_the_mask(dtype: type, columns: int, row: int, p: float, seed: int, stream: int) -> None:
    key = Key(seed, stream)
    out = np.full(columns + 2, 7, dtype)
    dropout_row(out[1:-1], row, *dropout_numbers(p, key))
    kept = keep_mask(np.array([row], np.uint64), columns, p, key)[0]
    np.testing.assert_array_equal(out[1:-1], np.where(kept, dtype(1 / (1 - p)), dtype(0)))
    assert (out[0], out[-1]) == (7, 7)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1 - 2**-33, 0.999_999_999_999])
def test_thresholds(p: float) -> None:
    threshold, scale, _, _ = dropout_numbers(p, Key(1, 2))
    assert int(threshold) == drop_threshold(p)
    assert scale == 1 / (1 - p)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_keep_rate(p: float) -> None:
    out, kept = np.empty(1000, np.float32), 0
    for row in range(1000):
        dropout_row(out, row, *dropout_numbers(p, Key(5, 0)))
        kept += int(np.count_nonzero(out))
    assert abs(kept / 1e6 - (1 - p)) < 4 * np.sqrt(p * (1 - p) / 1e6)  # four standard deviations of a million draws
