"""The kernels that work on rows, each against the explicit op in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.kernels.cpu import add_layer_norm as cpu_add_layer_norm
from minibert.kernels.cpu import dropout as cpu_dropout
from minibert.kernels.cuda import (
    adam,
    add_layer_norm,
    bias_gelu,
    cross_entropy,
    dropout,
    embedding_sum,
    gelu,
    layer_norm,
    linear,
    linear_cross_entropy,
    tanh,
)
from minibert.ops.add_layer_norm import AddLayerNorm
from minibert.ops.bias_gelu import BiasGelu
from minibert.ops.cross_entropy import CrossEntropy
from minibert.ops.dropout import Dropout
from minibert.ops.embedding_sum import EmbeddingSum
from minibert.ops.gelu import Gelu, GeluTanh
from minibert.ops.layer_norm import LayerNorm
from minibert.ops.linear import Linear
from minibert.ops.linear_cross_entropy import LinearCrossEntropy
from minibert.ops.projections import Projections
from minibert.ops.tanh import Tanh
from minibert.optim import adam_update
from minibert.philox import keep_mask
from tests.kernels.cuda.devices import DROPOUT, KEY, NO_DROPOUT, Device, explicit, fused, normal, relative_error, rms

rows = st.one_of(st.integers(1, 5), st.integers(30, 70))  # 32 rows of layer norm are a strip, 64 of GELU
columns = st.one_of(st.integers(1, 9), st.sampled_from([33, 64, 127, 128, 132, 516, 768]))
seeds = st.integers(0, 2**32 - 1)


def close(device: Device, op: Any, module: Any, arrays: list[np.ndarray], dy: np.ndarray, **options: Any) -> None:
    """float32 within 1e-5 of the op, relative to the largest number: a row's sum is some tens of roundings."""
    truth = explicit(op, arrays, dy, **options)
    for ours, exact in zip(fused(device, module, op.name, arrays, dy, **options), truth, strict=True):
        assert relative_error(ours, exact) < 1e-5


