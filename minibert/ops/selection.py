"""Which of two values an element takes: by a condition (`where`), or by bounds (`clip`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert import backend
from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.number_like import as_float
from minibert.ops.broadcast import operands, unbroadcast


class Where(Op):
    """z = x where the condition holds, y elsewhere; each gradient goes where its value came from."""

    def forward(self, x: Array, y: Array, *, condition: Array) -> Array:
        self.save(condition, x.shape, y.shape)
        return namespace(x).where(condition, x, y)

    def backward(self, dz: Array) -> tuple[Array, Array]:
        condition, x_shape, y_shape = self.saved
        xp = namespace(dz)
        zero = xp.zeros_like(dz)
        dx, dy = xp.where(condition, dz, zero), xp.where(condition, zero, dz)
        return unbroadcast(dx, x_shape), unbroadcast(dy, y_shape)


class Clip(Op):
    """y = x, but not below `low` and not above `high`; the slope is 1 inside and on the bounds, 0 beyond them."""

    def forward(self, x: Array, *, low: float | None, high: float | None) -> Array:
        xp = namespace(x)
        inside = xp.ones_like(x, dtype=xp.bool)
        inside = inside if low is None else inside & (x >= low)
        inside = inside if high is None else inside & (x <= high)
        self.save(inside)
        return xp.clip(x, low, high)

    def backward(self, dy: Array) -> Array:
        (inside,) = self.saved
        xp = namespace(dy)
        return xp.where(inside, dy, xp.zeros_like(dy))


def where(condition: Any, x: Any, y: Any) -> Tensor:
    """x where `condition` is true, y elsewhere; the three shapes broadcast, and one of x and y may be a number.

    Args:
        condition: booleans.

    Raises:
        ValueError: the condition is not boolean, the dtypes of x and y differ, or the shapes do not broadcast.
    """
    x, y = operands(*(Tensor(v) if not isinstance(x, Tensor) and not isinstance(y, Tensor) else v for v in (x, y)))
    mask = backend.index_array(condition.data if isinstance(condition, Tensor) else condition, like=x.data)
    if not namespace(mask).isdtype(mask.dtype, "bool"):
        raise ValueError(f"the condition of where holds booleans, got {mask.dtype}; compare first, as in x > 0")
    try:
        np.broadcast_shapes(mask.shape, x.shape, y.shape)
    except ValueError:
        raise ValueError(f"shapes {tuple(mask.shape)}, {x.shape} and {y.shape} do not broadcast") from None
    return Where.apply(x, y, condition=mask)


def clip(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """x, elementwise, but not below `min` and not above `max`; None is no bound.

    Raises:
        ValueError: no bound at all, one that is not a finite number, or `min` above `max`.
    """
    if min is None and max is None:
        raise ValueError("clip needs a lower or an upper bound")
    low, high = (None if v is None else as_float(f"clip's {n} bound", v) for v, n in ((min, "lower"), (max, "upper")))
    if low is not None and high is not None and low > high:
        raise ValueError(f"clip's lower bound {low:g} lies above the upper bound {high:g}")
    return Clip.apply(x, low=low, high=high)
