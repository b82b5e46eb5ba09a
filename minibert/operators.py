"""What can be written with a tensor: `x + y`, `x @ w`, `x[2:5]`, `x.sum()`.

A base class of `Tensor`, so that the engine's file holds the engine alone. Each method is one op of `minibert.ops`.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from minibert import backend
from minibert.backend import Array
from minibert.comparisons import Comparisons
from minibert.conversions import Conversions
from minibert.in_place import InPlace
from minibert.late_ops import ops
from minibert.number_like import as_int, is_float
from minibert.tensor_names import missing_attribute

if TYPE_CHECKING:
    from minibert.autograd import Tensor


class Operators(InPlace, Comparisons, Conversions):
    """Arithmetic, indexing and reductions of `Tensor`."""

    __slots__ = ()

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

    def __pos__(self) -> Tensor:
        return cast("Tensor", self)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        from minibert.numpy_functions import apply_ufunc

        return apply_ufunc(cast("Tensor", self), ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        from minibert.numpy_functions import apply_function

        return apply_function(function, args, options)

    # --- indexing and shape -----------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Tensor:
        return ops.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(
            "a tensor is not written element by element: write x.data[...] = value where no gradient runs through it, "
            "or make another one with minibert.ops.where(mask, value, x)"
        )

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, number: Any) -> bool:
        """Whether a number is among the elements."""
        if isinstance(number, Operators):
            number = number.data
        if not isinstance(number, bool) and not is_float(number) and getattr(number, "shape", None) != ():
            raise TypeError(f"`in` looks for a number among a tensor's elements, got {type(number).__name__}")
        return bool(backend.namespace(self.data).any(self.data == number))

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
        axes = tuple(as_int("an axis", a) for a in axes)
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
        axis = None if axis is None else as_int("an axis", axis)
        return xp.asarray(xp.argmax(self.data, axis=axis, keepdims=keepdims))

    def abs(self) -> Tensor:
        """Absolute value of each element."""
        return ops.absolute(self)

    def clip(self, min: float | None = None, max: float | None = None) -> Tensor:
        """Each element, but not below `min` and not above `max`."""
        return ops.clip(self, min, max)

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

    if not TYPE_CHECKING:  # a type checker would take every misspelt name for an attribute

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(missing_attribute(name))


def _spread(lengths: tuple[Any, ...]) -> tuple[int, ...]:
    """What was given as f(2, 3), f((2, 3)) or f([2, 3])."""
    if len(lengths) == 1 and (isinstance(lengths[0], (tuple, list, range)) or getattr(lengths[0], "shape", None)):
        lengths = tuple(lengths[0])
    return tuple(n if type(n) is int else as_int("a length or axis", n) for n in lengths)


def _must_be_none(dtype: Any, out: Any) -> None:
    """NumPy's options that make no sense for a tensor."""
    if dtype is not None or out is not None:
        raise ValueError("a tensor is reduced to a new tensor of its own dtype: leave out dtype= and out=")
