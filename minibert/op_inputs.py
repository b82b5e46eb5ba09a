"""What stands beside a tensor: numbers and lists take the dtype and device of the tensors they are used with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert import backend
from minibert.backend import Array
from minibert.late_ops import ops
from minibert.op_checks import is_real
from minibert.operators import Operators

if TYPE_CHECKING:
    from minibert.autograd import Tensor


def holds_tensors(value: Any) -> bool:
    """Whether `value` is a list or tuple with a tensor somewhere inside."""
    return isinstance(value, (list, tuple)) and any(isinstance(v, Operators) or holds_tensors(v) for v in value)


def stacked(values: Sequence[Any]) -> Tensor:
    """Nested lists with tensors inside, as one tensor; numbers take the tensors' dtype."""
    from minibert.autograd import as_tensors  # built on this file

    result: Tensor = ops.stack(as_tensors([stacked(v) if holds_tensors(v) else v for v in values]))
    return result


def converted(values: Sequence[Any]) -> list[Any]:
    """An op's inputs; numbers, and lists of real ones, become arrays of the dtype and device of those beside them.

    A number is Python's, NumPy's, or an array without axes: beside float32 also a float64 becomes float32. Integers in
    lists stay integers, since they may be ids. Tensors, arrays with axes, and what is left for `Tensor` to judge stay.
    """
    arrays = [v.data if isinstance(v, Operators) else v for v in values if isinstance(v, Operators) or _has_axes(v)]
    like = next((a for a in arrays if is_real(a)), arrays[0] if arrays else None)
    return [v if isinstance(v, Operators) else _beside(v, like) for v in values]


def _has_axes(value: Any) -> bool:
    return backend.is_array(value) and value.ndim > 0


def _beside(value: Any, like: Array | None) -> Any:
    if like is None or isinstance(value, (bool, np.bool_)) or value is None or _has_axes(value):
        return value
    if isinstance(value, (list, tuple)):
        if holds_tensors(value) or backend.asarray(value).dtype.kind != "f":
            return value
    elif backend.is_array(value) and not isinstance(value, np.generic) and value.dtype.kind == "b":
        return value
    if not is_real(like) and is_real(backend.asarray(value)):
        return value
    return backend.asarray(value, like=like)
