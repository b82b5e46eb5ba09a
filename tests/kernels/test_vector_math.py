"""The vectorised exp, tanh and normal distribution over all that float32 can hold, and against mpmath in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from minibert.kernels.cpu import vector_math
from tests.kernels.ulps import TRUTH, bound, excess, map_cdf, map_density, map_exp, map_tanh, ours, ulps

FUNCTIONS = {"exp": map_exp, "tanh": map_tanh, "cdf": map_cdf, "density": map_density}
each = pytest.mark.parametrize("function", list(FUNCTIONS.values()), ids=list(FUNCTIONS))

EXACT: dict[Any, Callable[[Any], Any]] = {
    map_exp: mpmath.exp,
    map_tanh: mpmath.tanh,
    map_cdf: lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    map_density: lambda x: mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi),
}


@each
def test_every_exponent_of_float32(function: Any) -> None:
    """Both signs, 256 exponents (subnormals, infinities and NaNs among them), 2000 fractions each with both ends."""
    rng = np.random.default_rng(0)
    fractions = np.concatenate([[0, 1, 2**23 - 1, 2**22], rng.integers(0, 2**23, 1996)]).astype(np.uint32)
    bits = (np.arange(512, dtype=np.uint32)[:, None] << np.uint32(23)) | fractions
    _, ratio = excess(function, bits.reshape(-1).view(np.float32))
    assert ratio <= 1.0


@each
def test_densely_where_it_bends(function: Any) -> None:
    low, high = {map_exp: (-104.5, 89.5), map_tanh: (-9.5, 9.5)}.get(function, (-15.0, 15.0))
    _, ratio = excess(function, np.linspace(low, high, 500_000).astype(np.float32))
    assert ratio <= 1.0


@each
def test_float64(function: Any) -> None:
    low, high = {map_exp: (-746.0, 710.0), map_tanh: (-20.0, 20.0)}.get(function, (-39.0, 39.0))
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(low, high, 600), rng.standard_normal(600), 2.0 ** rng.uniform(-1070, 3, 200)])
    y = ours(function, x)
    with mpmath.workdps(40):
        for a, b, limit in zip(x.tolist(), y.tolist(), bound(function, x), strict=True):
            truth = EXACT[function](mpmath.mpf(a))
            assert abs(truth - b) <= limit * np.spacing(abs(float(truth))), a


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_ends(dtype: str) -> None:
    inf, nan = float("inf"), float("nan")
    x = np.asarray([-inf, inf, nan, 0.0, -0.0, 1e30, -1e30], dtype)
    np.testing.assert_array_equal(ours(map_exp, x), np.asarray([0, inf, nan, 1, 1, inf, 0], dtype))
    y = ours(map_tanh, x)
    np.testing.assert_array_equal(y, np.asarray([-1, 1, nan, 0, 0, 1, -1], dtype))
    assert np.signbit(y[:5]).tolist()[3:] == [False, True]
    np.testing.assert_array_equal(ours(map_cdf, x), np.asarray([0, 1, nan, 0.5, 0.5, 1, 0], dtype))
    np.testing.assert_array_equal(ours(map_density, x)[[0, 1, 2, 5, 6]], np.asarray([0, 0, nan, 0, 0], dtype))


def test_exp_rounds_to_subnormals() -> None:
    x = np.linspace(-104, -87.4, 10_001).astype(np.float32)
    y = ours(map_exp, x)
    assert np.count_nonzero((y > 0) & (y < np.finfo(np.float32).tiny)) > 9000
    assert ulps(y, np.exp(x.astype(np.float64))).max() <= 1.0


@each
def test_loops_are_vectorised(function: Any) -> None:
    """No call is left in the loop: the same code has no loop of single numbers that calls a function."""
    ours(function, np.zeros(3, np.float32))
    (llvm,) = [text for types, text in function.inspect_llvm().items() if "float32" in str(types)]
    assert "x float>" in llvm  # vectors of floats, whatever their width on this processor


@pytest.mark.parametrize(("terms", "weight", "claimed"), [("E", "r", 3.2e-9), ("E64", "r", 3.7e-18)])
def test_the_polynomial_is_as_close_as_claimed(terms: str, weight: str, claimed: float) -> None:
    """In exact arithmetic: what is left of the error is rounding."""
    single = [getattr(vector_math, f"_E{k}") for k in range(5)]
    q = [mpmath.mpf(float(c)) for c in (single if terms == "E" else vector_math._E64)]
    with mpmath.workdps(40):
        worst = mpmath.mpf(0)
        for r in mpmath.linspace(-mpmath.log(2) / 2, mpmath.log(2) / 2, 301):
            value = mpmath.mpf(0)
            for c in reversed([1, 1, *q]):  # 1 + r + r^2 (q_0 + q_1 r + ...), from the inside out
                value = value * r + c
            worst = max(worst, abs(value / mpmath.exp(r) - 1))
    # coefficients rounded to their dtype cost more: r^2 = 0.12 times half a unit of 1/2, 3e-8 or 6e-17, and the like
    assert worst <= claimed + (6e-9 if terms == "E" else 1.2e-17)


def test_python_cannot_call_them() -> None:
    for function in (vector_math.exp, vector_math.tanh, vector_math.normal):
        with pytest.raises(TypeError, match="@njit"):
            function(1.0)


def test_order_is_the_order_of_floats() -> None:
    from numba import njit

    @njit
    def there(x: Any, i: Any, back: Any) -> None:
        for k in range(x.size):
            i[k] = vector_math.order(x[k])
            back[k] = vector_math.from_order(vector_math.order(x[k]))

    for real, whole in (("float32", "int32"), ("float64", "int64")):
        x = np.asarray([-np.inf, -1e30, -2.0, -1e-45, -0.0, 0.0, 1e-45, 2.0, 1e30, np.inf, np.nan], real)
        i, back = np.empty(x.size, whole), np.empty_like(x)
        there(x, i, back)
        assert (np.diff(i) > 0).sum() >= 9  # float32 has 1e-45, and every neighbour differs
        assert (np.diff(i) >= 0).all()
        np.testing.assert_array_equal(back, x)


def test_truth_knows_every_function() -> None:
    assert set(TRUTH) == set(EXACT) == set(FUNCTIONS.values())
