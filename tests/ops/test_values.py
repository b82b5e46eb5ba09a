"""What the ops compute, against other ways of saying the same: mpmath's digits, plain loops, limits."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import ops
from minibert.autograd import Tensor
from minibert.ops.normal import erf, normal_cdf
from minibert.philox import Key

GRID = np.concatenate([np.linspace(-9, 9, 1201), [-37.0, -15.0, -1e-9, 0.0, 1e-300, 12.0]])


def exact_cdf(x: float) -> mpmath.mpf:
    with mpmath.workdps(30):
        return mpmath.erfc(-mpmath.mpf(x) / mpmath.sqrt(2)) / 2


def test_normal_cdf_float64() -> None:
    exact = np.array([float(exact_cdf(x)) for x in GRID])
    # a rounding or two of a number near 1; relative in the tail, where -z^2 of size 700 carries 1e-13 into the exponent
    np.testing.assert_allclose(normal_cdf(GRID), exact, rtol=2e-13, atol=1e-300)
    near = np.abs(GRID) < 3
    np.testing.assert_allclose(normal_cdf(GRID[near]), exact[near], rtol=0, atol=1e-15)


def test_normal_cdf_float32() -> None:
    x = GRID.astype(np.float32)
    exact = np.array([float(exact_cdf(float(v))) for v in x])
    # the bound stated in normal.py: three roundings of numbers of size one
    np.testing.assert_allclose(normal_cdf(x), exact, rtol=0, atol=4e-7)
    assert normal_cdf(x).dtype == np.float32


def test_normal_cdf_at_the_edges() -> None:
    for dtype in (np.float32, np.float64):
        with np.errstate(all="ignore"):
            y = normal_cdf(np.array([-np.inf, np.inf, np.nan, -1e30, 1e30], dtype))
        assert y[0] == 0.0
        assert y[1] == 1.0
        assert np.isnan(y[2])
        assert y[3] == 0.0
        assert y[4] == 1.0


def test_erf() -> None:
    np.testing.assert_allclose(erf(GRID), [math.erf(v) for v in GRID], rtol=0, atol=3e-16 * 4)


def test_gelu_is_the_exact_one() -> None:
    x = np.linspace(-6, 6, 241)
    exact = np.array([float(v * exact_cdf(v)) for v in x])
    np.testing.assert_allclose(ops.gelu(Tensor(x)), exact, rtol=0, atol=2e-15)
    tanh_form = ops.gelu(Tensor(x), approximate="tanh").numpy()
    # the approximation is off by up to 5e-4: far from rounding, so the two cannot be mixed up unseen
    assert 1e-4 < np.abs(tanh_form - exact).max() < 6e-4


def test_softmax_does_not_overflow() -> None:
    p = ops.softmax(Tensor(np.array([[1e4, 1e4, -1e4], [-1e38, -1e38, -1e38]]), dtype="float32")).numpy()
    np.testing.assert_allclose(p, [[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)


def test_layer_norm_by_the_formula() -> None:
    rng = np.random.default_rng(0)
    x, gamma, beta = rng.standard_normal((5, 13)), rng.standard_normal(13), rng.standard_normal(13)
    eps = 0.5  # large, so that its place in the formula shows
    mean = x.mean(axis=1, keepdims=True)
    var = ((x - mean) ** 2).sum(axis=1, keepdims=True) / 13
    expected = gamma * (x - mean) / np.sqrt(var + eps) + beta
    y = ops.layer_norm(Tensor(x), Tensor(gamma), Tensor(beta), eps=eps)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-14)  # sums of 13 numbers of size one


def test_cross_entropy_of_hopeless_scores() -> None:
    """A probability of e^-2000 is zero in any dtype; its logarithm is not."""
    loss = ops.cross_entropy(Tensor(np.array([[0.0, 2000.0], [5.0, 5.0]])), [0, 1])
    assert loss.item() == pytest.approx((2000.0 + math.log(2.0)) / 2.0, rel=1e-15)


def test_cross_entropy_counts_only_what_counts() -> None:
    logits = Tensor(np.random.default_rng(0).standard_normal((4, 5)), requires_grad=True)
    loss = ops.cross_entropy(logits, [1, -100, 0, -100])
    alone = ops.cross_entropy(logits[[0, 2]], [1, 0])
    assert loss.item() == pytest.approx(alone.item(), rel=1e-15)
    loss.backward()
    assert (logits.grad.numpy()[[1, 3]] == 0).all()
    assert (logits.grad.numpy()[[0, 2]] != 0).all()  # label 0 is a label


def test_cross_entropy_of_nothing_is_zero() -> None:
    logits = Tensor(np.ones((2, 3)), requires_grad=True)
    loss = ops.cross_entropy(logits, [-100, -100])
    loss.backward()
    assert loss.item() == 0.0
    assert (logits.grad.numpy() == 0).all()


def test_binary_cross_entropy_does_not_overflow() -> None:
    loss = ops.binary_cross_entropy(Tensor(np.array([1e4, -1e4, 1e4])), np.array([1.0, 0.0, 0.0]))
    assert loss.item() == pytest.approx(1e4 / 3)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(sum), st.integers(1, 3), st.integers(1, 5))
def test_attention_by_loops(lengths: list[int], N: int, D: int) -> None:
    rng = np.random.default_rng(sum(lengths))
    starts = [0, *np.cumsum(lengths).tolist()]
    q, k, v = (rng.standard_normal((starts[-1], N, D)) for _ in range(3))
    expected = np.zeros_like(q)
    for b in range(len(lengths)):
        for n in range(N):
            for i in range(starts[b], starts[b + 1]):
                keys = range(starts[b], starts[b + 1])
                weights = [math.exp(sum(q[i, n, d] * k[j, n, d] for d in range(D)) / math.sqrt(D)) for j in keys]
                for j, w in zip(keys, weights, strict=True):
                    expected[i, n] += w / sum(weights) * v[j, n]
    context = ops.attention(Tensor(q), Tensor(k), Tensor(v), starts=starts)
    np.testing.assert_allclose(context, expected, rtol=1e-12, atol=1e-13)  # scores of size ten, through exp


def test_attention_maps_are_those_that_attention_uses() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((7, 2, 3)) for _ in range(3))
    maps = ops.attention_probabilities(q, k, [0, 4, 7])
    context = ops.attention(Tensor(q), Tensor(k), Tensor(v), starts=[0, 4, 7]).numpy()
    np.testing.assert_allclose(maps[0].sum(axis=-1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.einsum("nij,jnd->ind", maps[1], v[4:]), context[4:], rtol=1e-13)


def test_attention_dropout_drops_weights_not_scores() -> None:
    """With V = 1 the context is the sum of the weights: kept ones scaled up by 1 / (1 - p)."""
    x = Tensor(np.zeros((200, 1, 2)))
    ones = Tensor(np.ones((200, 1, 2)))
    context = ops.attention(x, x, ones, starts=[0, 200], p=0.25, training=True, key=Key(1, 1)).numpy()
    kept = context[:, 0, 0] * 0.75 * 200
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-9)
    assert 0.70 < kept.mean() / 200 < 0.80  # 40,000 draws: 4 sigma is 0.009


def test_linear_weight_is_out_by_in() -> None:
    y = ops.linear(
        Tensor(np.array([[1.0, 10.0]])), Tensor(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])), Tensor(np.zeros(3))
    )
    np.testing.assert_array_equal(y, [[21.0, 43.0, 65.0]])


class TestErrors:
    """Bad input meets one clear sentence."""

    def test_ids(self) -> None:
        weight = Tensor(np.zeros((5, 2)))
        with pytest.raises(ValueError, match=r"0\.\.4, got 5"):
            ops.embedding([5], weight)
        with pytest.raises(ValueError, match=r"0\.\.4, got -1"):
            ops.embedding([-1], weight)
        with pytest.raises(ValueError, match="integers"):
            ops.embedding([0.5], weight)

    def test_labels(self) -> None:
        logits = Tensor(np.zeros((2, 3)))
        with pytest.raises(ValueError, match=r"0\.\.2, got 3"):
            ops.cross_entropy(logits, [0, 3])
        with pytest.raises(ValueError, match=r"got \(2, 3\) and \(3,\)"):
            ops.cross_entropy(logits, [0, 1, 2])
        with pytest.raises(ValueError, match="integers"):
            ops.cross_entropy(logits, [0.0, 1.0])

    def test_shapes(self) -> None:
        x = Tensor(np.zeros((2, 3)))
        with pytest.raises(ValueError, match="do not broadcast"):
            x + Tensor(np.zeros((2, 4)))
        with pytest.raises(ValueError, match=r"\(\.\.\., n, k\)"):
            x @ x
        with pytest.raises(ValueError, match="gamma"):
            ops.layer_norm(x, Tensor(np.zeros(2)), Tensor(np.zeros(3)))
        with pytest.raises(ValueError, match="starts must rise"):
            ops.attention(*[Tensor(np.zeros((3, 1, 1)))] * 3, starts=[0, 2])
        with pytest.raises(ValueError, match=r"one shape \(T, N, D\)"):
            ops.attention(*[Tensor(np.zeros((3, 1, n))) for n in (1, 1, 2)], starts=[0, 3])
        with pytest.raises(ValueError, match=r"stacked as \(3, T, N, D\)"):
            ops.self_attention(Tensor(np.zeros((2, 3, 1, 1))), starts=[0, 3])
        with pytest.raises(ValueError, match=r"\[0, 1\)"):
            ops.dropout(x, 1.0)

    def test_dtypes_do_not_mix_unseen(self) -> None:
        with pytest.raises(ValueError, match="cannot mix"):
            Tensor(np.zeros(2)) + Tensor(np.zeros(2, np.float32))


def test_another_dtype_and_the_gradient_back_in_its_own() -> None:
    x = Tensor([1.0, 1.0 + 2.0**-40], dtype="float64", requires_grad=True)
    y = x.astype("float32")
    np.testing.assert_array_equal(y.numpy(), np.ones(2, np.float32))
    (y * [1.0, 3.0]).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float64
    np.testing.assert_array_equal(x.grad, [1.0, 3.0])
    whole = x.astype(np.int64)
    assert whole.dtype == np.int64
    assert not whole.requires_grad
    assert x.astype(x.dtype).requires_grad
    with pytest.raises(ValueError, match="unknown dtype"):
        x.astype("floaty")
