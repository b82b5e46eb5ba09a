"""Functions put together from ops, and those that choose: values against NumPy, edges, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import Tensor, gradcheck, ops
from tests.ops.catalogue import values

X = np.random.default_rng(0).standard_normal((3, 1, 4))


@given(x=values(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)), keepdims=st.booleans())
def test_reductions(x: np.ndarray, keepdims: bool) -> None:
    for axis in (None, 0, -1, tuple(range(x.ndim))):
        t, options = Tensor(x), {"axis": axis, "keepdims": keepdims}
        np.testing.assert_array_equal(t.min(**options), x.min(**options))
        # sums in another order than NumPy's: a few roundings of numbers of size one
        np.testing.assert_allclose(t.var(**options), x.var(**options), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(t.std(**options), x.std(**options), rtol=1e-7, atol=1e-8)


def test_unbiased_variance() -> None:
    t = Tensor(X)
    assert t.var(correction=1).item() == pytest.approx(X.var(ddof=1), rel=1e-14)
    with pytest.raises(ValueError, match="variance of 1 numbers with correction 1 is not defined"):
        t.var(axis=1, correction=1)


def test_shapes() -> None:
    t = Tensor(X)
    assert t.flatten().shape == (12,)
    assert t.flatten(1).shape == (3, 4)
    assert t.flatten(0, 1).shape == (3, 4)
    assert Tensor(2.0).flatten().shape == (1,)
    assert t.squeeze().shape == (3, 4)
    assert t.squeeze(1).shape == t.squeeze((-2,)).shape == (3, 4)
    assert t.unsqueeze(-1).shape == (3, 1, 4, 1)
    assert ops.stack([t, t, t], axis=np.int64(2)).shape == (3, 1, 3, 4)
    np.testing.assert_array_equal(ops.stack([t, 2 * t], axis=-1), np.stack([X, 2 * X], axis=-1))
    for wrong in (lambda: t.squeeze(0), lambda: t.squeeze(3), lambda: t.unsqueeze(4), lambda: t.flatten(2, 1)):
        with pytest.raises(ValueError, match="axis"):
            wrong()
    with pytest.raises(ValueError, match="one shape"):
        ops.stack([t, t.squeeze()])
    with pytest.raises(ValueError, match="one shape"):
        ops.stack([])


def test_where_and_clip() -> None:
    x = Tensor(np.array([-1.0, 0.5, 3.0]), requires_grad=True)
    y = ops.where(x > 0, x, 0.0)
    y.sum().backward()
    np.testing.assert_array_equal(y.numpy(), [0.0, 0.5, 3.0])
    np.testing.assert_array_equal(x.grad.numpy(), [0.0, 1.0, 1.0])
    x.grad = None
    clipped = x.clip(-1, 0.5)
    clipped.sum().backward()
    np.testing.assert_array_equal(clipped.numpy(), [-1.0, 0.5, 0.5])
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0, 0.0])  # on the bounds the slope is 1
    assert ops.where([True, False], 1.0, 2.0).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="holds booleans, got int64"):
        ops.where(np.array([1, 0, 1]), x, x)
    with pytest.raises(ValueError, match="do not broadcast"):
        ops.where([True, False], x, 0.0)
    with pytest.raises(ValueError, match="lower or an upper bound"):
        x.clip()
    with pytest.raises(ValueError, match="lies above"):
        x.clip(1, 0)


def test_nan_is_not_hidden() -> None:
    x = Tensor(np.array([np.nan, 1.0]))
    assert math.isnan(x.min().item())
    assert math.isnan(x.clip(0, 2).tolist()[0])


def test_powers_of_tensors() -> None:
    x = Tensor(np.array([2.0, 3.0, 0.0, -2.0]), requires_grad=True)
    n = Tensor(np.array([3.0, 0.0, 2.0, 2.0]))
    y = x**n
    y.sum().backward()
    np.testing.assert_array_equal(y.numpy(), [8.0, 1.0, 0.0, 4.0])
    np.testing.assert_array_equal(x.grad.numpy(), [12.0, 0.0, 0.0, -4.0])
    e = Tensor(np.array([2.0, 0.5]), requires_grad=True)
    (Tensor(np.array([0.0, 4.0])) ** e).sum().backward()
    np.testing.assert_allclose(e.grad.numpy(), [0.0, 2 * math.log(4)], rtol=1e-15)
    np.testing.assert_array_equal((np.array([2.0, 4.0]) ** e).numpy(), [4.0, 2.0])
    for number in (np.float32(2), np.int64(2), np.array(2)):
        np.testing.assert_array_equal((x**number).numpy(), [4.0, 9.0, 0.0, 4.0])
    with pytest.raises(ValueError, match="floating"):
        Tensor([1, 2]) ** Tensor([1, 2])


def test_log_softmax_does_not_underflow() -> None:
    y = ops.log_softmax(Tensor(np.array([[0.0, -2000.0]])))
    assert y.tolist() == [[0.0, -2000.0]]


def test_absolute_value() -> None:
    x = Tensor(np.array([-2.0, 0.0, 3.0]), requires_grad=True)
    abs(x).sum().backward()
    np.testing.assert_array_equal(x.abs().numpy(), [2.0, 0.0, 3.0])
    np.testing.assert_array_equal(x.grad.numpy(), [-1.0, 0.0, 1.0])


@pytest.mark.parametrize("f", [ops.softmax, ops.log_softmax])
def test_softmax_over_any_axis(f: object) -> None:
    x = Tensor(np.random.default_rng(0).standard_normal((2, 3, 5)), requires_grad=True)
    for axis in (0, 1, -2, 2):
        y = f(x, axis=axis)  # type: ignore[operator]
        last = np.moveaxis(f(Tensor(np.moveaxis(x.numpy(), axis, -1))).numpy(), -1, axis)  # type: ignore[operator]
        np.testing.assert_array_equal(y.numpy(), last)
    assert gradcheck(lambda t: f(t, axis=0), [x])  # type: ignore[operator]
    with pytest.raises(ValueError, match="axis 3 does not exist"):
        f(x, axis=3)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("shapes", "axis"), [([], 0), ([()], 0), ([(2, 3), (2, 4)], 0), ([(2, 3), (2, 3)], 2), ([(2,), (2, 3)], 0)]
)
def test_what_cannot_be_concatenated(shapes: list[tuple[int, ...]], axis: int) -> None:
    with pytest.raises(ValueError, match="concat|axis 2 does not exist"):
        ops.concat([Tensor(np.zeros(shape)) for shape in shapes], axis=axis)


def test_bounds_by_the_names_of_numpy() -> None:
    x = Tensor(np.array([-2.0, 0.5, 3.0]))
    assert x.clip(min=0).tolist() == [0, 0.5, 3]
    assert x.clip(max=1).tolist() == ops.clip(x, max=1).tolist() == [-2, 0.5, 1]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "bool"])
def test_extremes_and_variance_of_integers(dtype: str) -> None:
    x = np.array([[0, 1], [1, 0]] if dtype == "bool" else [[0, 7], [100, 3]], dtype)
    for name in ("min", "max"):
        y = getattr(Tensor(x), name)(axis=1)
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(y.numpy(), getattr(x, name)(axis=1))
    np.testing.assert_allclose(Tensor(x).var(axis=0).numpy(), x.var(axis=0), rtol=1e-15)


def test_there_is_no_smallest_of_none() -> None:
    for name in ("min", "max"):
        with pytest.raises(ValueError, match=f"the {name} over an empty axis is not defined"):
            getattr(Tensor(np.zeros((0, 3))), name)()
    assert Tensor(np.zeros((0, 3))).min(axis=1).shape == (0,)


def test_arrays_and_tensors_are_sequences() -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert ops.stack(Tensor(x), axis=1).tolist() == x.T.tolist()
    assert ops.concat(x).tolist() == x.reshape(-1).tolist()
    np.testing.assert_array_equal(ops.softmax(x, axis=0).numpy(), ops.softmax(Tensor(x.T)).numpy().T)
