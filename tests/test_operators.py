"""What can be written with a tensor, and what is refused."""

from __future__ import annotations

import operator
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


@pytest.mark.parametrize("requires_grad", [False, True])
def test_equality_is_one_rule(requires_grad: bool) -> None:
    """Between tensors it means the same tensor; with numbers and arrays it compares the elements."""
    x, other = Tensor(X, requires_grad=requires_grad), Tensor(X, requires_grad=requires_grad)
    for equal in (x == X, X == x, x == X.tolist(), x == 2, 2.0 == x, np.float64(2.0) == x, x == np.array(2.0)):
        assert isinstance(equal, np.ndarray)
        assert equal.dtype == bool
        assert equal.shape == X.shape
    np.testing.assert_array_equal(x == 2, X == 2)
    np.testing.assert_array_equal(x != 2, X != 2)
    np.testing.assert_array_equal(X != x, np.zeros(X.shape, bool))
    assert x == x
    assert (x == other) is False
    assert (x != other) is True
    for thing in (None, "x", object()):
        assert (x == thing) is False
        assert (x != thing) is True
    assert Tensor(1.5) == 1.5
    assert len({x, other, x}) == 2
    assert {x: 1, other: 2}[other] == 2
    assert [other, x].index(x) == 1
    assert x not in [other]


def test_iteration_and_membership() -> None:
    x = Tensor(X, requires_grad=True)
    rows = list(x)
    assert [row.shape for row in rows] == [(3,), (3,)]
    assert all(row.requires_grad for row in rows)
    first, second = x
    np.testing.assert_array_equal(first, X[0])
    np.testing.assert_array_equal(second, X[1])
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        list(Tensor(1.0))
    for number in (4, 4.0, np.float32(4), np.array(4), Tensor(4.0)):
        assert number in x
    assert 7 not in x
    assert 1.0 in Tensor(1.0)
    for thing in (X[0], Tensor(X), "4", None):
        with pytest.raises(TypeError, match="looks for a number"):
            operator.contains(x, thing)


def test_elements_are_not_written() -> None:
    x = Tensor(X.copy(), requires_grad=True)
    with pytest.raises(TypeError, match=r"x.data\[...\] = value .* or make another one with minibert.ops.where"):
        x[0, 0] = 1.0
    with pytest.raises(TypeError, match="not written element by element"):
        x[0] += 1.0
    np.testing.assert_array_equal(x, X)


def test_numbers_written_in_a_format() -> None:
    loss = (Tensor([1.0, 2.0], requires_grad=True) * 0.5).sum()
    assert f"{loss:.4f} {loss:>6.1f} {loss:e}" == "1.5000    1.5 1.500000e+00"
    assert f"{Tensor([2.0]):.1f}" == "2.0"
    assert f"{Tensor(3):03d}" == "003"
    assert f"{loss}" == str(loss)
    with pytest.raises(TypeError, match=r"a tensor of shape \(2, 3\) is no number"):
        f"{Tensor(X):.2f}"


def test_an_integer_without_axes_is_an_index() -> None:
    two = Tensor(np.array(2))
    assert "abc"[two] == "c"
    assert list(range(two)) == [0, 1]
    assert X.tolist()[Tensor(np.int8(1))] == X[1].tolist()
    np.testing.assert_array_equal(Tensor(X)[:, two], X[:, 2])
    for wrong in (Tensor(2.0), Tensor([2]), Tensor(np.array(True))):
        with pytest.raises(TypeError, match="an index is an integer without axes"):
            "abc"[wrong]


@pytest.mark.parametrize("integer", [np.int64, np.uint8, np.array, lambda n: Tensor(np.array(n))])
def test_axes_and_lengths_are_any_integers(integer: Any) -> None:
    x, two, one = Tensor(X), integer(2), integer(1)
    assert x.reshape(integer(3), two).shape == (3, 2)
    assert x.reshape((two, -1)).shape == (2, 3)
    assert x.permute(one, integer(0)).shape == (3, 2)
    assert x.transpose(one, integer(0)).shape == (3, 2)
    assert x.sum(axis=one).shape == (2,)
    assert x.argmax(axis=one).tolist() == [2, 2]
    assert x[one].shape == (3,)
    assert ops.concat([x, x], axis=one).shape == (2, 6)
    assert ops.broadcast_to(x, shape=(two, two, integer(3))).shape == (2, 2, 3)
    if not isinstance(two, Tensor):  # as an exponent that is an input of its own
        np.testing.assert_array_equal(x**two, X**2)
    for wrong in (2.0, True, "2"):
        with pytest.raises(ValueError, match="must be an integer"):
            x.reshape(wrong, 3)


def test_plus_and_round() -> None:
    x = Tensor(np.array([1.5, 2.5]), requires_grad=True)
    (+x).sum().backward()
    np.testing.assert_array_equal(x.grad, [1, 1])
    assert round(Tensor(np.array([2.345])), 1) == 2.3
    assert round(Tensor(np.array(2.6))) == 3
    with pytest.raises(ValueError, match="one element"):
        round(x)


@pytest.mark.parametrize(
    ("name", "instead"),
    [("view", r"x\.reshape"), ("softmax", r"minibert\.ops\.softmax\(x\)"), ("banana", "attribute 'banana'$")],
)
def test_names_of_other_libraries(name: str, instead: str) -> None:
    with pytest.raises(AttributeError, match=instead):
        getattr(Tensor(np.zeros(3)), name)
    assert not hasattr(Tensor(np.zeros(3)), "__array_interface__")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_stand_beside_real_numbers(dtype: str) -> None:
    """As a leaky rectifier is written: 1 where true, 0 elsewhere."""
    values = np.array([[-2.0, 0.5], [3.0, -1.0]], dtype)
    x = Tensor(values, requires_grad=True)
    for y in (x * (x > 0) + 0.5 * x * (x <= 0), (x > 0) * x + (x <= 0) * x * 0.5):
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, np.where(values > 0, values, values * 0.5))
        x.grad = None
        y.sum().backward()
        np.testing.assert_array_equal(x.grad, np.where(values > 0, 1.0, 0.5))
    np.testing.assert_array_equal(x + (x > 0), values + (values > 0))
