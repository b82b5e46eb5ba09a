"""`x += y` on tensors: in place under `no_grad()` where a gradient is wanted, another tensor elsewhere."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from minibert import guard
from minibert.grad_mode import is_grad_enabled
from minibert.late_ops import ops

if TYPE_CHECKING:
    from minibert.autograd import Tensor


class InPlace:
    """The augmented assignments of `Tensor`.

    Under no_grad() what requires a gradient is changed in place; else the name is bound to another tensor.
    """

    __slots__ = ()

    updated_in_place: ClassVar[bool] = False
    """Whether `x += y` changes x itself, also where no gradient is wanted; so with parameters, which a model holds."""

    def __iadd__(self, other: Any) -> Tensor:
        return _updated(self, "+", ops.add, other)

    def __isub__(self, other: Any) -> Tensor:
        return _updated(self, "-", ops.subtract, other)

    def __imul__(self, other: Any) -> Tensor:
        return _updated(self, "*", ops.multiply, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return _updated(self, "/", ops.divide, other)

    def __ipow__(self, other: Any) -> Tensor:
        return _updated(self, "**", ops.power, other)

    def __imatmul__(self, other: Any) -> Tensor:
        return _updated(self, "@", ops.matmul, other)


def _updated(x: Any, sign: str, function: Callable[[Any, Any], Tensor], other: Any) -> Tensor:
    """What `x sign= other` binds to the name x.

    Raises:
        ValueError: x is a leaf and the tape runs, or it would get another shape or dtype.
    """
    if not (x.requires_grad or x.updated_in_place) or (is_grad_enabled() and not x.is_leaf):
        return function(x, other)
    if is_grad_enabled() and x.requires_grad:
        raise ValueError(
            f"a leaf that requires a gradient cannot be changed in place while the tape runs: write `with no_grad(): "
            f"x {sign}= ...`, or x = x {sign} ... for another tensor"
        )
    y = function(x, other)
    if y.requires_grad:
        raise ValueError(f"`{sign}=` on a tensor that wants no gradient would lose that of what it takes in")
    if y.shape != x.shape or y.dtype != x.dtype:
        raise ValueError(f"`{sign}=` would make a {y.shape} {y.dtype} of a tensor {x.shape} {x.dtype}")
    if guard.is_writeable(x.data):
        x.data[...] = y.data
    else:
        x.data = y.data  # a tape holds the old array, or it is another program's: its numbers stay
    return x
