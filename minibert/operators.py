"""What can be written with a tensor: `x + y`, `x @ w`, `x[2:5]`, `x.sum()`, and its ways out to NumPy.

A base class of `Tensor`, so that the engine's file holds the engine alone. Each method is one op of `minibert.ops`;
these are built on the engine, so they are looked up when called.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert import backend
from minibert.backend import Array

if TYPE_CHECKING:
    from minibert.autograd import Tensor


class _Later:
    """`minibert.ops`, looked up at the first use: it is built on the engine, and the engine on this file."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("minibert.ops"), name)


ops = _Later()

# What `array + tensor` means: NumPy asks here first, because the array stands on the left.
_UFUNC_METHODS = {
    "add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__", "divide": "__rtruediv__", "matmul":
    "__rmatmul__", "power": "__rpow__",
}  # fmt: skip
_TRUTHS = {"greater", "greater_equal", "less", "less_equal", "isfinite", "isinf", "isnan", "signbit"}
"""NumPy's functions to true and false, through which no gradient runs anyway."""


class Operators:
    """Arithmetic, indexing, reductions and conversions of `Tensor`."""

    __slots__ = ()

    data: Array
    requires_grad: bool

    # --- arithmetic -------------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return ops.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.divide(other, self)

    def __abs__(self) -> Tensor:
        return ops.absolute(self)

    def __pow__(self, exponent: Any) -> Tensor:
        return ops.power(self, exponent)

    def __rpow__(self, base: Any) -> Tensor:
        return ops.exponential(base, self)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """`array + tensor` is an op; `np.exp(tensor)` gives an array, unless that would lose a gradient silently."""
        if method == "__call__" and ufunc.__name__ in _UFUNC_METHODS and not kwargs and inputs[1] is self:
            return getattr(self, _UFUNC_METHODS[ufunc.__name__])(inputs[0])
        if ufunc.__name__ not in _TRUTHS and any(getattr(x, "requires_grad", False) for x in inputs):
            raise ValueError(
                f"numpy.{ufunc.__name__} on a tensor that requires a gradient would lose it; "
                "use the function of minibert.ops, or .numpy() if the gradient is not wanted"
            )
        plain = [x.data if isinstance(x, Operators) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)

    # --- comparisons: boolean arrays, off the tape; `==` means "the same tensor", as sets and keys need it ----------

    def __gt__(self, other: Any) -> Array:
        return _compare(operator.gt, self, other)

    def __lt__(self, other: Any) -> Array:
        return _compare(operator.lt, self, other)

    def __ge__(self, other: Any) -> Array:
        return _compare(operator.ge, self, other)

    def __le__(self, other: Any) -> Array:
        return _compare(operator.le, self, other)

    # --- indexing and shape -----------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Tensor:
        return ops.getitem(self, key)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """The same numbers in another shape; one length may be -1."""
        return ops.reshape(self, shape=_spread(shape))

    def permute(self, *axes: int | Sequence[int]) -> Tensor:
        """Axes in another order."""
        return ops.permute_dims(self, axes=_spread(axes))

    def transpose(self, *axes: Any) -> Tensor:
        """Two axes exchanged, `x.transpose(1, 2)`; or all in another order, `x.transpose((0, 2, 1))`; or reversed."""
        if len(axes) < 2:
            given = axes[0] if axes else None
            return self.permute(*(range(self.ndim)[::-1] if given is None else given))
        if len(axes) > 2 or any(not -self.ndim <= a < self.ndim for a in axes):
            raise ValueError(f"transpose takes two axes of this tensor's {self.ndim}, or a tuple of all, got {axes}")
        order = list(range(self.ndim))
        order[axes[0]], order[axes[1]] = order[axes[1]], order[axes[0]]
        return self.permute(*order)

    @property
    def T(self) -> Tensor:
        """The last two axes exchanged."""
        order = list(range(self.ndim))
        order[-2:] = order[:-3:-1]
        return self.permute(*order)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The axes from `start_dim` to `end_dim`, both included, made one."""
        return ops.flatten(self, start_dim=start_dim, end_dim=end_dim)

    def squeeze(self, axis: int | tuple[int, ...] | None = None) -> Tensor:
        """Without `axis`, of length 1; without all axes of length 1 if None."""
        return ops.squeeze(self, axis=axis)

    def unsqueeze(self, axis: int) -> Tensor:
        """With a new axis of length 1 that becomes `axis` of the result."""
        return ops.expand_dims(self, axis=axis)

    # --- reductions and functions -----------------------------------------------------------------------------------

    # `np.sum(tensor)` comes here too, with its own dtype=None and out=None.

    def sum(
        self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False, dtype: None = None, out: None = None
    ) -> Tensor:
        """Sum over `axis` (all axes if None)."""
        _must_be_none(dtype, out)
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(
        self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False, dtype: None = None, out: None = None
    ) -> Tensor:
        """Mean over `axis` (all axes if None)."""
        _must_be_none(dtype, out)
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False, out: None = None) -> Tensor:
        """Maximum over `axis` (all axes if None)."""
        _must_be_none(None, out)
        return ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False, out: None = None) -> Tensor:
        """Minimum over `axis` (all axes if None)."""
        _must_be_none(None, out)
        return ops.min(self, axis=axis, keepdims=keepdims)

    def var(
        self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False, correction: float = 0
    ) -> Tensor:
        """Variance over `axis` (all axes if None); `correction` is 1 for the unbiased estimate."""
        return ops.var(self, axis=axis, keepdims=keepdims, correction=correction)

    def std(
        self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False, correction: float = 0
    ) -> Tensor:
        """Standard deviation over `axis` (all axes if None)."""
        return ops.std(self, axis=axis, keepdims=keepdims, correction=correction)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False, out: None = None) -> Array:
        """Where the maximum is along `axis` (if None, its number in reading order): an integer array, off the tape."""
        _must_be_none(None, out)
        xp = backend.namespace(self.data)
        return xp.asarray(xp.argmax(self.data, axis=axis, keepdims=keepdims))

    def abs(self) -> Tensor:
        """Absolute value of each element."""
        return ops.absolute(self)

    def clip(self, low: float | None = None, high: float | None = None) -> Tensor:
        """Each element, but not below `low` and not above `high`."""
        return ops.clip(self, low, high)

    def exp(self) -> Tensor:
        """e to the power of each element."""
        return ops.exp(self)

    def log(self) -> Tensor:
        """Natural logarithm of each element."""
        return ops.log(self)

    def sqrt(self) -> Tensor:
        """Square root of each element."""
        return ops.sqrt(self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent of each element."""
        return ops.tanh(self)

    def astype(self, dtype: Any) -> Tensor:
        """In another dtype, "float32" or "float64"; the gradient runs through, unless it is one of integers."""
        return ops.astype(self, dtype)

    # --- ways out ---------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(self.data.shape)

    @property
    def dtype(self) -> Any:
        """The array's dtype."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return int(self.data.ndim)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.data.size)

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array (the array itself if it is one, a copy if it lives on a GPU)."""
        return backend.to_numpy(self.data)

    def item(self) -> float:
        """The one value of a tensor with a single element."""
        if self.size != 1:
            raise ValueError(f"item() needs a tensor with one element, this one has shape {self.shape}")
        return self.numpy().item()

    def tolist(self) -> Any:
        """The values as nested lists."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"a tensor of shape {self.shape} is neither true nor false; try .numpy().any()")
        return bool(self.item())

    def __repr__(self) -> str:
        body = np.array2string(self.numpy(), separator=", ", prefix="Tensor(")
        return f"Tensor({body}, dtype={self.dtype}{', requires_grad=True' if self.requires_grad else ''})"


def _spread(lengths: tuple[Any, ...]) -> tuple[int, ...]:
    """What was given as f(2, 3), f((2, 3)) or f([2, 3])."""
    return tuple(lengths[0]) if len(lengths) == 1 and isinstance(lengths[0], (tuple, list)) else lengths


def _compare(how: Callable[[Any, Any], Any], x: Any, y: Any) -> Array:
    """A boolean array of the broadcast shape; numbers and lists take the tensor's library."""
    if not isinstance(y, (int, float)):
        y = y.data if isinstance(y, Operators) else backend.index_array(y, like=x.data)
    return how(x.data, y)


def _must_be_none(dtype: Any, out: Any) -> None:
    """NumPy's options that make no sense for a tensor."""
    if dtype is not None or out is not None:
        raise ValueError("a tensor is reduced to a new tensor of its own dtype: leave out dtype= and out=")
