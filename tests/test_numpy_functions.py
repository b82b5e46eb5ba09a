"""NumPy's functions on tensors: an op, an array, or a refusal; never a gradient lost silently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minibert import no_grad
from minibert.autograd import Tensor

X = np.array([[1.5, -2.0, 3.0], [0.5, 4.0, -1.0]])

OPS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: np.sum(x, axis=1),
    "mean": lambda x: np.mean(x, axis=(0, 1), keepdims=True),
    "max": lambda x: np.max(x, axis=np.int64(0)),
    "min": np.min,
    "var": lambda x: np.var(x, axis=0),
    "std": lambda x: np.std(x, ddof=1, keepdims=True),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "ravel": np.ravel,
    "transpose": np.transpose,
    "transpose of axes": lambda x: np.transpose(x, (1, 0)),
    "squeeze": lambda x: np.squeeze(np.expand_dims(x, 1)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "concatenate": lambda x: np.concatenate([x, X], axis=1),
    "concatenate all": lambda x: np.concatenate((x, x), axis=None),
    "stack": lambda x: np.stack([x, x], axis=-1),
    "where": lambda x: np.where(X > 0, x, 0.0),
    "clip": lambda x: np.clip(x, 0, 2),
    "clip by names": lambda x: np.clip(x, a_min=None, a_max=1.0),
    "dot": lambda x: np.dot(x, X.T),
    "add": lambda x: np.add(x, X),
    "multiply": lambda x: np.multiply(x, x),
    "power": lambda x: np.power(x, 2),
    "subtract": lambda x: np.subtract(X, x),
}


@pytest.mark.parametrize("name", OPS)
def test_functions_that_are_ops(name: str) -> None:
    call = OPS[name]
    x = Tensor(X, requires_grad=True)
    y = call(x)
    assert isinstance(y, Tensor)
    assert y.requires_grad
    np.testing.assert_allclose(y, call(X), rtol=1e-15)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(call(Tensor(X)), call(X), rtol=1e-15)
    with no_grad():
        np.testing.assert_allclose(call(x), call(X), rtol=1e-15)


REFUSED: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "einsum": lambda x: np.einsum("ij->i", x),
    "outer": lambda x: np.outer(x, x),
    "sort": np.sort,
    "cumsum": np.cumsum,
    "prod": np.prod,
    "linalg.norm": np.linalg.norm,
    "split": lambda x: np.split(x, 2),
    "take": lambda x: np.take(x, [0]),
    "tile": lambda x: np.tile(x, 2),
    "vstack of a list in a list": lambda x: np.block([[x, x]]),
    "copy": np.copy,
    "r_": lambda x: np.r_[x, x],
    "c_": lambda x: np.c_[X, x],
    "reduce": np.add.reduce,
    "accumulate": np.add.accumulate,
    "outer of a ufunc": lambda x: np.multiply.outer(X, x),
    "at": lambda x: np.add.at(X.copy(), 0, x[0]),
    "out": lambda x: np.add(X, x, out=np.empty_like(X)),
    "sum into an array": lambda x: np.sum(x, axis=0, out=np.empty(3)),
    "sum as float32": lambda x: np.sum(x, dtype="float32"),
    "sum where": lambda x: np.sum(x, where=X > 0),
    "reshape in Fortran's order": lambda x: np.reshape(x, (3, 2), order="F"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_functions_that_would_lose_the_gradient(name: str) -> None:
    call = REFUSED[name]
    with pytest.raises(ValueError, match="would lose it; use the|leave out dtype= and out=|does not take this"):
        call(Tensor(X, requires_grad=True))
    if not name.startswith(("sum", "reshape")):  # of those a tensor is made in any case
        for x in (Tensor(X), Tensor(X, requires_grad=True)):
            with no_grad():
                result = call(x)
            expected = call(X)
            if expected is not None:
                np.testing.assert_array_equal(result, expected)
                assert not isinstance(result, Tensor)


def test_an_array_is_not_added_to_in_place() -> None:
    array = X.copy()
    with pytest.raises(ValueError, match="numpy.add on a tensor that requires a gradient would lose it"):
        array += Tensor(X, requires_grad=True)
    np.testing.assert_array_equal(array, X)
    array += Tensor(X)
    np.testing.assert_array_equal(array, 2 * X)


def test_a_tensor_is_not_written_into() -> None:
    for write in (
        lambda t: np.add(X, X, out=t),
        lambda t: np.exp(t, out=t),
        lambda t: np.cumsum(X, axis=1, out=t),
        lambda t: np.concatenate([X[:1], X[1:]], out=t),
    ):
        with pytest.raises(ValueError, match="cannot write into a tensor"):
            write(Tensor(X.copy()))


@pytest.mark.parametrize("requires_grad", [False, True])
def test_functions_without_a_gradient_give_arrays(requires_grad: bool) -> None:
    x = Tensor(X, requires_grad=requires_grad)
    assert np.shape(x) == (2, 3)
    assert np.ndim(x) == 2
    assert np.argmax(x) == 4
    np.testing.assert_array_equal(np.argsort(x, axis=1), np.argsort(X, axis=1))
    np.testing.assert_array_equal(np.where(x), np.where(X))
    assert np.allclose(x, X)
    assert np.array_equal(X, x)
    np.testing.assert_array_equal(np.isnan(x), np.isnan(X))
    np.testing.assert_array_equal(np.logical_not(x), X == 0)
    assert type(np.zeros_like(x)) is np.ndarray
    assert type(np.asarray(x)) is np.ndarray
    np.testing.assert_array_equal(np.array([x[0], x[1]]), X)


def test_a_refusal_names_the_function_in_full() -> None:
    with pytest.raises(ValueError, match="numpy.linalg.norm on a tensor that requires a gradient would lose it"):
        np.linalg.norm(Tensor([3.0, 4.0], requires_grad=True))
