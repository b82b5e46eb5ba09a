"""Adam's kernel gives the explicit update's bits, and the norm's kernel the explicit norm to float64's rounding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import backend, nn
from minibert.autograd import Tensor
from minibert.kernels.cpu import adam, threads
from minibert.optim import Adam, AdamW, BertAdam, Optimizer, clip_grad_norm, decay_groups

ALL = [Adam, AdamW, BertAdam]
seeds = st.integers(0, 10**6)
shapes = st.lists(st.lists(st.integers(0, 40), max_size=3).map(tuple), min_size=1, max_size=6)


@pytest.fixture(autouse=True, scope="module")
def _kernels_for_the_smallest() -> Any:
    before, backend._switch.smallest = backend._switch.smallest, 0
    yield
    backend._switch.smallest = before


def drawn(seed: int, shapes: list[tuple[int, ...]], dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    # over many powers of ten, with zeros: some steps are all eps
    return [
        np.asarray(rng.standard_normal(s) * 10.0 ** rng.integers(-6, 2) * (rng.random(s) > 0.1), dtype) for s in shapes
    ]


def train(make: Any, shapes: list[tuple[int, ...]], dtype: str, seed: int, steps: int, **options: Any) -> Optimizer:
    """Some steps; now and then a parameter has no gradient."""
    params = [Tensor(x, requires_grad=True) for x in drawn(seed, shapes, dtype)]
    half = len(params) // 2
    optimizer: Optimizer = make([{"params": params[:half], "lr": 0.3}, {"params": params[half:]}], **options)
    for step in range(steps):
        for i, (p, grad) in enumerate(zip(params, drawn(seed + step + 1, shapes, dtype), strict=True)):
            p.grad = None if (i + step) % 5 == 4 else Tensor(grad)
        optimizer.step()
    return optimizer


def bits(optimizer: Optimizer) -> list[bytes]:
    params = [p.data for group in optimizer.param_groups for p in group["params"]]
    states = [entry[key] for entry in optimizer.state.values() for key in ("m", "v")]
    return [x.tobytes() for x in (*params, *states)]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", ALL)
@settings(max_examples=15)
@given(seed=seeds, shapes=shapes)
def test_the_bits_of_the_explicit_update(make: Any, dtype: str, weight_decay: float, seed: int, shapes: Any) -> None:
    options = {"weight_decay": weight_decay, **({"max_grad_norm": None} if make is BertAdam else {})}
    with_kernel = train(make, shapes, dtype, seed, 4, **options)
    with backend.kernels_off():
        explicit = train(make, shapes, dtype, seed, 4, **options)
    assert bits(with_kernel) == bits(explicit)
    assert [s["step"] for s in with_kernel.state.values()] == [s["step"] for s in explicit.state.values()]


@pytest.mark.parametrize("make", ALL)
def test_the_same_bits_with_any_number_of_threads(make: Any) -> None:
    sizes = [(300, 301), (7,), (100_003,), (2, 5), (65_536,)]
    before = threads.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3, 5):
            threads.set_num_threads(n)
            results.append(bits(train(make, sizes, "float32", 3, 3, max_grad_norm=0.7)))
    finally:
        threads.set_num_threads(before)
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("make", ALL)
def test_clipping_in_the_step_is_clipping_before_it(make: Any) -> None:
    first, second = (
        [Tensor(x, requires_grad=True) for x in drawn(1, [(30, 40), (5,)], "float32")] for _ in range(2)
    )  # fmt: skip
    inside, outside = (
        make(first, max_grad_norm=0.5),
        make(second, **({"max_grad_norm": None} if make is BertAdam else {})),
    )
    for step in range(3):
        grads = drawn(step, [(30, 40), (5,)], "float32")
        for p, q, g in zip(first, second, grads, strict=True):
            p.grad, q.grad = Tensor(g), Tensor(g.copy())
        inside.step()
        assert clip_grad_norm(second, 0.5) == inside.grad_norm
        outside.step()
        for p, g in zip(first, grads, strict=True):
            assert p.grad is not None
            assert p.grad.data is g, "gradients stay as they are"
        assert bits(inside) == bits(outside)


@given(seed=seeds, shapes=shapes, dtype=st.sampled_from(["float32", "float64"]))
def test_sum_of_squares(seed: int, shapes: Any, dtype: str) -> None:
    grads = drawn(seed, shapes, dtype)
    truth = sum(float((g.astype(np.float64) ** 2).sum()) for g in grads)
    # each square is rounded to the gradient's precision, half a unit at most; the rest is float64's rounding
    assert adam.sum_of_squares(grads) == pytest.approx(truth, rel=6e-8 if dtype == "float32" else 1e-13, abs=1e-44)


def test_a_norm_of_many_blocks() -> None:
    x = np.random.default_rng(0).standard_normal(3 * adam.BLOCK + 17)
    before = threads.get_num_threads()
    try:
        sums = []
        for n in (1, 2, 3):
            threads.set_num_threads(n)
            sums.append(adam.sum_of_squares([x[:1000], x]))
    finally:
        threads.set_num_threads(before)
    assert sums[0] == sums[1] == sums[2]
    assert sums[0] == pytest.approx(float(np.dot(x, x) + np.dot(x[:1000], x[:1000])), rel=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_steps_nothing(bad: float) -> None:
    p = Tensor(np.ones((100, 100), np.float32), requires_grad=True)
    p.grad = Tensor(np.ones((100, 100), np.float32))
    p.grad.data[50, 50] = bad
    optimizer = AdamW([p], max_grad_norm=1.0)
    with pytest.raises(ValueError, match="the norm of the gradients is (nan|inf)"):
        optimizer.step()
    assert (p.data == 1).all()
    assert not optimizer.state


def test_odd_layouts() -> None:
    """Gradients in any layout; parameters in another than C's are stepped by the explicit update."""
    rng = np.random.default_rng(0)
    start, grad = rng.standard_normal((2, 30, 40))
    results = []
    for p_order, g_order in (("C", "C"), ("C", "F"), ("F", "C")):
        p = Tensor(np.array(start, order=p_order), requires_grad=True)  # type: ignore[call-overload]
        p.grad = Tensor(np.array(grad, order=g_order))  # type: ignore[call-overload]
        array = p.data
        AdamW([p]).step()
        assert p.data is array
        results.append(p.data)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_model_given_new_arrays_goes_on_being_stepped() -> None:
    """`load_state_dict` and `to` replace a parameter's array: the next step must write to the new one."""
    model = nn.Linear(40, 30)
    optimizer = AdamW(decay_groups(model))
    saved = {name: array.copy() for name, array in model.state_dict().items()}
    for step in range(3):
        for p in model.parameters():
            p.grad = Tensor(np.ones(p.shape, np.float32))
        optimizer.step()
        assert not np.array_equal(model.weight.data, saved["weight"]), step
        model.load_state_dict(saved)
        model.to(dtype="float32")
    assert [entry["step"] for entry in optimizer.state.values()] == [3, 3]


def test_the_state_is_one_piece_of_memory_and_loads_into_one() -> None:
    params = [Tensor(x, requires_grad=True) for x in drawn(0, [(30, 40), (5,)], "float32")]
    for p in params:
        p.grad = Tensor(np.ones(p.shape, np.float32))
    optimizer = AdamW(params)
    optimizer.step()
    other = AdamW([Tensor(p.data.copy(), requires_grad=True) for p in params])
    other.load_state_dict(optimizer.state_dict())
    for o in (optimizer, other):
        owners = {id(entry[key].base) for entry in o.state.values() for key in ("m", "v")}
        assert len(owners) == 1
    assert bits(optimizer) == bits(other)
