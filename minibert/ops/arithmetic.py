"""Addition, subtraction, multiplication, division, negation and powers, elementwise with broadcasting."""

from __future__ import annotations

import math
from typing import Any

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.ops.broadcast import operands, unbroadcast


class Add(Op):
    """z = x + y."""

    def forward(self, x: Array, y: Array) -> Array:
        self.save(x.shape, y.shape)
        return x + y

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x_shape, y_shape = self.saved
        return unbroadcast(dz, x_shape), unbroadcast(dz, y_shape)


class Subtract(Op):
    """z = x - y."""

    def forward(self, x: Array, y: Array) -> Array:
        self.save(x.shape, y.shape)
        return x - y

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x_shape, y_shape = self.saved
        return unbroadcast(dz, x_shape), unbroadcast(-dz, y_shape)


class Multiply(Op):
    """z = x y."""

    def forward(self, x: Array, y: Array) -> Array:
        self.save(x, y)
        return x * y

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.saved
        return unbroadcast(dz * y, x.shape), unbroadcast(dz * x, y.shape)


class Divide(Op):
    """z = x / y."""

    def forward(self, x: Array, y: Array) -> Array:
        self.save(x, y)
        return x / y

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.saved
        dx = dz / y
        dy = -dx * x / y
        return unbroadcast(dx, x.shape), unbroadcast(dy, y.shape)


class Negative(Op):
    """y = -x."""

    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, dy: Array) -> Array:
        return -dy


class Power(Op):
    """y = x ** n for a number n."""

    def forward(self, x: Array, *, exponent: float) -> Array:
        self.save(x, exponent)
        return x**exponent

    def backward(self, dy: Array) -> Array:
        x, n = self.saved
        return dy * n * x ** (n - 1) if n != 0 else dy * 0.0


class Exponential(Op):
    """y = a ** x for a number a > 0."""

    def forward(self, x: Array, *, base: float) -> Array:
        y = namespace(x).asarray(base**x)
        self.save(y, base)
        return y

    def backward(self, dy: Array) -> Array:
        y, a = self.saved
        return dy * y * math.log(a)


def add(x: Any, y: Any) -> Tensor:
    """x + y; shapes broadcast, one side may be a number."""
    return Add.apply(*operands(x, y))


def subtract(x: Any, y: Any) -> Tensor:
    """x - y; shapes broadcast, one side may be a number."""
    return Subtract.apply(*operands(x, y))


def multiply(x: Any, y: Any) -> Tensor:
    """x * y elementwise; shapes broadcast, one side may be a number."""
    return Multiply.apply(*operands(x, y))


def divide(x: Any, y: Any) -> Tensor:
    """x / y elementwise; shapes broadcast, one side may be a number."""
    return Divide.apply(*operands(x, y))


def negative(x: Tensor) -> Tensor:
    """-x."""
    return Negative.apply(x)


def power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for a plain number `exponent`.

    Raises:
        ValueError: the exponent is not a plain number.
    """
    if not isinstance(exponent, (int, float)):
        raise ValueError(f"power needs a plain number as exponent, got {type(exponent).__name__}")
    return Power.apply(x, exponent=float(exponent))


def exponential(base: Any, x: Tensor) -> Tensor:
    """base ** x, elementwise, for a plain number `base` above 0.

    Raises:
        ValueError: the base is not such a number.
    """
    if not isinstance(base, (int, float)) or not 0 < base < math.inf:
        raise ValueError(f"the base of a power of tensors must be a plain number above 0, got {base!r}")
    return Exponential.apply(x, base=float(base))
