"""Linear layers in mixed precision: activations in 16 bits, weights in float32, products on the tensor cores.

Where everything is float32 the explicit op runs: it is nothing but matrix products, which CuPy hands to cuBLAS. Here
the weight is narrowed for the products, whose sums cuBLAS keeps in float32, and gradients of parameters are float32.
"""

from __future__ import annotations

from typing import Any

from .column_sums import column_sums
from .launch import contiguous, namespace, rows_of

Saved = tuple[Any, ...]


def linear_forward(x: Any, weight: Any, bias: Any | None = None) -> tuple[Any, Saved]:
    """(..., I), (O, I) and maybe (O,), to (..., O) in x's dtype."""
    rows = rows_of(x)
    y = namespace(x).matmul(rows, weight.astype(x.dtype).T)
    if bias is not None:
        y += bias.astype(x.dtype)
    return y.reshape(*x.shape[:-1], weight.shape[0]), (rows, weight)


def linear_backward(dy: Any, saved: Saved, needs: tuple[bool, ...]) -> tuple[Any | None, ...]:
    """(..., O) to the gradients of x, weight and, if there was one, bias."""
    rows, weight = saved
    xp, flat = namespace(dy), rows_of(dy)  # (R, O)
    dx = xp.matmul(flat, weight.astype(dy.dtype)).reshape(*dy.shape[:-1], weight.shape[1]) if needs[0] else None
    dweight = xp.matmul(flat.T, rows).astype(weight.dtype) if needs[1] else None
    return (dx, dweight, *((column_sums(contiguous(flat)) if wanted else None) for wanted in needs[2:]))


def projections_forward(x: Any, *parameters: Any) -> tuple[Any, Saved]:
    """(T, I) and weight (O, I), bias (O,) of each, to (n, T, O) in x's dtype."""
    xp, weights, biases = namespace(x), parameters[::2], parameters[1::2]
    y = xp.empty((len(weights), x.shape[0], weights[0].shape[0]), dtype=x.dtype)
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        y[i] = xp.matmul(x, weight.astype(x.dtype).T) + bias.astype(x.dtype)
    return y, (x, *weights)


def projections_backward(dy: Any, saved: Saved, needs: tuple[bool, ...]) -> tuple[Any | None, ...]:
    """(n, T, O) to the gradients of x and of each weight and bias."""
    x, *weights = saved
    xp, grads, dx = namespace(dy), [], None
    for i, weight in enumerate(weights):
        part = contiguous(dy[i])  # (T, O)
        if needs[0]:
            product = xp.matmul(part, weight.astype(dy.dtype))
            dx = product if dx is None else dx + product
        grads.append(xp.matmul(part.T, x).astype(weight.dtype) if needs[1 + 2 * i] else None)
        grads.append(column_sums(part) if needs[2 + 2 * i] else None)
    return (dx, *grads)
