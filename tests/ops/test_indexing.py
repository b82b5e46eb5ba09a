"""x[key] against NumPy: values, shapes, gradients, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import Tensor
from tests.ops.catalogue import index_key

X = np.arange(24.0).reshape(2, 3, 4)


def check(a: np.ndarray, key: Any) -> None:
    """The values of NumPy, and a gradient that adds up where an element is picked more than once."""
    x = Tensor(a, requires_grad=True)
    y = x[key]
    assert y.shape == a[key].shape
    np.testing.assert_array_equal(y.numpy(), a[key])
    weights = np.arange(1.0, y.size + 1).reshape(y.shape)
    y.backward(weights)
    expected = np.zeros_like(a)
    np.add.at(expected, key, weights)
    np.testing.assert_array_equal(x.grad.numpy(), expected)  # sums of small integers: exact


@settings(max_examples=300)
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), data=st.data())
def test_any_key(shape: tuple[int, ...], data: st.DataObject) -> None:
    a = np.arange(float(np.prod(shape))).reshape(shape)
    check(a, data.draw(index_key(shape)))


@pytest.mark.parametrize(
    "key",
    [
        [],
        [1, 0, 1],
        np.array([[0, 1], [1, 1]]),
        np.array(1),
        np.int64(1),
        np.uint8(1),
        (slice(None), [0, 2]),
        ([0, 1], 1),
        (np.arange(2), np.array([2, 0])),
        (0, slice(None), [1, 3]),
        (slice(None), [0, 1], [2, 3]),
        (slice(None), None, [0, 1]),
        (Ellipsis, [0, 0]),
        ([0, 1], Ellipsis, [2, 2]),
        (np.array([[0], [1]]), [0, 2], 3),
        (np.array([True, False]), [0, 2]),
        (np.array([True, True]), slice(None), slice(0, 2)),
        (slice(np.int64(0), np.int32(1)), np.int64(2)),
        X > 7,
        (X[0] > 3)[:2, :3],
        np.zeros(2, bool),
        (),
        Ellipsis,
        None,
    ],
    ids=repr,
)
def test_keys(key: Any) -> None:
    check(X, key)


def test_tensors_as_keys() -> None:
    x = Tensor(X)
    rows = Tensor(np.array([1, 0]))
    np.testing.assert_array_equal(x[rows].numpy(), X[[1, 0]])
    np.testing.assert_array_equal(x[rows, :, rows].numpy(), X[[1, 0], :, [1, 0]])


def test_the_loss_of_a_classifier_by_hand() -> None:
    """-log p[n, y_n], as every first course writes it."""
    scores = Tensor(np.log(np.array([[0.2, 0.8], [0.5, 0.5]])), requires_grad=True)
    loss = -scores[np.arange(2), np.array([1, 0])].mean()
    loss.backward()
    assert loss.item() == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)
    np.testing.assert_array_equal(scores.grad.numpy(), [[0.0, -0.5], [-0.5, 0.0]])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([0.5], "integers or booleans, got float64"),
        ("word", "got str"),
        (1.0, "got float"),
        ([0, 2], r"0\.\.1, got 0\.\.2"),
        ((slice(None), [-4]), r"0\.\.2, got -4"),
        (([0, 1], [0, 1, 2]), r"\(2,\), \(3,\) do not broadcast"),
        ((0, 0, 0, 0), "too many indices: 4"),
        ((Ellipsis, Ellipsis), "at most one Ellipsis"),
        (np.zeros(3, bool), r"mask of shape \(3,\) does not fit axes of lengths \(2,\)"),
        (slice(0, 1.5), "bound of a slice must be an integer"),
    ],
    ids=repr,
)
def test_what_is_refused(key: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tensor(X)[key]


def test_a_number_outside_ends_an_iteration() -> None:
    with pytest.raises(IndexError, match="index 2 is outside axis 0"):
        Tensor(X)[2]
    assert len(list(Tensor(X))) == 2
