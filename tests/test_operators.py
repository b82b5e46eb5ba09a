"""What can be written with a tensor, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minibert import ops
from minibert.autograd import Tensor

X = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize("shape", [(3, 2), (-1,), (6, 1)])
def test_shapes_may_come_one_by_one_or_as_a_sequence(shape: tuple[int, ...]) -> None:
    for tensor in (Tensor(X).reshape(*shape), Tensor(X).reshape(shape), Tensor(X).reshape(list(shape))):
        np.testing.assert_array_equal(tensor, X.reshape(shape))
    for tensor in (Tensor(X).permute(1, 0), Tensor(X).permute((1, 0)), Tensor(X).permute([1, 0])):
        np.testing.assert_array_equal(tensor, X.T)


def test_one_number_is_true_or_false() -> None:
    assert not Tensor([0.0])
    assert Tensor(0.5)
    assert int(Tensor([3.0])) == 3
    with pytest.raises(ValueError, match=r"shape \(2, 3\) is neither true nor false; try .numpy\(\).any\(\)"):
        bool(Tensor(X))


@pytest.mark.parametrize("reduce", [ops.sum, ops.mean, ops.max])
@pytest.mark.parametrize("axis", [2, -3, (0, 0), (1, -1), (0, 5)])
def test_axes_that_are_not_there(reduce: Any, axis: Any) -> None:
    with pytest.raises(ValueError, match="does not fit an array of 2 axes: each once, from -2 to 1"):
        reduce(Tensor(X), axis=axis)


def test_comparisons_are_boolean_arrays() -> None:
    x = Tensor(X, requires_grad=True)
    for array in (x > 2, x >= X, x < [1, 2, 3], x <= Tensor(X), np.float64(2.0) > x, np.isfinite(x)):
        assert isinstance(array, np.ndarray)
        assert array.dtype == bool
    np.testing.assert_array_equal(x < [1, 2, 3], [1, 2, 3] > X)
    np.testing.assert_array_equal(X > x, np.zeros(X.shape, bool))
    assert x == x  # one tensor, one answer
    assert len({x, Tensor(X)}) == 2


def test_largest_and_where() -> None:
    x = Tensor(X)
    np.testing.assert_array_equal(x.max(axis=1, keepdims=True), X.max(axis=1, keepdims=True))
    assert x.argmax() == 5
    assert isinstance(x.argmax(), np.ndarray)
    np.testing.assert_array_equal(x.argmax(axis=-1), [2, 2])
    np.testing.assert_array_equal(x.argmax(axis=0, keepdims=True), [[1, 1, 1]])


def test_powers_of_a_number() -> None:
    x = Tensor(X, requires_grad=True)
    y = 2**x
    np.testing.assert_array_equal(y, 2.0**X)  # exact, as powers of two are
    y.sum().backward()
    np.testing.assert_allclose(x.grad, np.log(2) * 2.0**X)
    np.testing.assert_array_equal(np.float64(2.0) ** x, 2.0**X)
    np.testing.assert_array_equal(np.abs(X) ** x, np.abs(X) ** X)
    for base in (0, -1.0, float("inf")):
        with pytest.raises(ValueError, match="above 0|base must be a finite number"):
            base**x


def test_transpose() -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    x = Tensor(array)
    np.testing.assert_array_equal(x.transpose(-1, 0), array.swapaxes(-1, 0))
    np.testing.assert_array_equal(x.transpose((2, 0, 1)), array.transpose(2, 0, 1))
    np.testing.assert_array_equal(x.transpose(), array.T)
    assert isinstance(np.transpose(x), Tensor)
    for wrong in ((0, 3), (0, 1, 2)):
        with pytest.raises(ValueError, match="transpose takes two axes of this tensor's 3, or a tuple of all"):
            x.transpose(*wrong)


def test_numbers_and_lists_take_the_dtype() -> None:
    for dtype in ("float32", "float64"):
        x = Tensor(X, dtype=dtype)
        for y in (x - [1, 2, 3], [0.1, 0.2, 0.3] * x, (1.5, 2, 3) - x, x / 3):
            assert isinstance(y, Tensor)
            assert y.dtype == dtype
    np.testing.assert_array_equal(Tensor(X) * 0.1, X * 0.1)  # in full: 0.1 is not rounded to float32 on the way
    np.testing.assert_array_equal(Tensor([0.1], dtype="float64"), [0.1])
    assert Tensor(0.1).dtype == np.float32
    with pytest.raises(ValueError, match="cannot mix int64 and real numbers"):
        Tensor(np.arange(3)) + 0.5


@pytest.mark.parametrize("reduce", [np.sum, np.mean, np.max])
def test_numpy_reduces_to_a_tensor(reduce: Any) -> None:
    x = Tensor(X, requires_grad=True)
    y = reduce(x, axis=1)
    assert isinstance(y, Tensor)
    np.testing.assert_array_equal(y, reduce(X, axis=1))
    y.sum().backward()
    assert x.grad is not None
    assert np.argmax(x) == 5
    with pytest.raises(ValueError, match="leave out dtype= and out="):
        reduce(x, axis=1, out=np.empty(2))
