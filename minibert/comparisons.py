"""Comparisons of tensors: boolean arrays, off the tape."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from minibert import backend
from minibert.backend import Array
from minibert.number_like import is_float


class Comparisons:
    """`x > y` and its like for `Tensor`.

    Between two tensors `==` means "the same tensor", as sets, keys and lists need it.
    """

    __slots__ = ()

    data: Array

    def __eq__(self, other: Any) -> Any:
        if isinstance(other, Comparisons):
            return self is other
        return _compare(operator.eq, self, other) if _is_comparable(other) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        if isinstance(other, Comparisons):
            return self is not other
        return _compare(operator.ne, self, other) if _is_comparable(other) else NotImplemented

    __hash__ = object.__hash__

    def __gt__(self, other: Any) -> Array:
        return _compare(operator.gt, self, other)

    def __lt__(self, other: Any) -> Array:
        return _compare(operator.lt, self, other)

    def __ge__(self, other: Any) -> Array:
        return _compare(operator.ge, self, other)

    def __le__(self, other: Any) -> Array:
        return _compare(operator.le, self, other)


def _is_comparable(value: Any) -> bool:
    return isinstance(value, (bool, list, tuple)) or is_float(value) or backend.is_array(value)


def _compare(how: Callable[[Any, Any], Any], x: Any, y: Any) -> Array:
    """A boolean array of the broadcast shape; numbers and lists take the tensor's library."""
    if not isinstance(y, (int, float)):
        y = y.data if isinstance(y, Comparisons) else backend.index_array(y, like=x.data)
    return how(x.data, y)
