"""Kernels of GELU, softmax and cross-entropy against the explicit ops run in float64."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.autograd import Op, Tensor
from minibert.kernels.cpu import bias_gelu, cross_entropy, gelu, linear_cross_entropy, softmax, threads
from minibert.ops.bias_gelu import BiasGelu
from minibert.ops.cross_entropy import IGNORE_INDEX, CrossEntropy
from minibert.ops.gelu import Gelu, GeluTanh
from minibert.ops.linear_cross_entropy import LinearCrossEntropy
from minibert.ops.softmax import Softmax

seeds = st.integers(0, 10**6)
lead = st.lists(st.integers(0, 40), max_size=2).map(tuple)
KERNELS: dict[type[Op], ModuleType] = {
    BiasGelu: bias_gelu, CrossEntropy: cross_entropy, Gelu: gelu, GeluTanh: gelu,
    LinearCrossEntropy: linear_cross_entropy, Softmax: softmax,
}  # fmt: skip


def run_kernel(op: type[Op], arrays: list[np.ndarray], dy: Any, **options: Any) -> tuple[Any, ...]:
    """(result, gradients...) of the kernel, everything it keeps read-only in between as on the tape."""
    module = KERNELS[op]
    y, saved = getattr(module, f"{op.name}_forward")(*arrays, **options)
    for value in saved:
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    dy = np.asarray(dy, arrays[0].dtype)
    return (y, *getattr(module, f"{op.name}_backward")(dy, saved, (True,) * len(arrays), **options))


def compare(op: type[Op], arrays: list[np.ndarray], tolerance: float, seed: int, **options: Any) -> None:
    """`tolerance`: absolute, in units of float32's and float64's rounding, 6e-8 and 1.1e-16."""
    for dtype in (np.float32, np.float64):
        inputs = [x.astype(dtype, order="K") for x in arrays]
        for x in inputs:
            x.flags.writeable = False
        judge: Any = op()
        judge.needs = (True,) * len(arrays)
        y = judge.forward(*(x.astype(np.float64) for x in inputs), **options)
        dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
        gradients = judge.backward(dy.astype(np.float64))
        truth = (y, *(gradients if isinstance(gradients, tuple) else (gradients,)))
        got = run_kernel(op, inputs, dy, **options)
        for ours, theirs in zip(got, truth, strict=True):
            assert ours.dtype == dtype
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * float(np.finfo(dtype).eps) / 2)


def drawn(seed: int, *shapes: tuple[int, ...], scale: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape) * scale) for shape in shapes]


def labels_for(seed: int, rows: int, classes: int, ignored: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(rows) < ignored, IGNORE_INDEX, rng.integers(0, classes, rows))


@pytest.mark.parametrize("op", [Gelu, GeluTanh])
@given(seed=seeds, shape=st.one_of(lead, st.just((9_001,))))
def test_gelu(op: type[Op], seed: int, shape: tuple[int, ...]) -> None:
    # values to about 12, each the product of factors good to 3 units and a gradient to about 4; the explicit op's own
    # distribution function is good to 2e-15, which is 18 units of float64
    compare(op, drawn(seed, shape, scale=3.0), 300, seed)


@given(seed=seeds, shape=lead, size=st.integers(1, 90))
def test_bias_gelu(seed: int, shape: tuple[int, ...], size: int) -> None:
    # as above, and the gradient of the bias sums up to 1600 of them
    compare(BiasGelu, drawn(seed, (*shape, size), (size,), scale=2.0), 20_000, seed)


@given(seed=seeds, shape=lead, size=st.one_of(st.integers(1, 90), st.integers(500, 1100)))
def test_softmax(seed: int, shape: tuple[int, ...], size: int) -> None:
    # probabilities are good to the difference of scores, at most 30 units; the sum in backward has gradients up to 4
    compare(Softmax, drawn(seed, (*shape, size), scale=3.0), 200, seed)


@given(seed=seeds, rows=st.integers(1, 70), classes=st.integers(1, 1100), ignored=st.sampled_from([0.0, 0.5, 1.0]))
def test_cross_entropy(seed: int, rows: int, classes: int, ignored: float) -> None:
    # scores up to 12 and their logarithms up to 20 units, gradients of p good to 30
    labels = labels_for(seed, rows, classes, ignored)
    compare(CrossEntropy, drawn(seed, (rows, classes), scale=3.0), 200, seed, labels=labels, ignore_index=IGNORE_INDEX)


@settings(max_examples=30)
@given(
    seed=seeds, rows=st.one_of(st.integers(0, 70), st.integers(500, 1100)), hidden=st.integers(1, 40),
    classes=st.integers(1, 300), ignored=st.sampled_from([0.0, 0.2, 1.0]),
)  # fmt: skip
def test_linear_cross_entropy(seed: int, rows: int, hidden: int, classes: int, ignored: float) -> None:
    # scores up to 30, products of 40 terms, and gradients that sum 1100 rows
    labels = labels_for(seed, rows, classes, ignored)
    arrays = drawn(seed, (rows, hidden), (classes, hidden), (classes,))
    compare(LinearCrossEntropy, arrays, 2000, seed, labels=labels, ignore_index=IGNORE_INDEX)


@pytest.mark.parametrize("layout", ["transposed", "gaps"])
def test_any_memory_layout(layout: str) -> None:
    (x,) = drawn(3, (33, 70))
    x = np.asfortranarray(x) if layout == "transposed" else np.repeat(x, 2, axis=1)[:, ::2]
    bias = np.repeat(drawn(4, (70,))[0], 2)[::2]
    labels = np.repeat(labels_for(1, 33, 70, 0.1), 2)[::2]
    options = {"labels": labels, "ignore_index": IGNORE_INDEX}
    for op in (Gelu, GeluTanh, Softmax):
        compare(op, [x], 300, 0)
    compare(BiasGelu, [x, bias], 20_000, 0)
    compare(CrossEntropy, [x], 200, 0, **options)
    compare(LinearCrossEntropy, [x, np.asfortranarray(drawn(5, (70, 70))[0]), bias], 2000, 0, **options)


def cases() -> list[Any]:
    x, wide, bias, weight = (a.astype(np.float32) for a in drawn(0, (1030, 65), (1030, 300), (300,), (300, 65)))
    options = {"labels": labels_for(2, 1030, 300, 0.1), "ignore_index": IGNORE_INDEX}
    return [
        pytest.param(op, arrays, more, id=op.name)
        for op, arrays, more in (
            (Gelu, [wide], {}),
            (GeluTanh, [wide], {}),
            (BiasGelu, [wide, bias], {}),
            (Softmax, [wide], {}),
            (CrossEntropy, [wide], options),
            (LinearCrossEntropy, [x, weight, bias], options),
        )
    ]


@pytest.mark.parametrize(("op", "arrays", "options"), cases())
def test_the_same_bits_every_time(op: type[Op], arrays: list[np.ndarray], options: dict[str, Any]) -> None:
    dy = np.asarray(0.7) if "labels" in options else np.random.default_rng(1).standard_normal(arrays[0].shape)
    first = run_kernel(op, arrays, dy, **options)
    before = threads.get_num_threads()
    try:
        for count in (before, 1, 3):
            threads.set_num_threads(count)
            for a, b in zip(run_kernel(op, arrays, dy, **options), first, strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        threads.set_num_threads(before)


@pytest.mark.parametrize("op", [Gelu, GeluTanh, Softmax])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinity_and_nan(op: type[Op], dtype: str) -> None:
    """What the explicit op says, and a NaN never disappears."""
    rows = [[1, 2, np.nan], [np.inf, 0, 1], [-np.inf, 0, 1], [-np.inf] * 3, [3e38, -3e38, 0], [1e-45, -1e-45, 0]]
    x = np.asarray(rows, dtype)
    x = np.concatenate([x, np.copysign(x, -1)])
    with np.errstate(all="ignore"):
        judge: Any = op()
        y = judge.forward(x)
        dx = judge.backward(np.ones_like(x))
        got = run_kernel(op, [x], np.ones_like(x))
    np.testing.assert_allclose(got[0], y, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(got[1], dx, rtol=1e-6, atol=2e-6)  # near 0 only the explicit op rounds to 4e-7


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf])
def test_a_loss_shows_what_is_wrong(bad: float) -> None:
    """Where a score is NaN or +inf, so are the loss and that row's gradient; rows that do not count spoil nothing."""
    x = drawn(0, (3, 50))[0].astype(np.float32)
    x[1, 7] = bad
    for labels, spoilt in (([3, 7, 5], True), ([3, IGNORE_INDEX, 5], False)):
        with np.errstate(all="ignore"):
            loss, dx = run_kernel(CrossEntropy, [x], 1.0, labels=np.asarray(labels), ignore_index=IGNORE_INDEX)
        assert np.isnan(loss) == spoilt
        assert np.isnan(dx[1]).any() == spoilt
        assert np.isfinite(dx[[0, 2]]).all()


