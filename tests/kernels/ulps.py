"""How far the vector functions are from the truth, in units of the last place; by itself, for every float32 there is.

python -m tests.kernels.ulps        (some minutes)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from minibert.kernels.cpu.vector_math import exp, normal, tanh


@njit(error_model="numpy")
def map_exp(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = exp(x[i])


@njit(error_model="numpy")
def map_tanh(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = tanh(x[i])


@njit(error_model="numpy")
def map_cdf(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = normal(x[i])[0]


@njit(error_model="numpy")
def map_density(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = normal(x[i])[1]


def ours(function: Any, x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    function(x, y)
    return y


# For float32, float64 is the truth: NumPy's, and our own for the distribution, which is held against mpmath elsewhere.
TRUTH: dict[Any, Callable[[np.ndarray], np.ndarray]] = {
    map_exp: np.exp,
    map_tanh: np.tanh,
    map_cdf: lambda x: ours(map_cdf, x),
    map_density: lambda x: ours(map_density, x),
}


def bound(function: Any, x: np.ndarray) -> np.ndarray:
    """What the module says of its error at x, in ulp."""
    if function in (map_exp, map_tanh):
        return np.full(x.shape, 1.1 if function is map_exp else 3.0)
    tail = 6 + np.minimum(x.astype(np.float64) ** 2, 1500) / 2
    return tail if function is map_density else np.where(x >= 0, 2.5, tail)


def ulps(y: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """|y - truth| in units of the last place of y's dtype; 0 where both are the same infinity or NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = truth.astype(y.dtype)
        same = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
        unit = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, np.finfo(y.dtype).max)))
        error = np.abs(y.astype(np.float64) - truth) / unit.astype(np.float64)
    # an infinity or a NaN where there should be none, or the other way round, is an infinite error
    return np.where(same, 0.0, np.where(np.isfinite(y) & np.isfinite(truth), error, np.inf))


def excess(function: Any, x: np.ndarray) -> tuple[float, float]:
    """The largest error at the float32 numbers x in ulp, and the largest ratio of an error to its bound."""
    with np.errstate(all="ignore"):  # some of the NaNs among the float32 numbers are of the kind that signals
        error = ulps(ours(function, x), TRUTH[function](x.astype(np.float64)))
        ratio = error / np.where(np.isnan(x), 1.0, bound(function, x))
    return float(error.max()), float(ratio.max())


def main() -> None:
    for function in TRUTH:
        worst = ratio = 0.0
        for first in range(0, 2**32, 2**24):
            x = np.arange(first, first + 2**24, dtype=np.uint64).astype(np.uint32).view(np.float32)
            error, relative = excess(function, x)
            worst, ratio = max(worst, error), max(ratio, relative)
        verdict = "within" if ratio <= 1 else "BEYOND"
        print(f"{function.__name__:12} {worst:8.3f} ulp at most; {ratio:.3f} of its bound: {verdict}", flush=True)


if __name__ == "__main__":
    main()
