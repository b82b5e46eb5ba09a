"""The update rules: first steps computed by hand, and every classic mistake shown to be absent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minibert.autograd import Tensor
from minibert.optim import (
    Adam,
    AdamW,
    BertAdam,
    Optimizer,
)

# float64 arithmetic of a handful of operations: a few units in the last place.
EXACT = {"rel": 1e-14, "abs": 0.0}
ALL = [Adam, AdamW, BertAdam]


def parameter(values: Any, grad: Any = None) -> Tensor:
    p = Tensor(np.array(values, np.float64), requires_grad=True)
    if grad is not None:
        p.grad = Tensor(np.array(grad, np.float64))
    return p


def stepped(make: Callable[..., Optimizer], value: float, grads: list[float], **options: Any) -> float:
    """The value of a single number after one step for each gradient."""
    p = parameter([value])
    optimizer = make([p], **options)
    for g in grads:
        p.grad = Tensor(np.array([g]))
        optimizer.step()
    return p.data[0]


@pytest.mark.parametrize("make", [Adam, AdamW])
def test_first_step_with_bias_correction_is_the_sign_of_the_gradient(make: Any) -> None:
    # t = 1: mhat = g and vhat = g**2, so the step is lr * g / (|g| + eps), here 0.1 * 4 / (4 + 0.5).
    assert stepped(make, 3.0, [4.0], lr=0.1, eps=0.5, weight_decay=0.0) == pytest.approx(3 - 0.4 / 4.5, **EXACT)


def test_first_step_without_bias_correction() -> None:
    # m = 0.1 g = 0.4, v = 0.001 g**2 = 0.016: the step is 0.1 * 0.4 / (sqrt(0.016) + 0.5).
    got = stepped(BertAdam, 3.0, [4.0], lr=0.1, eps=0.5, weight_decay=0.0, max_grad_norm=None)
    assert got == pytest.approx(3 - 0.04 / (math.sqrt(0.016) + 0.5), **EXACT)


def test_second_step_by_hand() -> None:
    # g = 4, then -2: m = 0.9 * 0.4 - 0.2 = 0.16, v = 0.999 * 0.016 + 0.004 = 0.019984; corrected by 0.19 and 0.001999.
    first = 3 - 0.1 * 4 / (4 + 1e-8)
    second = first - 0.1 * (0.16 / 0.19) / (math.sqrt(0.019984 / 0.001999) + 1e-8)
    assert stepped(AdamW, 3.0, [4.0, -2.0], lr=0.1, weight_decay=0.0) == pytest.approx(second, **EXACT)
    assert stepped(Adam, 3.0, [4.0, -2.0], lr=0.1, weight_decay=0.0) == pytest.approx(second, **EXACT)


def test_decay_of_adam_is_part_of_the_gradient() -> None:
    # g + w p = 4 + 0.5 * 3 = 5.5, and the first step is its sign (eps = 0): the size of the decay does not matter.
    assert stepped(Adam, 3.0, [4.0], lr=0.1, eps=0.0, weight_decay=0.5) == pytest.approx(2.9, **EXACT)


def test_decay_of_adamw_is_apart_from_the_gradient_and_times_the_rate() -> None:
    # p (1 - lr w) - lr sign(g) = 3 * 0.95 - 0.1
    assert stepped(AdamW, 3.0, [4.0], lr=0.1, eps=0.0, weight_decay=0.5) == pytest.approx(2.75, **EXACT)
    assert stepped(AdamW, 3.0, [0.0], lr=0.1, weight_decay=0.5) == pytest.approx(2.85, **EXACT)


def test_decay_of_bert_adam_is_apart_from_the_gradient_and_times_the_rate() -> None:
    # Google: update = m / (sqrt(v) + eps) + w p, then p -= lr * update.
    update = 0.4 / math.sqrt(0.016) + 0.5 * 3
    got = stepped(BertAdam, 3.0, [4.0], lr=0.1, eps=0.0, weight_decay=0.5, max_grad_norm=None)
    assert got == pytest.approx(3 - 0.1 * update, **EXACT)


@pytest.mark.parametrize("make", ALL)
def test_eps_is_outside_the_root(make: Any) -> None:
    # With v = 0.001 * 1e-12 an eps of 1e-6 inside the root would make the step 1,000 times smaller and more.
    no_clip = {"max_grad_norm": None} if make is BertAdam else {}
    got = stepped(make, 0.0, [1e-6], lr=1.0, eps=1e-6, weight_decay=0.0, **no_clip)
    m, v = (1e-7, 1e-15) if make is BertAdam else (1e-6, 1e-12)
    assert got == pytest.approx(-m / (math.sqrt(v) + 1e-6), rel=1e-12)


def test_bias_correction_fades_and_is_not_applied_twice() -> None:
    # A constant gradient: corrected, every step is lr; uncorrected, step t is lr (1 - 0.9**t) / sqrt(1 - 0.999**t).
    steps = 30
    assert stepped(AdamW, 0.0, [2.0] * steps, lr=0.1, eps=0.0, weight_decay=0.0) == pytest.approx(-0.1 * steps)
    plain = sum(0.1 * (1 - 0.9**t) / math.sqrt(1 - 0.999**t) for t in range(1, steps + 1))
    got = stepped(BertAdam, 0.0, [2.0] * steps, lr=0.1, eps=0.0, weight_decay=0.0, max_grad_norm=None)
    assert got == pytest.approx(-plain)


def test_defaults() -> None:
    p = parameter([1.0])
    options = {make.__name__: make([p]).param_groups[0] for make in ALL}
    for name, lr, eps, decay in [
        ("Adam", 1e-3, 1e-8, 0.0),
        ("AdamW", 1e-3, 1e-8, 0.01),
        ("BertAdam", 1e-4, 1e-6, 0.01),
    ]:
        group = options[name]
        assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (lr, (0.9, 0.999), eps, decay)
    assert BertAdam([p]).max_grad_norm == 1.0


@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5), make=st.sampled_from(ALL))
@settings(deadline=None, max_examples=40)
def test_any_shape_is_stepped_entry_by_entry(shape: tuple[int, ...], make: Any) -> None:
    draw = np.random.default_rng(0)
    start, grads = draw.standard_normal(shape), draw.standard_normal((3, *shape))
    p = parameter(start)
    optimizer = make([p], lr=0.1, weight_decay=0.1, **({"max_grad_norm": None} if make is BertAdam else {}))
    for g in grads:
        p.grad = Tensor(np.array(g))
        optimizer.step()
    options = {k: v for k, v in optimizer.param_groups[0].items() if k in ("lr", "weight_decay")}
    extra = {"max_grad_norm": None} if make is BertAdam else {}
    for place in np.ndindex(shape):
        alone = stepped(make, float(start[place]), [float(g[place]) for g in grads], **options, **extra)
        # One number alone and the same number in an array may be rounded by different machine code.
        assert p.data[place] == pytest.approx(alone, rel=1e-13)


@pytest.mark.parametrize("make", ALL)
def test_float32_stays_float32(make: Any) -> None:
    p = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    p.grad = Tensor(np.ones((2, 3), np.float32))
    optimizer = make([p])
    optimizer.step()
    assert p.data.dtype == np.float32
    assert {optimizer.state[0][key].dtype for key in ("m", "v")} == {np.dtype("float32")}


@pytest.mark.parametrize("make", ALL)
def test_runs_on_another_array_library(make: Any) -> None:
    xp = array_api_strict
    draw = np.random.default_rng(0)
    start, grad = draw.standard_normal((2, 3)), draw.standard_normal((2, 3))
    ours, theirs = parameter(start, grad), Tensor(xp.asarray(start), requires_grad=True)
    theirs.grad = Tensor(xp.asarray(grad))
    for p in (ours, theirs):
        optimizer = make([p], weight_decay=0.1)
        optimizer.step()
        state = optimizer.state_dict()
        optimizer.load_state_dict(state)
        optimizer.step()
        assert type(state["state"][0]["m"]) is np.ndarray
    assert type(theirs.data) is type(xp.asarray(start))
    np.testing.assert_array_equal(theirs.numpy(), ours.data)


@pytest.mark.parametrize("make", ALL)
def test_the_array_is_written_in_place(make: Any) -> None:
    p = parameter([1.0, 2.0], [1.0, 1.0])
    array = p.data
    make([p]).step()
    assert p.data is array
    assert (array != [1.0, 2.0]).all()


def test_a_read_only_array_is_replaced_and_not_written() -> None:
    for data in (np.broadcast_to(np.float64(1.0), (2, 2)), np.float64(1.0)):
        p = Tensor(data, requires_grad=True)
        p.grad = Tensor(np.ones(np.shape(data)))
        optimizer = AdamW([p], lr=0.1, weight_decay=0.0)
        optimizer.step()
        optimizer.step()
        np.testing.assert_allclose(p.data, np.full(np.shape(data), 0.8), rtol=1e-7)  # eps is 1e-8 of the gradient
        assert np.all(data == 1.0)


def test_a_step_while_a_tape_is_alive_leaves_its_gradient_right() -> None:
    p = parameter([3.0])
    loss = (p * p).sum()
    p.grad = Tensor(np.array([1.0]))
    optimizer = AdamW([p], lr=0.5)
    optimizer.step()
    optimizer.zero_grad()
    loss.backward()
    assert p.grad is not None
    assert p.grad.data[0] == 6.0  # the slope at 3, where the loss was computed
    optimizer.step()