@settings(max_examples=20)
@given(rows, columns, seeds)
def test_layer_norm(device: Device, R: int, H: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [normal(rng, R, H), normal(rng, H), normal(rng, H)]
    close(device, LayerNorm, layer_norm, arrays, normal(rng, R, H), eps=1e-3)


@settings(max_examples=20)
@given(rows, columns, st.sampled_from([NO_DROPOUT, DROPOUT]), seeds)
def test_add_layer_norm(device: Device, R: int, H: int, options: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [normal(rng, R, H), normal(rng, H), normal(rng, R, H), normal(rng, H), normal(rng, H)]
    close(device, AddLayerNorm, add_layer_norm, arrays, normal(rng, R, H), eps=1e-3, **options)


@pytest.mark.parametrize("H", [1030, 2052, 12_288])
def test_long_rows(device: Device, H: int) -> None:
    rng = np.random.default_rng(0)
    arrays = [normal(rng, 3, H), normal(rng, H), normal(rng, 3, H), normal(rng, H), normal(rng, H)]
    close(device, AddLayerNorm, add_layer_norm, arrays, normal(rng, 3, H), eps=1e-12, **DROPOUT)
    with pytest.raises(ValueError, match="at most 12288 columns, got 12289"):
        layer_norm.forward_shape(1, 12_289)


@settings(max_examples=20)
@given(rows, columns, seeds)
def test_bias_gelu(device: Device, R: int, F: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    close(device, BiasGelu, bias_gelu, [normal(rng, R, F) * 3, normal(rng, F)], normal(rng, R, F))


@settings(max_examples=10)
@given(rows, columns, seeds)
def test_gelu(device: Device, R: int, F: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for op in (Gelu, GeluTanh):
        close(device, op, gelu, [normal(rng, R, F) * 3], normal(rng, R, F))


@settings(max_examples=20)
@given(rows, columns, st.sampled_from([0.1, 0.5, 0.999]), seeds)
def test_dropout_is_the_cpus_bit_for_bit(device: Device, R: int, C: int, p: float, seed: int) -> None:
    x = normal(np.random.default_rng(seed), R, C)
    expected, _ = cpu_dropout.dropout_forward(x, p=p, key=KEY)
    for ours in fused(device, dropout, "dropout", [x], x, p=p, key=KEY):
        np.testing.assert_array_equal(ours, expected)


@settings(max_examples=10)
@given(rows, columns, st.sampled_from([0.1, 0.5]), seeds)
def test_the_mask_before_layer_norm_is_the_cpus(device: Device, R: int, H: int, p: float, seed: int) -> None:
    """What is dropped has no gradient: dx is 0 there, and as good as never elsewhere."""
    rng, options = np.random.default_rng(seed), {"eps": 1e-3, "p": p, "key": KEY}
    arrays, dy = [normal(rng, *shape) for shape in ((R, H), (H,), (R, H), (H,), (H,))], normal(rng, R, H)
    _, saved = cpu_add_layer_norm.add_layer_norm_forward(*arrays, **options)
    expected, *_ = cpu_add_layer_norm.add_layer_norm_backward(dy, saved, (True,) * 5, **options)
    _, ours, *_ = fused(device, add_layer_norm, "add_layer_norm", arrays, dy, **options)
    kept = keep_mask(np.arange(R, dtype=np.uint64), H, p, KEY)
    if H > 1:  # one number's normalised self is 0, and so is its gradient
        np.testing.assert_array_equal(ours != 0, kept)
        np.testing.assert_array_equal(expected != 0, kept)


@settings(max_examples=20)
@given(st.integers(1, 9), st.one_of(st.integers(1, 9), st.sampled_from([255, 256, 257, 1000])), seeds)
def test_cross_entropies(device: Device, M: int, V: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(M) < 0.3, -100, rng.integers(0, V, M))
    options: Any = {"labels": labels, "ignore_index": -100}
    dloss = normal(rng, 1).reshape(())
    close(device, CrossEntropy, cross_entropy, [normal(rng, M, V) * 10], dloss, **options)
    arrays = [normal(rng, M, 17), normal(rng, V, 17), normal(rng, V)]
    close(device, LinearCrossEntropy, linear_cross_entropy, arrays, dloss, **options)


def test_linear_cross_entropy_in_blocks_and_twice(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_cross_entropy, "ROWS", 4)
    rng = np.random.default_rng(0)
    arrays, labels = [normal(rng, 10, 8), normal(rng, 30, 8), normal(rng, 30)], rng.integers(0, 30, 10)
    options: Any = {"labels": labels, "ignore_index": -100}
    close(device, LinearCrossEntropy, linear_cross_entropy, arrays, np.float32(2.5).reshape(()), **options)
    options["labels"] = device.array(labels)
    _, saved = linear_cross_entropy.linear_cross_entropy_forward(*map(device.array, arrays), **options)
    first, second = (
        [device.numpy(g) for g in linear_cross_entropy.linear_cross_entropy_backward(
            device.array(np.float32(1.0).reshape(())), saved, (True,) * 3, **options)]
        for _ in range(2)
    )  # fmt: skip
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=20)
@given(st.one_of(st.integers(1, 9), st.sampled_from([63, 64, 65, 128, 200])), st.integers(1, 40),
       st.sampled_from([1, 4, 7, 32, 516]), seeds)  # fmt: skip
def test_embedding_sum(device: Device, T: int, V: int, H: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    options: Any = {"ids": rng.integers(0, V, T), "position_ids": rng.integers(0, 12, T), "type_ids": np.arange(T) % 2}
    arrays = [normal(rng, V, H), normal(rng, 12, H), normal(rng, 2, H)]
    close(device, EmbeddingSum, embedding_sum, arrays, normal(rng, T, H), **options)


@pytest.mark.parametrize("in_order", [True, False])
def test_scatter_add(device: Device, in_order: bool) -> None:
    rng = np.random.default_rng(0)
    ids, dy = rng.integers(0, 5, 300), normal(rng, 300, 20)
    truth = np.stack([dy[ids == i].astype(np.float64).sum(0) for i in range(7)])
    runs = [device.numpy(embedding_sum.scatter_add(device.array(ids), device.array(dy), 7, in_order=in_order))
            for _ in range(2)]  # fmt: skip
    assert relative_error(runs[0], truth) < 1e-5  # sums of sixty numbers
    if in_order:
        np.testing.assert_array_equal(*runs)


def close_to_its_inputs(
    device: Device, dtype: Any, op: Any, module: Any, arrays: list[np.ndarray], dy: np.ndarray,
    narrowed: Sequence[int] = (0,), **options: Any,
) -> None:  # fmt: skip
    """Those of `arrays` that are activations, and dy, in 16 bits, parameters in float32: twice the error of rounding
    these in exact arithmetic and, where a result has 16 bits, of rounding it. As in test_attention.py.
    """
    narrow = [a.astype(dtype) if i in narrowed else a.astype(np.float32) for i, a in enumerate(arrays)]
    upstream = dy.astype(dtype if dy.ndim else np.float32)
    truth, rounded = explicit(op, arrays, dy, **options), explicit(op, narrow, upstream, **options)
    for ours, inputs, exact in zip(fused(device, module, op.name, narrow, upstream, **options), rounded, truth,
                                   strict=True):  # fmt: skip
        result = rms(exact.astype(dtype).astype(np.float64) - exact) if ours.dtype == dtype else 0.0
        # and a few roundings of float32, for what does not depend on what is rounded
        error, allowed = rms(ours.astype(np.float64) - exact), 2 * max(rms(inputs - exact), result)
        assert error <= allowed + 1e-6 * rms(exact), (op.name, error, allowed)


half = pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
# not fewer: of a few numbers the error of rounding them is a matter of luck
half_shapes = st.tuples(st.sampled_from([16, 33, 64, 70]), st.sampled_from([33, 64, 130, 132, 516]))


@half
@settings(max_examples=5)
@given(half_shapes, st.sampled_from([NO_DROPOUT, DROPOUT]), seeds)
def test_half_precision(device: Device, dtype: Any, shape: tuple[int, int], options: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, residual, dy = (rng.standard_normal(shape) for _ in range(3))
    bias, gamma, beta = (normal(rng, shape[1]) for _ in range(3))
    arrays = [x, bias, residual, gamma, beta]
    close_to_its_inputs(device, dtype, AddLayerNorm, add_layer_norm, arrays, dy, (0, 2), eps=1e-12, **options)
    close_to_its_inputs(device, dtype, LayerNorm, layer_norm, [x, gamma, beta], dy, eps=1e-12)
    close_to_its_inputs(device, dtype, BiasGelu, bias_gelu, [x, bias], dy)
    close_to_its_inputs(device, dtype, Dropout, dropout, [x], dy, **DROPOUT)
    for op, module in ((Gelu, gelu), (GeluTanh, gelu), (Tanh, tanh)):
        close_to_its_inputs(device, dtype, op, module, [x], dy)


@half
@settings(max_examples=5)
@given(half_shapes, seeds)
def test_half_precision_of_losses_and_tables(device: Device, dtype: Any, shape: tuple[int, int], seed: int) -> None:
    rng, (M, V) = np.random.default_rng(seed), shape
    labels = np.where(rng.random(M) < 0.3, -100, rng.integers(0, V, M))
    dloss, options = np.asarray(rng.standard_normal()), {"labels": labels, "ignore_index": -100}
    close_to_its_inputs(device, dtype, CrossEntropy, cross_entropy, [rng.standard_normal(shape)], dloss, **options)
    ids = {"ids": rng.integers(0, 5, M), "position_ids": np.arange(M), "type_ids": np.arange(M) % 2}
    tables = [normal(rng, rows, V) for rows in (5, M, 2)]
    close_to_its_inputs(device, dtype, EmbeddingSum, embedding_sum, tables, rng.standard_normal(shape), (), **ids)


@half
@settings(max_examples=5)
@given(half_shapes, st.sampled_from([17, 64]), seeds)
def test_half_precision_of_products(device: Device, dtype: Any, shape: tuple[int, int], C: int, seed: int) -> None:
    """Weights are narrowed for the product, so their rounding counts, and so does that of their gradients."""
    rng, (R, H) = np.random.default_rng(seed), shape
    x, weight, bias = rng.standard_normal(shape), rng.standard_normal((C, H)) / np.sqrt(H), rng.standard_normal(C)
    labels = np.where(np.arange(R) % 3 == 0, -100, rng.integers(0, C, R))
    options = {"labels": labels, "ignore_index": -100}
    for op, module, arrays, dy, labelled in (
        (Linear, linear, [x, weight, bias], rng.standard_normal((R, C)), {}),
        (Projections, linear, [x, weight, bias, weight[::-1], bias], rng.standard_normal((2, R, C)), {}),
        (LinearCrossEntropy, linear_cross_entropy, [x, weight, bias], np.asarray(1.5), options),
    ):
        narrowed = [a.astype(dtype) for a in arrays]
        truth = explicit(op, arrays, dy, **labelled)
        rounded = explicit(op, narrowed, dy.astype(dtype), **labelled)
        results = fused(device, module, op.name, [narrowed[0], *(a.astype(np.float32) for a in arrays[1:])],
                        dy.astype(dtype if dy.ndim else np.float32), **labelled)  # fmt: skip
        for ours, inputs, exact in zip(results, rounded, truth, strict=True):
            result = rms(exact.astype(dtype).astype(np.float64) - exact)
            if not exact.ndim:  # one number is a matter of luck: scores of size one are rounded by up to eps/2
                result = float(ml_dtypes.finfo(dtype).eps) / 8
            error, allowed = rms(ours.astype(np.float64) - exact), 2 * max(rms(inputs - exact), result)
            assert error <= allowed, (op.name, exact.shape, error, allowed)


def test_a_scaled_loss_of_one_row(device: Device) -> None:
    """The factor of the gradients, 2^17, is more than float16 holds; the gradients are not."""
    rng = np.random.default_rng(0)
    x, weight, bias = np.full((2, 8), 0.125, np.float16), normal(rng, 9, 8) * 2**-7, np.zeros(9, np.float32)
    options: Any = {"labels": np.array([3, -100]), "ignore_index": -100}
    dloss = np.asarray(2.0**17, np.float32)
    truth = explicit(LinearCrossEntropy, [x, weight, bias], dloss, **options)
    ours = fused(device, linear_cross_entropy, "linear_cross_entropy", [x, weight, bias], dloss, **options)
    for found, exact in zip(ours, truth, strict=True):
        assert relative_error(found, exact) < 1e-2  # a few roundings of 2^-11


SHAPES = [(3, 5), (9000,), (128, 64), (1,)]


@pytest.mark.parametrize("l2", [False, True])
def test_adam(device: Device, l2: bool) -> None:
    rng = np.random.default_rng(0)
    given = [[normal(rng, *shape) for shape in SHAPES] for _ in range(4)]
    given[3] = [np.abs(v) for v in given[3]]
    lr, beta1, beta2, eps, decay, t = 1e-2, 0.9, 0.999, 1e-6, 0.01, 3
    on_device = [[device.array(x) for x in arrays] for arrays in given]
    norm, factor = adam.norm_and_factor(on_device[1], 1.0)
    exact = np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in given[1]))
    assert float(norm) == pytest.approx(exact, rel=1e-6)  # pieces of 4096 squares, added up in float32
    assert float(factor) == pytest.approx(1 / (exact + 1e-6), rel=1e-6)
    numbers = (
        factor, decay if l2 else 1 - lr * decay, beta1, 1 - beta1, beta2, 1 - beta2, np.sqrt(1 - beta2**t), eps,
        lr / (1 - beta1**t),
    )  # fmt: skip
    adam.adam_step([(p, g, m, v, numbers, l2) for p, g, m, v in zip(*on_device, strict=True)])
    for i in range(len(SHAPES)):
        p, g, m, v = (arrays[i].astype(np.float64) for arrays in given)
        adam_update(p, g * float(factor), m, v, step=t, lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=decay,
                    decoupled=not l2)  # fmt: skip
        for ours, truth in ((on_device[0][i], p), (on_device[2][i], m), (on_device[3][i], v)):
            assert relative_error(device.numpy(ours), truth) < 1e-6  # a dozen roundings of 6e-8


def test_a_gradient_that_is_not_finite_steps_nothing(device: Device) -> None:
    p, g = np.ones(5, np.float32), np.array([1, np.inf, 0, 0, 0], np.float32)
    arrays = [device.array(x) for x in (p, g, p, p)]
    norm, factor = adam.norm_and_factor([arrays[1]], 1.0)
    assert np.isinf(float(norm))
    adam.adam_step([(*arrays, (factor, 0.9, 0.9, 0.1, 0.9, 0.1, 1.0, 1e-6, 1.0), False)])
    np.testing.assert_array_equal(device.numpy(arrays[0]), p)
