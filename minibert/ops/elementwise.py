"""Functions of one element: exp, log, sqrt, abs, relu."""

from __future__ import annotations

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace


class Exp(Op):
    """y = e^x."""

    def forward(self, x: Array) -> Array:
        y = namespace(x).exp(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved
        return dy * y


class Log(Op):
    """y = ln x."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return namespace(x).log(x)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved
        return dy / x


class Sqrt(Op):
    """y = sqrt(x)."""

    def forward(self, x: Array) -> Array:
        y = namespace(x).sqrt(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved
        return dy / (2.0 * y)


class Abs(Op):
    """y = |x|."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return abs(x)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved
        return dy * namespace(x).sign(x)


class Relu(Op):
    """y = max(x, 0)."""

    def forward(self, x: Array) -> Array:
        xp = namespace(x)
        self.save(x > 0)
        return xp.where(x > 0, x, xp.zeros_like(x))

    def backward(self, dy: Array) -> Array:
        (positive,) = self.saved
        xp = namespace(dy)
        return xp.where(positive, dy, xp.zeros_like(dy))


def exp(x: Tensor) -> Tensor:
    """e^x, elementwise."""
    return Exp.apply(x)


def log(x: Tensor) -> Tensor:
    """Natural logarithm, elementwise."""
    return Log.apply(x)


def sqrt(x: Tensor) -> Tensor:
    """Square root, elementwise."""
    return Sqrt.apply(x)


def absolute(x: Tensor) -> Tensor:
    """|x|, elementwise; the slope at 0 is taken as 0."""
    return Abs.apply(x)


def relu(x: Tensor) -> Tensor:
    """max(x, 0), elementwise; the slope at 0 is taken as 0."""
    return Relu.apply(x)
