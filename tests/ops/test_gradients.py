"""Every op's backward against central differences, in float64 at gradcheck's (torch's) default tolerances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import gradcheck, ops
from minibert.autograd import Op, Tensor
from tests.ops.catalogue import CASES, COMPOSITIONS, all_ops


@pytest.mark.parametrize("name", sorted(CASES))
@settings(max_examples=25)
@given(data=st.data())
def test_gradcheck(name: str, data: st.DataObject) -> None:
    case = data.draw(CASES[name])
    inputs = [Tensor(x, requires_grad=True) for x in case.inputs]
    assert gradcheck(case.function, inputs)


@pytest.mark.parametrize("name", sorted(COMPOSITIONS))
@settings(max_examples=25)
@given(data=st.data())
def test_gradcheck_of_compositions(name: str, data: st.DataObject) -> None:
    case = data.draw(COMPOSITIONS[name])
    assert gradcheck(case.function, [Tensor(x, requires_grad=True) for x in case.inputs])


def test_every_op_is_checked() -> None:
    assert set(all_ops()) == set(CASES)


def test_an_op_that_nobody_checks_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgotten(Op):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x

        def backward(self, dy: np.ndarray) -> np.ndarray:
            return dy

    Forgotten.__module__ = "minibert.ops.forgotten"
    try:
        assert set(all_ops()) - set(CASES) == {"forgotten"}
    finally:
        Forgotten.__module__ = __name__


@pytest.mark.parametrize("name", sorted(CASES))
@settings(max_examples=5)
@given(data=st.data())
def test_only_the_gradients_that_are_wanted(name: str, data: st.DataObject) -> None:
    """Leaving one input's gradient out changes nothing in the others."""
    case = data.draw(CASES[name])
    wanted = data.draw(st.integers(0, len(case.inputs) - 1))
    every = [Tensor(x, requires_grad=True) for x in case.inputs]
    one = [Tensor(x, requires_grad=i == wanted) for i, x in enumerate(case.inputs)]
    for tensors in (every, one):
        y = case.function(*tensors)
        y.backward(np.ones(y.shape))
    for i, tensor in enumerate(one):
        if i == wanted:
            np.testing.assert_array_equal(tensor.grad, every[i].grad)
        else:
            assert tensor.grad is None


def test_float32_gradients_stay_float32() -> None:
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((3, 4)), dtype="float32", requires_grad=True)
    gamma, beta = (Tensor(rng.standard_normal(4), dtype="float32", requires_grad=True) for _ in range(2))
    loss = ops.cross_entropy(ops.gelu(ops.layer_norm(x * 2.0 + 1.0, gamma, beta)), [0, 3, -100])
    loss.backward()
    assert loss.dtype == np.float32
    assert all(t.grad is not None and t.grad.dtype == np.float32 for t in (x, gamma, beta))
