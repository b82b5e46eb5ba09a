"""Addition, subtraction, multiplication, division, negation and powers, elementwise with broadcasting."""

from __future__ import annotations

import math
from typing import Any

from minibert.autograd import Op, Tensor
from minibert.backend import Array, is_floating, namespace
from minibert.number_like import as_float, is_float
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


class Pow(Op):
    """z = x ** y, both arrays. Where x is 0 the slope in y is 0, that of 0 ** y for positive y."""

    def forward(self, x: Array, y: Array) -> Array:
        z = x**y
        self.save(x, y, z)
        return z

    def backward(self, dz: Array) -> tuple[Array, Array | None]:
        x, y, z = self.saved
        xp = namespace(x)
        one = xp.ones_like(x)
        dx = y * xp.where(y == 0, one, x) ** (y - 1)  # without 0 ** -1, which 0 times is not 0
        if not self.needs[1]:  # no logarithm of a negative number, if only the square is differentiated
            return unbroadcast(dz * dx, x.shape), None
        dy = z * xp.log(xp.where(x == 0, one, x))
        return unbroadcast(dz * dx, x.shape), unbroadcast(dz * dy, y.shape)


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


def power(x: Any, exponent: Any) -> Tensor:
    """x ** exponent, elementwise; the exponent is a number, or a tensor whose shape broadcasts against x's.

    Raises:
        ValueError: the exponent is neither, or the tensors hold integers.
    """
    if is_float(exponent) and not isinstance(exponent, Tensor):
        return Power.apply(x, exponent=as_float("the exponent", exponent))
    x, exponent = operands(x, exponent)
    if not is_floating(x.data):
        raise ValueError(f"a power of tensors is taken of floating dtypes, these are {x.dtype}")
    return Pow.apply(x, exponent)


def exponential(base: Any, x: Tensor) -> Tensor:
    """base ** x, elementwise: the base is a number above 0, or an array or tensor.

    Raises:
        ValueError: the base is a number that is not above 0.
    """
    if not is_float(base) or isinstance(base, Tensor):
        return power(base, x)
    if not 0 < (number := as_float("the base", base)):
        raise ValueError(f"the base of a power of tensors must be a number above 0, got {base!r}")
    return Exponential.apply(x, base=number)
