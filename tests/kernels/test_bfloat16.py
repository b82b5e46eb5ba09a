"""Products in bfloat16: exactly those of rounded factors, up to the order of sums; asked for, or not done."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minibert
from minibert import ops
from minibert.autograd import Tensor
from minibert.kernels.cpu import matmul, threads
from minibert.kernels.cpu.bfloat16 import FAST
from minibert.kernels.cpu.bfloat16_gemm import DEPTH, WIDTH, bfloat16_gemm
from minibert.kernels.cpu.gelu import gelu_forward
from tests.kernels.test_gemm import layout, layouts

rows = st.sampled_from([1, 3, 5, 63, 65, 130])
columns = st.sampled_from([1, 15, 16, 17, WIDTH - 1, WIDTH + 1, 2 * WIDTH + 16])
depths = st.sampled_from([1, 2, 7, 2 * DEPTH - 1, 2 * DEPTH, 2 * DEPTH + 1, 4 * DEPTH + 5])


def rounded(x: np.ndarray) -> np.ndarray:
    """To the nearest bfloat16, as float64: 8 bits of a number between 1/2 and 1."""
    fraction, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.rint(fraction * 256) / 256, exponent)


@settings(max_examples=60)
@given(st.integers(0, 10**6), rows, depths, columns, layouts, layouts, st.booleans(), st.booleans(), st.integers(1, 5))
def test_is_the_product_of_rounded_numbers(
    seed: int, M: int, K: int, N: int, of_a: str, of_b: str, bias: bool, add: bool, workers: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b, v, c = (rng.standard_normal(shape).astype(np.float32) for shape in ((M, K), (K, N), (N,), (M, N)))
    expected = rounded(a) @ rounded(b) + (v if bias else 0.0) + (c if add else 0.0)
    before = threads.get_num_threads()
    try:
        threads._threads = workers
        room = np.full((M + 2, N), np.nan, np.float32)
        room[1:-1] = c
        bfloat16_gemm(layout(a, of_a), layout(b, of_b), v if bias else None, room[1:-1], add=add)
        # sums of up to 517 products of numbers of size one in float32: a few hundred roundings of 6e-8 each
        np.testing.assert_allclose(room[1:-1], expected, rtol=0, atol=2e-4)
        assert np.isnan(room[[0, -1]]).all()
        if not add:  # GELU of the product has the same bits as GELU afterwards
            bent = np.empty((M, N), np.float32)
            bfloat16_gemm(layout(a, of_a), layout(b, of_b), v if bias else None, bent, gelu=True)
            np.testing.assert_array_equal(bent, gelu_forward(room[1:-1])[0])
    finally:
        threads._threads = before


@pytest.mark.parametrize(("M", "K", "N"), [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_nothing_to_multiply(M: int, K: int, N: int) -> None:
    c = np.full((M, N), np.nan, np.float32)
    bfloat16_gemm(np.ones((M, K), np.float32), np.ones((K, N), np.float32), None, c)
    assert not c.any()


@pytest.mark.parametrize("turned", [False, True])
def test_numbers_that_are_none_and_ties(turned: bool) -> None:
    """A product with 1 shows what a number is rounded to: NaN and infinity stay, a tie goes to the even neighbour."""
    bits = np.array([0x7FFFFFFF, 0xFFC00001, 0x7F800000, 0xFF800000, 0x3F808000, 0x3F818000, 0x3F808001], np.uint32)
    x = np.zeros((7, 40), np.float32)
    x[:, 0] = bits.view(np.float32)
    c = np.empty((7, 1), np.float32)
    bfloat16_gemm(np.asfortranarray(x) if turned else x, np.eye(40, 1, dtype=np.float32), None, c)
    expected = np.array([np.nan, np.nan, np.inf, -np.inf, 1.0, 1.015625, 1.0078125], np.float32)
    np.testing.assert_array_equal(c[:, 0], expected)


@pytest.fixture
def medium() -> Iterator[None]:
    minibert.set_float32_matmul_precision("medium")
    yield
    minibert.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("medium")
def test_is_used_where_it_is_fast() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((90, 40)).astype(np.float32), rng.standard_normal((40, 30)).astype(np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    expected = rounded(a) @ rounded(b) if FAST else exact
    np.testing.assert_allclose(matmul.matmul(a, b), expected, rtol=0, atol=1e-5)  # 40 roundings of some 6e-8
    with minibert.kernels_off():  # explicit ops are exact
        y = ops.linear(Tensor(a), Tensor(np.ascontiguousarray(b.T)))
    np.testing.assert_allclose(y.numpy(), exact, rtol=0, atol=1e-5)
    np.testing.assert_allclose(matmul.matmul(a.astype(np.float64), b.astype(np.float64)), exact, rtol=1e-12)


def test_the_setting() -> None:
    assert minibert.get_float32_matmul_precision() == "highest"
    with pytest.raises(ValueError, match="highest or medium, got 'low'"):
        minibert.set_float32_matmul_precision("low")
