"""Copies of tensors, and pickles: of leaves, since a part of the tape cannot be copied apart from the rest."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

from minibert.backend import Array

if TYPE_CHECKING:
    from minibert.autograd import Op, Tensor

T = TypeVar("T", bound="Tensor")


class Copies:
    """What `copy`, `pickle` and `multiprocessing` ask of a `Tensor`."""

    __slots__ = ()

    def __copy__(self: Any) -> Any:
        return make_tensor(type(self), self.data, self._requires_grad, self._grad, self.creator)

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        _expect_leaf(self, "deep-copied")
        new = memo[id(self)] = make_tensor(type(self), copy.deepcopy(self.data, memo), self._requires_grad, None)
        new._grad = copy.deepcopy(self._grad, memo)
        return new

    def __reduce__(self: Any) -> tuple[Any, ...]:
        _expect_leaf(self, "pickled")
        return make_tensor, (type(self), self.data, self._requires_grad, self._grad)


def make_tensor(kind: type[T], data: Array, requires_grad: bool, grad: Tensor | None, creator: Op | None = None) -> T:
    """A tensor of these parts, without any check."""
    tensor = object.__new__(kind)
    tensor.data, tensor._requires_grad, tensor._grad, tensor.creator = data, requires_grad, grad, creator
    return tensor


def _expect_leaf(tensor: Tensor, what: str) -> None:
    if tensor.creator is not None:
        raise ValueError(f"a tensor on the tape cannot be {what} without all that led to it; detach() it first")
