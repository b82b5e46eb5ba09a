"""Launching the kernels of bias_gelu.cu that have no bias: GELU by itself, exact and in its tanh form."""

from __future__ import annotations

from typing import Any

from numpy import int64

from .launch import ceil_div, contiguous, elementwise, launch, namespace, real


def _run(kernel: str, *arrays: Any) -> Any:
    """The kernel's result for arrays of one shape."""
    given = [contiguous(x) for x in arrays]
    out = namespace(given[0]).empty(given[0].shape, dtype=given[0].dtype)
    grid, block = elementwise(ceil_div(out.size, 4))
    launch("bias_gelu", kernel, grid, block, (*given, out, int64(out.size)), defines={"REAL": real(out)})
    return out


def gelu_forward(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """x of any shape: y, and x for backward."""
    return _run("gelu_forward", x), (x,)


def gelu_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """dx, in the shape of dy."""
    return (_run("gelu_backward", dy, *saved),)


def gelu_tanh_forward(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """As `gelu_forward`, for the tanh approximation."""
    return _run("gelu_tanh_forward", x), (x,)


def gelu_tanh_backward(dy: Any, saved: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """As `gelu_backward`, for the tanh approximation."""
    return (_run("gelu_tanh_backward", dy, *saved),)
