"""Philox against the published test vectors, and dropout's use of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import manual_seed, ops
from minibert.autograd import Tensor
from minibert.philox import Key, get_state, keep_mask, next_key, philox4x32, set_state

FULL = 0xFFFFFFFF
KNOWN = [  # counter, key, result: the three vectors that the authors publish for philox4x32-10
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((FULL, FULL, FULL, FULL), (FULL, FULL), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_published_vectors(counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]) -> None:
    words = philox4x32(tuple(np.array([c], np.uint64) for c in counter), key)
    assert tuple(int(w[0]) for w in words) == expected


@given(st.integers(1, 40), st.integers(1, 23), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_mask_does_not_depend_on_the_tiling(rows: int, columns: int, seed: int, stream: int) -> None:
    whole = keep_mask(np.arange(rows, dtype=np.uint64), columns, 0.3, Key(seed, stream))
    part = keep_mask(np.arange(rows // 2, rows, dtype=np.uint64), max(columns - 3, 1), 0.3, Key(seed, stream))
    np.testing.assert_array_equal(whole[rows // 2 :, : part.shape[1]], part)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_keep_rate(p: float) -> None:
    kept = keep_mask(np.arange(1000, dtype=np.uint64), 1000, p, Key(5, 0)).mean()
    assert abs(kept - (1 - p)) < 4 * np.sqrt(p * (1 - p) / 1e6)  # four standard deviations of a million draws


def test_dropout_keeps_the_expectation_and_its_mask() -> None:
    x = Tensor(np.ones((100, 37)), requires_grad=True)
    y = ops.dropout(x, 0.25)
    assert set(np.unique(y.numpy())) == {0.0, 1 / 0.75}
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y)  # backward drops what forward dropped


def test_every_call_draws_its_own_mask() -> None:
    manual_seed(1)
    x = Tensor(np.ones((50, 50)))
    first, second = ops.dropout(x, 0.5).numpy(), ops.dropout(x, 0.5).numpy()
    assert 0.4 < (first == second).mean() < 0.6
    manual_seed(1)
    np.testing.assert_array_equal(ops.dropout(x, 0.5), first)
    manual_seed(2)
    assert (ops.dropout(x, 0.5).numpy() != first).any()


def test_nothing_is_dropped_outside_training() -> None:
    x = Tensor(np.ones((5, 5)))
    assert ops.dropout(x, 0.5, training=False) is x
    assert ops.dropout(x, 0.0) is x


def test_state_goes_on_where_it_was() -> None:
    manual_seed(9)
    next_key()
    state = get_state()
    expected = next_key()
    manual_seed(0)
    set_state(state)
    assert next_key() == expected


def test_seed_out_of_range() -> None:
    with pytest.raises(ValueError, match="seed"):
        manual_seed(-1)
