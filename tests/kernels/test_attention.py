"""The attention kernel against the explicit op run in float64."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import kernels_off, ops
from minibert.autograd import Tensor
from minibert.kernels.cpu import attention, threads
from minibert.ops.attention import Attention
from minibert.philox import Key, keep_mask

KEY = Key(seed=2**40 + 3, stream=2**33 + 5)  # both words of each in use
ONE = (True,)

lengths = st.lists(st.one_of(st.integers(0, 20), st.integers(0, 300)), min_size=1, max_size=4)
head_sizes = st.one_of(st.sampled_from([8, 32, 64, 80]), st.integers(1, 20))
dropout = st.sampled_from([{"p": 0.0, "key": None}, {"p": 0.3, "key": KEY}])


def drawn(rng: np.random.Generator, L: list[int], N: int, D: int, dtype: Any) -> tuple[list[int], Any, Any]:
    """starts, qkv, dcontext."""
    T = sum(L)
    arrays = (rng.standard_normal(shape).astype(dtype) for shape in ((3, T, N, D), (T, N, D)))
    return [0, *np.cumsum(L).tolist()], *arrays


def explicit(qkv: np.ndarray, dcontext: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    op = Attention()
    with np.errstate(all="ignore"):  # some tests put NaN and infinity in
        return op.forward(qkv.astype(np.float64), **options), op.backward(dcontext.astype(np.float64))


def fused(qkv: np.ndarray, dcontext: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    context, saved = attention.attention_forward(qkv, **options)
    for value in saved:
        value.flags.writeable = False  # as on the tape
    (dqkv,) = attention.attention_backward(dcontext, saved, ONE, **options)
    assert dqkv is not None
    return context, dqkv


@pytest.fixture
def team() -> Iterator[Any]:
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)


@settings(max_examples=30)
@given(lengths, st.integers(1, 3), head_sizes, dropout, st.integers(0, 2**32 - 1))
def test_against_the_explicit_op(L: list[int], N: int, D: int, options: Any, seed: int) -> None:
    starts, qkv, dcontext = drawn(np.random.default_rng(seed), L, N, D, np.float32)
    truth = explicit(qkv, dcontext, starts=starts, **options)
    for dtype in (np.float32, np.float64):
        # sums of up to 300 numbers of size one, behind scores that are themselves sums of D products: a hundred
        # roundings, twice that with weights that dropout has scaled up
        tolerance = 200 * np.finfo(dtype).eps / 2
        results = fused(qkv.astype(dtype), dcontext.astype(dtype), starts=starts, **options)
        for ours, theirs in zip(results, truth, strict=True):
            assert ours.dtype == dtype
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("scale", [1e-3, 10.0, 100.0])
def test_small_and_large_scores(scale: float) -> None:
    """From a softmax that is flat to one that is a maximum, whose place moves from tile to tile."""
    starts, qkv, dcontext = drawn(np.random.default_rng(0), [400, 3], 2, 16, np.float64)
    qkv[0] *= scale
    options: dict[str, Any] = {"starts": starts, "p": 0.0, "key": None}
    for ours, theirs in zip(fused(qkv, dcontext, **options), explicit(qkv, dcontext, **options), strict=True):
        # a score of `scale` size has an absolute rounding error of that many eps, and so the weight a relative one
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14 * max(1.0, scale) ** 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 3, 1, 2), (1, 3, 1, 2), (1, 140, 1, 2), (2, 3, 1, 2), (2, 140, 1, 2)])
@pytest.mark.parametrize("options", [{"p": 0.0, "key": None}, {"p": 0.3, "key": KEY}])
def test_nan_and_infinity_go_where_they_go_in_the_explicit_op(value: float, place: Any, options: Any) -> None:
    starts, qkv, dcontext = drawn(np.random.default_rng(1), [5, 145, 4], 2, 8, np.float32)
    qkv[place] = value
    truth = explicit(qkv, dcontext, starts=starts, **options)
    for ours, theirs in zip(fused(qkv, dcontext, starts=starts, **options), truth, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)  # NaN is equal to NaN here; the rest as above


def test_a_column_of_minus_infinity_first_and_numbers_later() -> None:
    """A whole tile of scores -inf: the running maximum must not turn them into NaN."""
    starts, qkv, dcontext = drawn(np.random.default_rng(2), [300], 1, 4, np.float64)
    qkv[0] = np.abs(qkv[0])
    qkv[1, :200, 0, 0] = -np.inf
    context, _ = fused(qkv, dcontext, starts=starts, p=0.0, key=None)
    expected, _ = explicit(qkv, dcontext, starts=starts, p=0.0, key=None)
    assert np.isfinite(context).all()
    np.testing.assert_allclose(context, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("L", [[0], [0, 0], [1], [0, 1, 0], [1] * 30])
def test_sequences_of_no_and_of_one_token(L: list[int]) -> None:
    starts, qkv, dcontext = drawn(np.random.default_rng(3), L, 2, 8, np.float32)
    context, dqkv = fused(qkv, dcontext, starts=starts, p=0.0, key=None)
    np.testing.assert_allclose(context, qkv[2], rtol=1e-6)  # a token by itself looks at itself
    np.testing.assert_allclose(dqkv[2], dcontext, rtol=1e-6)
    np.testing.assert_allclose(dqkv[:2], 0, atol=1e-6)


class TestDropout:
    L, N, p = 150, 2, 0.25

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """The weights that forward used, (N, L, L), and those that backward used, (N, L keys, L queries).

        Queries and keys are 0, so weights are mask / L; with V the identity the context is the weights, and with dC the
        identity dV is.
        """
        qkv = np.zeros((3, self.L, self.N, self.L), np.float32)
        identity = np.broadcast_to(np.eye(self.L, dtype=np.float32)[:, None], (self.L, self.N, self.L))
        qkv[2] = identity
        context, dqkv = fused(qkv, identity, starts=[0, self.L], p=self.p, key=KEY)
        return context.transpose(1, 0, 2), dqkv[2].transpose(1, 0, 2)

    def test_the_mask_is_the_explicit_ops(self) -> None:
        used, _ = self.weights()
        rows = np.arange(self.L, dtype=np.uint64) * np.uint64(self.N)
        for n in range(self.N):
            expected = keep_mask(rows + np.uint64(n), self.L, self.p, KEY)
            np.testing.assert_array_equal(used[n] > 0, expected)
            # one division, one multiplication and the sum of 150 ones in float32
            np.testing.assert_allclose(used[n][expected], 1 / (1 - self.p) / self.L, rtol=1e-6)

    def test_keep_rate(self) -> None:
        used, _ = self.weights()
        sigma = np.sqrt(self.p * (1 - self.p) / used.size)
        assert abs((used > 0).mean() - (1 - self.p)) < 4 * sigma

    def test_backward_uses_the_mask_of_forward(self) -> None:
        used, used_in_backward = self.weights()
        np.testing.assert_array_equal(used_in_backward.transpose(0, 2, 1) > 0, used > 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{"p": 0.0, "key": None}, {"p": 0.1, "key": KEY}])
def test_the_same_bits_each_time_and_with_any_number_of_threads(dtype: Any, options: Any, team: Any) -> None:
    starts, qkv, dcontext = drawn(np.random.default_rng(4), [200, 3, 0, 130, 77, 64], 3, 32, dtype)
    results = []
    for number in (2, 2, 1, 3, 8):
        team(number)
        results.append(fused(qkv, dcontext, starts=starts, **options))
    for again in results[1:]:
        for a, b in zip(results[0], again, strict=True):
            np.testing.assert_array_equal(a, b)


def test_inputs_of_any_layout() -> None:
    starts, qkv, dcontext = drawn(np.random.default_rng(5), [70, 20], 2, 8, np.float32)
    options: dict[str, Any] = {"starts": starts, "p": 0.0, "key": None}
    expected = fused(qkv, dcontext, **options)
    token_by_token = np.ascontiguousarray(qkv.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
    got = fused(token_by_token, np.asfortranarray(dcontext), **options)
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a, b)


def test_extra_memory_is_linear_in_the_length(team: Any) -> None:
    """The peak beyond input and result, forward and backward, while S doubles: at most doubled, and far from S x S."""
    team(2)
    N, D, extra = 2, 16, {}
    for S in (512, 1024, 2048, 4096):
        starts, qkv, dcontext = drawn(np.random.default_rng(6), [S], N, D, np.float32)
        fused(qkv, dcontext, starts=starts, p=0.1, key=KEY)  # compiled
        tracemalloc.start()
        context, dqkv = fused(qkv, dcontext, starts=starts, p=0.1, key=KEY)
        extra[S] = tracemalloc.get_traced_memory()[1] - context.nbytes - dqkv.nbytes
        tracemalloc.stop()
    for S in (512, 1024, 2048):
        assert extra[2 * S] <= 2 * extra[S] + 10_000, extra  # Python's own odds and ends
    assert extra[4096] < 4096 * 4096  # a quarter of one head's scores, and these are two heads


@pytest.mark.parametrize("p", [0.0, 0.2])
def test_on_the_tape(p: float) -> None:
    starts, qkv, dcontext = drawn(np.random.default_rng(7), [90, 40], 2, 32, np.float64)
    gradients = []
    for off in (False, True):
        x = Tensor(qkv, requires_grad=True)
        if off:
            with kernels_off():
                y = ops.self_attention(x, starts=starts, p=p, training=True, key=KEY)
        else:
            y = ops.self_attention(x, starts=starts, p=p, training=True, key=KEY)
        assert y.creator is not None
        assert (y.creator.kernel is None) == off
        y.backward(dcontext)
        assert x.grad is not None
        gradients.append(x.grad.numpy())
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=0, atol=1e-13)


def test_nothing_is_done_for_a_gradient_that_nobody_wants() -> None:
    starts, qkv, dcontext = drawn(np.random.default_rng(8), [9], 1, 8, np.float32)
    _, saved = attention.attention_forward(qkv, starts=starts, p=0.0, key=None)
    assert attention.attention_backward(dcontext, saved, (False,), starts=starts, p=0.0, key=None) == (None,)
