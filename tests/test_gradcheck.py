"""gradcheck accepts right backwards, catches wrong ones, and says where they are wrong."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minibert import ops
from minibert.autograd import Op, Tensor
from minibert.gradcheck import GradcheckError, gradcheck

# --- ops made for this file: right ones, and ones with a planted bug ----------------------------------------


class Square(Op):
    def forward(self, x: Any) -> Any:
        self.save(x)
        return x * x

    def backward(self, dy: Any) -> Any:
        (x,) = self.saved
        return 2 * x * dy


class WrongSign(Square):
    def backward(self, dy: Any) -> Any:
        return -super().backward(dy)


class HalfTheGradient(Square):
    def backward(self, dy: Any) -> Any:
        return super().backward(dy) / 2


class WrongAtOneIndex(Square):
    def backward(self, dy: Any) -> Any:
        dx = super().backward(dy)
        dx[1, 2] *= 1.01
        return dx


class NoisyBackward(Square):
    rng = np.random.default_rng(0)

    def backward(self, dy: Any) -> Any:
        # Too small for the tolerances on slopes: only the comparison of two runs sees it.
        return super().backward(dy) * (1 + 1e-9 * self.rng.standard_normal(dy.shape))


class BackwardGivesNone(Square):
    def backward(self, dy: Any) -> Any:
        return None


class AddBias(Op):
    def forward(self, x: Any, bias: Any) -> Any:
        return x + bias

    def backward(self, dy: Any) -> Any:
        return dy, dy.sum(axis=0)


class BroadcastNotSummed(AddBias):
    def backward(self, dy: Any) -> Any:
        return dy, dy


class BroadcastFirstRowOnly(AddBias):
    def backward(self, dy: Any) -> Any:
        return dy, dy[0] * 1.0  # the right shape, the wrong sum


class MatMul(Op):
    def forward(self, x: Any, weight: Any) -> Any:
        self.save(x, weight)
        return x @ weight

    def backward(self, dy: Any) -> Any:
        x, weight = self.saved
        return dy @ weight.T, x.T @ dy


class WeightTransposed(MatMul):
    def backward(self, dy: Any) -> Any:
        x, weight = self.saved
        return dy @ weight, x.T @ dy  # fits only because the weight is square


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).uniform(0.5, 2.0, shape), requires_grad=True)


# --- right backwards pass -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (1, 1), (3, 1, 2), (2, 0)])
def test_accepts_a_right_backward_of_any_shape(shape: tuple[int, ...], fast_mode: bool) -> None:
    assert gradcheck(Square.apply, leaf(*shape), fast_mode=fast_mode) is True


@given(x=hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-3, 3)))
@settings(deadline=None, max_examples=30)
def test_accepts_drawn_inputs(x: np.ndarray) -> None:
    assert gradcheck(Square.apply, Tensor(x, requires_grad=True))
    assert gradcheck(Square.apply, Tensor(x, requires_grad=True), fast_mode=True)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_accepts_several_inputs_and_outputs(fast_mode: bool) -> None:
    def both(x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        return AddBias.apply(x, bias), Square.apply(bias)

    assert gradcheck(both, (leaf(4, 3), leaf(3, seed=1)), fast_mode=fast_mode)


def test_accepts_non_contiguous_inputs() -> None:
    base = np.random.default_rng(0).standard_normal((6, 8))
    for view in (base.T, base[::2, 1::3], base[:, ::-1], np.broadcast_to(base[:1], (4, 8))):
        assert gradcheck(Square.apply, Tensor(view, requires_grad=True))


def test_leaves_inputs_that_need_no_gradient_alone() -> None:
    assert gradcheck(MatMul.apply, (leaf(2, 3), Tensor(np.ones((3, 2)))))
    assert gradcheck(lambda x, power: Square.apply(x) if power == 2 else x, (leaf(3), 2))


def test_reaches_a_parameter_through_a_closure() -> None:
    x, weight = Tensor(np.arange(6.0).reshape(2, 3)), leaf(3, 2)
    assert gradcheck(lambda *_: MatMul.apply(x, weight), (weight,))
    with pytest.raises(GradcheckError, match="input 0"):
        gradcheck(lambda *_: BroadcastFirstRowOnly.apply(x, weight_row), (weight_row := leaf(3),))


def test_an_input_may_be_the_result_of_an_op() -> None:
    x = leaf(3)
    y = Square.apply(x)
    assert gradcheck(Square.apply, y)
    assert y.creator is not None
    assert x.grad is None
    y.backward(np.ones(3))  # its own tape still stands
    np.testing.assert_array_equal(x.grad.data, 2 * x.data)  # type: ignore[union-attr]


def test_the_same_tensor_may_be_there_twice() -> None:
    x = leaf(3, 3)
    array = x.data
    assert gradcheck(MatMul.apply, (x, x))
    assert x.data is array


def test_a_function_of_nothing_must_be_constant() -> None:
    assert gradcheck(lambda x: Tensor(np.ones(2)), leaf(3))
    with pytest.raises(GradcheckError, match="zero everywhere"):
        gradcheck(lambda x: Tensor(x.data * 3.0), leaf(3))


# --- planted bugs are found ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize(
    ("op", "shapes", "number", "name"),
    [
        (WrongSign, [(3, 4)], 0, "x"),
        (HalfTheGradient, [(3, 4)], 0, "x"),
        (WrongAtOneIndex, [(3, 4)], 0, "x"),
        (BackwardGivesNone, [(3, 4)], 0, "x"),
        (BroadcastFirstRowOnly, [(3, 4), (4,)], 1, "bias"),
        (WeightTransposed, [(2, 3), (3, 3)], 0, "x"),
    ],
)
def test_finds_the_planted_bug(
    op: type[Op], shapes: list[tuple[int, ...]], number: int, name: str, fast_mode: bool
) -> None:
    inputs = [leaf(*shape, seed=i) for i, shape in enumerate(shapes)]
    with pytest.raises(GradcheckError) as caught:
        gradcheck(op.apply, inputs, fast_mode=fast_mode)
    assert f"gradcheck: {op.__name__}: the gradient of input {number} ({name}) is wrong" in str(caught.value)
    assert gradcheck(op.apply, inputs, fast_mode=fast_mode, raise_exception=False) is False


@pytest.mark.parametrize("fast_mode", [False, True])
def test_a_missing_sum_over_a_broadcast_axis_is_explained(fast_mode: bool) -> None:
    inputs = (leaf(3, 4), leaf(4))
    with pytest.raises(GradcheckError, match=r"BroadcastNotSummed: backward failed:.*\n  hint: .*broadcast"):
        gradcheck(BroadcastNotSummed.apply, inputs, fast_mode=fast_mode)
    assert not gradcheck(BroadcastNotSummed.apply, inputs, fast_mode=fast_mode, raise_exception=False)


def test_a_noisy_backward_is_found() -> None:
    with pytest.raises(
        GradcheckError, match=r"not deterministic for input 0 \(x\)\n  at index \[\d\] the first run"
    ):
        gradcheck(NoisyBackward.apply, leaf(3))
    assert gradcheck(NoisyBackward.apply, leaf(3), nondet_tol=1e-6)


def test_a_noisy_forward_is_explained() -> None:
    draw = np.random.default_rng(0)

    def dropped(x: Tensor) -> Tensor:
        return MatMul.apply(x, Tensor(draw.integers(0, 2, (8, 8)) * 2.0))

    with pytest.raises(GradcheckError, match="hint: func gives different outputs for the same input"):
        gradcheck(dropped, leaf(1, 8))


def test_not_a_number_is_an_error() -> None:
    with pytest.raises(GradcheckError, match="hint: there are infinities or NaNs"):
        gradcheck(Square.apply, Tensor([1.0, np.nan], dtype="float64", requires_grad=True))


def test_bugs_in_any_output_are_found() -> None:
    with pytest.raises(GradcheckError, match="of output 1: expected"):
        gradcheck(lambda x: (Square.apply(x), WrongSign.apply(x)), leaf(2))


# --- what the message says ----------------------------------------------------------------------------------


def test_the_message_names_index_expected_received_and_count() -> None:
    x = Tensor(np.arange(1.0, 13.0).reshape(3, 4), requires_grad=True)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(WrongAtOneIndex.apply, x)
    message = str(caught.value)
    assert "WrongAtOneIndex" in message
    assert "input 0 (x)" in message
    found = re.search(r"at index \[1, 2\] of the input and \[1, 2\] of the output: expected (\S+) \(numerical\), "
                      r"received (\S+) \(analytical\)", message)  # fmt: skip
    assert found, message
    # d(x**2)/dx at x = 7: 14 by differences (their rounding is about 1e-16 * 49 / 1e-6), 14.14 by the planted
    # bug.
    assert float(found[1]) == pytest.approx(14.0, abs=1e-7)
    assert float(found[2]) == pytest.approx(14.14, abs=1e-7)
    assert "1 of 144 entries of the Jacobian disagree, in 1 of 12 input entries" in message
    assert "all other input entries are right" in message
    assert len(message.splitlines()) == 4


@pytest.mark.parametrize(
    ("op", "hint"),
    [(WrongSign, "opposite sign"), (HalfTheGradient, "0.5 times"), (BackwardGivesNone, "zero everywhere")],
)
def test_hints(op: type[Op], hint: str) -> None:
    with pytest.raises(GradcheckError, match=f"hint: .*{hint}"):
        gradcheck(op.apply, leaf(2, 3))


def test_a_lambda_is_named_by_its_last_op() -> None:
    with pytest.raises(
        GradcheckError, match=r"<lambda> \(last op: wrong_sign\): the gradient of input 0 \(h\)"
    ):
        gradcheck(lambda h: WrongSign.apply(h), leaf(2))


def test_zero_dimensional_index() -> None:
    with pytest.raises(GradcheckError, match=r"at index \(\) of the input and \(\) of the output"):
        gradcheck(WrongSign.apply, leaf())


# --- nothing is left behind ---------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [Square, WrongSign, NoisyBackward])
def test_inputs_and_gradients_are_restored(op: type[Op]) -> None:
    x, other = leaf(2, 3), leaf(3, seed=5)
    x.grad = before = Tensor(np.full((2, 3), 7.0))
    array, copy = x.data, x.data.copy()
    gradcheck(lambda x: op.apply(AddBias.apply(x, other)), x, raise_exception=False)
    assert x.data is array
    np.testing.assert_array_equal(x.data, copy)
    assert x.grad is before
    assert other.grad is None, "a leaf that is no input got a gradient"


@pytest.mark.parametrize("op", [Square, WrongSign])
def test_arrays_are_writeable_again_even_while_the_error_is_held(op: type[Op]) -> None:
    x = leaf(3)
    error = None
    try:
        gradcheck(op.apply, x)
    except GradcheckError as caught:
        error = caught
    assert (error is None) == (op is Square)
    x.data[0] = 1.0


def test_inputs_are_restored_when_func_raises() -> None:
    x, calls = leaf(3), []
    array = x.data

    def fails_later(x: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) > 3:
            raise KeyError("from inside")
        return Square.apply(x)

    with pytest.raises(KeyError, match="from inside"):
        gradcheck(fails_later, x)
    assert x.data is array
    assert x.grad is None


def test_a_read_only_input_is_fine() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    assert gradcheck(Square.apply, Tensor(array, requires_grad=True))
    assert not array.flags.writeable


# --- arguments ----------------------------------------------------------------------------------------------


def test_float32_is_warned_about() -> None:
    x = Tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    with pytest.warns(UserWarning, match=r"input 0 \(x\) of Square is float32, not float64") as record:
        gradcheck(Square.apply, x, eps=1e-2, atol=1e-2, rtol=1e-2)
    assert record[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradcheck(Square.apply, leaf(2))


def test_nothing_to_check_is_an_error() -> None:
    with pytest.raises(
        ValueError, match="Square: expected an input Tensor with requires_grad=True, got Tensor"
    ):
        gradcheck(Square.apply, Tensor(np.ones(2)))
    with pytest.raises(ValueError, match="got none"):
        gradcheck(Square.apply, ())


def test_what_is_no_tensor_cannot_be_checked() -> None:
    with pytest.raises(ValueError, match="must return a Tensor or a tuple of Tensors, got ndarray"):
        gradcheck(lambda x: x.data, leaf(2))


@pytest.mark.parametrize(
    "option", [{"eps": 0.0}, {"eps": np.inf}, {"atol": -1.0}, {"rtol": np.nan}, {"nondet_tol": -1}]
)
def test_bad_options(option: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"gradcheck: {next(iter(option))} must be"):
        gradcheck(Square.apply, leaf(2), **option)  # type: ignore[arg-type]


def test_options_of_torch_that_mean_nothing_here_are_refused() -> None:
    with pytest.raises(TypeError, match="check_forward_ad"):
        gradcheck(Square.apply, leaf(2), check_forward_ad=True)  # type: ignore[call-arg]


def test_the_defaults_are_those_of_torch() -> None:
    defaults = {
        name: p.default
        for name, p in inspect.signature(gradcheck).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }
    assert defaults == {
        "eps": 1e-6,
        "atol": 1e-5,
        "rtol": 1e-3,
        "raise_exception": True,
        "nondet_tol": 0.0,
        "fast_mode": False,
    }


# --- each cause has its own words ---------------------------------------------------------------------------


def made(forward: Any, backward: Any = lambda op, dy: dy) -> type[Op]:
    return type("Made", (Op,), {"forward": forward, "backward": backward})


def two(*shape: int) -> tuple[Tensor, Tensor]:
    return leaf(*shape), leaf(*shape, seed=1)


def double_in_place(op: Op, x: Any) -> Any:
    op.save(x)
    x *= 2
    return x + 0


def spoil_saved(op: Op, dy: Any) -> Any:
    op.saved[0][...] = 0.0
    return dy


def saved_once(op: Op, x: Any) -> Any:
    op.save(x)
    return x * 1


def unpack_two(op: Op, dy: Any) -> Any:
    x, y = op.saved
    return dy * x * y


def fail(op: Op, dy: Any) -> Any:
    raise KeyError("missing")


PLAIN = made(lambda op, x: x * 1).forward
CAUSES = {
    "number": (made(lambda op, x, y: x * y), 2, "gave 1 gradients for 2 inputs", "one gradient for each positional"),
    "list": (made(PLAIN, lambda op, dy: [dy]), 1, "gave a list", "return dx for one input"),
    "float": (made(PLAIN, lambda op, dy: 1.0), 1, "gave a float as", "computes with plain arrays"),
    "tensor": (made(PLAIN, lambda op, dy: Tensor(dy)), 1, "gave a Tensor as", "computes with plain arrays"),
    "dtype": (made(PLAIN, lambda op, dy: dy.astype("f4")), 1, "(float32)", "has the dtype of its input"),
    "shape": (made(PLAIN, lambda op, dy: dy[:1]), 1, "of shape (1,)", "has the shape of its input"),
    "none": (made(PLAIN, lambda op, dy: None), 1, "is wrong", "None returned"),
    "input": (made(double_in_place), 1, "made.forward changed its input 0 in place", "work on a copy"),
    "saved": (made(saved_once, spoil_saved), 1, "made.backward writes into", "work on a copy"),
    "unpacked": (made(saved_once, unpack_two), 1, "raised in made.backward", "as many values as forward gave"),
    "error": (made(saved_once, fail), 1, "KeyError: 'missing' (raised in made.backward)", "itself raised this"),
}  # fmt: skip


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("cause", CAUSES)
def test_the_hint_is_that_of_the_cause(cause: str, fast_mode: bool) -> None:
    op, count, what, hint = CAUSES[cause]
    inputs = two(2)[:count]
    before = [x.data.copy() for x in inputs]
    with pytest.raises(GradcheckError) as caught:
        gradcheck(op.apply, inputs, fast_mode=fast_mode)
    first, *rest = str(caught.value).splitlines()
    assert what in first
    assert hint in rest[-1]
    assert ("shape of its input" in rest[-1]) == (cause == "shape")
    for x, old in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(x, old)
        x.data[...] = old
    assert not gradcheck(op.apply, inputs, fast_mode=fast_mode, raise_exception=False)


def test_a_function_that_changes_its_input_is_found() -> None:
    def grows(x: Tensor) -> Tensor:
        x.data += 1.0
        return Square.apply(x)

    x = leaf(2)
    before = x.data.copy()
    with pytest.raises(GradcheckError, match=r"grows: func changed input 0 \(x\) in place"):
        gradcheck(grows, x)
    np.testing.assert_array_equal(x, before)


def test_a_change_of_an_intermediate_array_is_found() -> None:
    in_place = made(lambda op, x: np.multiply(x, 2, out=x) + 0, lambda op, dy: 2 * dy)
    with pytest.raises(GradcheckError, match="made.forward changed its input 0 in place"):
        gradcheck(lambda x: in_place.apply(AddBias.apply(x, x[0])), leaf(2, 3))


def test_an_infinite_gradient_is_no_random_one() -> None:
    """The same infinity twice is the same gradient."""
    with np.errstate(all="ignore"), pytest.raises(GradcheckError) as caught:
        gradcheck(ops.log, Tensor([0.0, 1.0], dtype="float64", requires_grad=True))
    assert "deterministic" not in str(caught.value)