def test_a_loss_beyond_the_range_of_exp() -> None:
    x = np.asarray([[1000.0, 0.0], [-1000.0, 1000.0]], np.float32)
    loss, dx = run_kernel(CrossEntropy, [x], 1.0, labels=np.asarray([1, 1]), ignore_index=IGNORE_INDEX)
    assert loss == 500.0
    np.testing.assert_array_equal(dx, [[0.5, -0.5], [0.0, 0.0]])


class TestLinearCrossEntropyOnTheTape:
    def arrays(self) -> list[np.ndarray]:
        return [a.astype(np.float32) for a in drawn(0, (40, 16), (120, 16), (120,))]

    def options(self) -> dict[str, Any]:
        return {"labels": labels_for(0, 40, 120, 0.2), "ignore_index": IGNORE_INDEX}

    def test_a_second_backward_gives_the_same(self) -> None:
        x, weight, bias = self.arrays()
        _, saved = linear_cross_entropy.linear_cross_entropy_forward(x, weight, bias, **self.options())
        again = [
            linear_cross_entropy.linear_cross_entropy_backward(np.float32(3), saved, (True,) * 3, **self.options())
            for _ in range(2)
        ]
        for a, b in zip(*again, strict=True):
            np.testing.assert_array_equal(a, b)
            assert not np.shares_memory(a, b)

    def test_the_tape_walked_twice(self) -> None:
        """Large enough for the kernel. The second pass adds as much again, and the first one's gradients stay."""
        from minibert import ops

        arrays = drawn(0, (40, 30), (300, 30), (300,))
        tensors = [Tensor(a, requires_grad=True, dtype="float32") for a in arrays]
        loss = ops.linear_cross_entropy(*tensors, labels_for(0, 40, 300, 0.2))
        assert loss.creator is not None
        assert loss.creator.kernel is not None
        loss.backward(retain_graph=True)
        once = [t.grad.numpy() for t in tensors if t.grad is not None]
        kept = [g.copy() for g in once]
        loss.backward()
        for t, first, copy in zip(tensors, once, kept, strict=True):
            np.testing.assert_array_equal(first, copy)
            np.testing.assert_array_equal(t.grad, first + first)

    @pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
    def test_only_what_is_wanted(self, wanted: tuple[bool, ...]) -> None:
        every = run_kernel(LinearCrossEntropy, self.arrays(), 1.0, **self.options())
        module = linear_cross_entropy
        loss, saved = module.linear_cross_entropy_forward(*self.arrays(), **self.options(), needs=wanted)
        some = module.linear_cross_entropy_backward(np.float32(1), saved, wanted, **self.options())
        assert loss == every[0]
        for gradient, expected, want in zip(some, every[1:], wanted, strict=True):
            assert (gradient is not None) == want
            if want:
                np.testing.assert_array_equal(gradient, expected)

    def test_no_gradient_wanted(self) -> None:
        nothing = (False,) * 3
        loss, saved = linear_cross_entropy.linear_cross_entropy_forward(*self.arrays(), **self.options(), needs=nothing)
        assert loss == run_kernel(LinearCrossEntropy, self.arrays(), 1.0, **self.options())[0]
        assert saved[-1].take() == (None, None, None)

    def test_errors(self) -> None:
        from minibert import ops

        x, weight, bias = (Tensor(a) for a in self.arrays())
        with pytest.raises(ValueError, match=r"got \(40, 16\), \(120, 16\), \(120,\), \(3,\)"):
            ops.linear_cross_entropy(x, weight, bias, [1, 2, 3])
        with pytest.raises(ValueError, match="labels"):
            ops.linear_cross_entropy(x, weight, bias, [120] * 40)
        with pytest.raises(ValueError, match="integers"):
            ops.linear_cross_entropy(x, weight, bias, np.zeros(40))
        with pytest.raises(ValueError, match=r"bias_gelu needs .* \(40, 16\) and \(120,\)"):
            ops.bias_gelu(x, bias)
