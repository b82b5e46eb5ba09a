"""The engine: what the tape notes, how backward walks it, and what it refuses."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import enable_grad, is_grad_enabled, no_grad, ops
from minibert.autograd import Op, Tensor


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


# --- gradients add up -------------------------------------------------------------------------------------------------


def test_a_tensor_used_twice_gets_both_gradients() -> None:
    x = leaf(3.0)
    y = x * x + x * 2.0
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 8.0


def test_a_diamond_is_walked_once() -> None:
    """Both branches must be summed before the shared part is passed: 2**40 paths, forty steps."""
    x = leaf(1.0)
    y = x
    for _ in range(40):
        y = (y + y) * 0.5
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 1.0


def test_backward_adds_to_what_is_there() -> None:
    x = leaf(1.0, 2.0)
    (x * 3.0).sum().backward()
    (x * 4.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [7.0, 7.0])


@given(st.lists(st.integers(1, 4), max_size=3).map(tuple))
def test_any_shape_of_incoming_gradient(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    x, dy = Tensor(rng.standard_normal(shape), requires_grad=True), rng.standard_normal(shape)
    (x * 2.0).backward(dy)
    np.testing.assert_array_equal(x.grad, 2.0 * dy)


def test_incoming_gradient_of_a_leaf_is_its_gradient() -> None:
    x = leaf(1.0, 2.0)
    x.backward([5.0, 6.0])
    np.testing.assert_array_equal(x.grad, [5.0, 6.0])


def test_a_broadcast_input_gets_the_sum() -> None:
    x, row, number = (
        Tensor(np.ones((4, 3)), requires_grad=True),
        leaf(1.0, 2.0, 3.0),
        Tensor(np.array(2.0), requires_grad=True),
    )
    (x * row + number).sum().backward()
    np.testing.assert_array_equal(row.grad, [4.0, 4.0, 4.0])
    np.testing.assert_array_equal(number.grad, 12.0)


def test_gradients_of_two_leaves_are_two_arrays() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    x.grad.data *= 10.0
    np.testing.assert_array_equal(y.grad, [1.0, 1.0])


def test_gradient_does_not_share_memory_with_the_incoming_one() -> None:
    x, dy = leaf(1.0, 2.0), np.ones(2)
    (x + 1.0).backward(dy)
    dy[:] = 9.0
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])


# --- the tape ---------------------------------------------------------------------------------------------------------


def test_a_long_chain_needs_no_recursion() -> None:
    length = 20 * sys.getrecursionlimit()
    x = leaf(0.0)
    y = x
    for _ in range(length):
        y = y + 1.0
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 1.0


def test_a_long_chain_can_be_dropped() -> None:
    y = leaf(0.0)
    for _ in range(20 * sys.getrecursionlimit()):
        y = y + 1.0
    del y
    gc.collect()


def test_the_tape_is_freed_after_use() -> None:
    x = leaf(2.0)
    y = x * x
    op = y.creator
    y.backward()
    assert op is not None
    assert op.inputs == ()
    assert op.saved == ()
    with pytest.raises(ValueError, match="retain_graph=True"):
        y.backward()


def test_a_part_freed_by_another_backward_is_named() -> None:
    x = leaf(2.0)
    shared = x * x
    (shared * 2.0).backward()
    with pytest.raises(ValueError, match="freed by an earlier backward"):
        (shared * 3.0).backward()


def test_retain_graph() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 8.0


def test_retain_grad() -> None:
    x = leaf(2.0)
    y = x * 3.0
    y.retain_grad()
    (y * y).backward()
    assert y.grad is not None
    assert y.grad.item() == 12.0


def test_no_grad_and_enable_grad() -> None:
    x = leaf(1.0)
    with no_grad():
        assert not is_grad_enabled()
        assert not (x * 2.0).requires_grad
        with enable_grad():
            assert (x * 2.0).requires_grad
    assert is_grad_enabled()
    assert (x * 2.0).requires_grad


def test_no_grad_as_a_decorator() -> None:
    @no_grad()
    def double(x: Tensor) -> Tensor:
        return x * 2.0

    assert not double(leaf(1.0)).requires_grad
    assert is_grad_enabled()


def test_no_grad_ends_with_an_error() -> None:
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_grad_enabled()


def test_detach() -> None:
    x = leaf(2.0)
    (x * (x * 3.0).detach()).backward()
    assert x.grad is not None
    assert x.grad.item() == 6.0


# --- saved arrays are read-only ---------------------------------------------------------------------------------------


def test_writing_into_a_saved_array_is_an_error() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    with pytest.raises(ValueError, match="read-only"):
        x.data[0] = 5.0
    y.sum().backward()
    x.data[0] = 5.0
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_writing_through_the_owner_of_a_saved_view_is_an_error() -> None:
    owner = np.arange(6.0)
    x = Tensor(owner[2:4], requires_grad=True)
    y = x * x
    with pytest.raises(ValueError, match="read-only"):
        owner[2] = 7.0
    y.sum().backward()
    owner[2] = 7.0
    x.data[1] = 7.0


def test_views_of_one_owner_come_back_in_any_order() -> None:
    owner = np.arange(6.0)
    x, y = Tensor(owner[:3], requires_grad=True), Tensor(owner[3:], requires_grad=True)
    first, second = x * x, y * y
    first.sum().backward()
    x.data[0] = 1.0  # free again, though the owner still serves y
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        owner[0] = 1.0
    second.sum().backward()
    y.data[0] = owner[1] = 1.0


def test_a_dropped_tape_lets_go() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    del y
    gc.collect()
    x.data[0] = 5.0


def test_arrays_that_were_read_only_stay_so() -> None:
    array = np.ones(3)
    array.flags.writeable = False
    x = Tensor(array, requires_grad=True)
    (x * x).sum().backward()
    assert not array.flags.writeable


def test_nothing_is_locked_without_a_tape() -> None:
    x = leaf(1.0)
    with no_grad():
        x * x
    x.data[0] = 2.0


# --- what is refused --------------------------------------------------------------------------------------------------


def test_backward_needs_a_number_or_a_gradient() -> None:
    with pytest.raises(ValueError, match="single number"):
        (leaf(1.0, 2.0) * 2.0).backward()
    with pytest.raises(ValueError, match=r"shape \(3,\), the tensor \(2,\)"):
        (leaf(1.0, 2.0) * 2.0).backward(np.ones(3))
    with pytest.raises(ValueError, match="requires_grad is False"):
        Tensor(1.0).backward()


def test_integers_have_no_gradient() -> None:
    with pytest.raises(ValueError, match="floating"):
        Tensor([1, 2], requires_grad=True)


def test_an_op_whose_gradient_does_not_fit_is_named() -> None:
    class Halved(Op):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x

        def backward(self, dy: np.ndarray) -> np.ndarray:
            return dy[:1]

    with pytest.raises(ValueError, match=r"halved.backward gave a gradient of shape \(1,\).* input 0 of shape \(2,\)"):
        Halved.apply(leaf(1.0, 2.0)).backward(np.ones(2))


def test_an_op_with_too_few_gradients_is_named() -> None:
    class Lost(Op):
        def forward(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return x + y

        def backward(self, dy: np.ndarray) -> np.ndarray:
            return dy

    with pytest.raises(ValueError, match="1 gradients for 2 inputs"):
        Lost.apply(leaf(1.0), leaf(2.0)).backward()


# --- tensors and NumPy ------------------------------------------------------------------------------------------------


def test_array_on_the_left() -> None:
    x = leaf(1.0, 2.0)
    for y in (np.array([1.0, 1.0]) - x, np.float64(1.0) - x, 1.0 - x, 1 - x):
        assert isinstance(y, Tensor)
        assert y.requires_grad
        np.testing.assert_array_equal(y, [0.0, -1.0])
    product = np.ones((3, 2)) @ x
    assert isinstance(product, Tensor)
    np.testing.assert_array_equal(product, [3.0, 3.0, 3.0])
    quotient = np.array([2.0, 2.0]) / x
    np.testing.assert_array_equal(quotient, [2.0, 1.0])


def test_numpy_functions_do_not_lose_a_gradient_silently() -> None:
    with pytest.raises(ValueError, match="would lose it"):
        np.exp(leaf(1.0))
    np.testing.assert_array_equal(np.exp(Tensor([0.0])), [1.0])


def test_default_is_float32_and_numbers_follow() -> None:
    assert Tensor(1.5).dtype == np.float32
    assert Tensor([1.5]).dtype == np.float32
    assert Tensor(np.array([1.5])).dtype == np.float64
    assert (Tensor([1.5]) * 2.0).dtype == np.float32
    assert (leaf(1.5) * 2.0).dtype == np.float64
    assert (Tensor([1.5]) / 3).dtype == np.float32


def test_ways_out() -> None:
    x = leaf(1.0, 2.0)
    assert x.tolist() == [1.0, 2.0]
    assert float(x[1]) == 2.0
    assert len(x) == 2
    assert "requires_grad=True" in repr(x)
    assert np.asarray(x).dtype == np.float64
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert x.numpy() is x.data
    with pytest.raises(ValueError, match="one element"):
        x.item()


def test_indexing() -> None:
    x = Tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    np.testing.assert_array_equal(x[1], [4, 5, 6, 7])
    np.testing.assert_array_equal(x[:, -1], [3, 7, 11])
    np.testing.assert_array_equal(x[[2, 2]].sum(axis=0), [16, 18, 20, 22])
    np.testing.assert_array_equal(x[x.data > 9], [10, 11])
    x[[2, 2]].sum().backward()
    np.testing.assert_array_equal(x.grad, [[0] * 4, [0] * 4, [2] * 4])
    with pytest.raises(ValueError, match=r"0\.\.2"):
        x[[3]]


def test_what_is_not_numbers() -> None:
    with pytest.raises(ValueError, match="expected numbers"):
        Tensor("word")
    with pytest.raises(ValueError, match="rectangular"):
        Tensor([[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="unknown dtype"):
        Tensor([1.0], dtype="floaty")


def test_mean_of_a_matrix_product() -> None:
    """A first network, by hand: L = mean((x w)^2), dL/dw = 2/n x^T (x w)."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((5, 3)), Tensor(rng.standard_normal((3, 1)), requires_grad=True)
    y = ops.matmul(Tensor(x), w)
    (y * y).mean().backward()
    np.testing.assert_allclose(w.grad, 2.0 / 5.0 * x.T @ (x @ w.data), rtol=1e-14)
