"""GELU in one pass over memory: read x, compute in registers, write y.

The explicit op walks over the whole array a dozen times, once for each step of its formula. Backward computes the
distribution function again, which is cheaper than keeping it: reading a number from memory takes longer than the forty
instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import arrays as forms
from . import threads
from .compiled import njit
from .vector_math import FLAGS, normal, tanh

CHUNK = 4096
"""Elements handed out at once. The cut is the same with any number of threads, and so is every bit of the result."""
GRAIN = 4
"""Fewest chunks worth a thread of their own: some ten microseconds of work."""

_OPTIONS: Any = {"fastmath": FLAGS, "error_model": "numpy"}


@njit(fastmath=FLAGS, forceinline=True, cache=False)
def gelu_and_slope(x: Any) -> Any:
    """(x Phi(x), Phi(x) + x phi(x)) of one number."""
    cdf, density = normal(x)
    return x * cdf, cdf + x * density


@njit(fastmath=FLAGS, forceinline=True, cache=False)
def gelu_tanh_and_slope(x: Any) -> Any:
    """The same for x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3)."""
    real = type(x)
    half, one = real(0.5), real(1.0)
    c1, c3 = real(0.7978845608028654), real(0.7978845608028654 * 0.044715)
    square = x * x
    t = tanh(x * (c1 + c3 * square))
    du = c1 + real(3.0) * c3 * square
    return half * x * (one + t), half * (one + t) + half * x * (one - t * t) * du


@njit(**_OPTIONS)
def _forward(first: int, end: int, x: Any, y: Any) -> None:
    u, v = x[first * CHUNK : end * CHUNK], y[first * CHUNK : end * CHUNK]
    for i in range(u.shape[0]):
        v[i] = gelu_and_slope(u[i])[0]


@njit(**_OPTIONS)
def _backward(first: int, end: int, dy: Any, x: Any, dx: Any) -> None:
    du, u, dv = dx[first * CHUNK : end * CHUNK], x[first * CHUNK : end * CHUNK], dy[first * CHUNK : end * CHUNK]
    for i in range(u.shape[0]):
        du[i] = dv[i] * gelu_and_slope(u[i])[1]


@njit(**_OPTIONS)
def _tanh_forward(first: int, end: int, x: Any, y: Any) -> None:
    u, v = x[first * CHUNK : end * CHUNK], y[first * CHUNK : end * CHUNK]
    for i in range(u.shape[0]):
        v[i] = gelu_tanh_and_slope(u[i])[0]


@njit(**_OPTIONS)
def _tanh_backward(first: int, end: int, dy: Any, x: Any, dx: Any) -> None:
    du, u, dv = dx[first * CHUNK : end * CHUNK], x[first * CHUNK : end * CHUNK], dy[first * CHUNK : end * CHUNK]
    for i in range(u.shape[0]):
        du[i] = dv[i] * gelu_tanh_and_slope(u[i])[1]


def gelu_forward(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """x of any shape: y, and x for backward."""
    return _elementwise(_forward, x), (x,)


def gelu_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """dx, in the shape of dy."""
    return (_elementwise(_backward, dy, *saved),)


def gelu_tanh_forward(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """As `gelu_forward`, for the tanh approximation."""
    return _elementwise(_tanh_forward, x), (x,)


def gelu_tanh_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """As `gelu_backward`, for the tanh approximation."""
    return (_elementwise(_tanh_backward, dy, *saved),)


def _elementwise(kernel: Any, *arrays: Any) -> Any:
    """The kernel's result for arrays of one shape."""
    flat = [x.reshape(-1) for x in forms.inputs(*arrays)]
    out = np.empty(flat[0].shape, flat[0].dtype)
    threads.split(-(-out.size // CHUNK), kernel, *flat, out, grain=GRAIN)
    return out.reshape(arrays[0].shape)
