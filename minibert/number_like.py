"""What counts as an integer or as a real number wherever minibert takes one.

Lengths, counts, labels, rates and indices often come out of NumPy: `np.int64`, `np.float32`, a 0-d array, a Tensor with
one element. All of them are numbers; `True` is none (a flag in the place of a count is a mistake worth naming), and
neither are strings. Every check of a number in minibert goes through this module, so that all of them agree.
"""

from __future__ import annotations

import math
import operator
from typing import Any

__all__ = ["as_float", "as_int", "is_float", "is_int", "shown"]


def is_int(value: Any) -> bool:
    """Whether `value` is an integer: Python's, NumPy's, or a 0-d integer array; not a boolean."""
    if isinstance(value, int):
        return not isinstance(value, bool)
    if isinstance(value, float | str):
        return False
    dtype = getattr(value, "dtype", None)
    if dtype is not None and str(dtype) == "bool":
        return False
    if dtype is not None and getattr(value, "shape", ()) != ():
        return False  # NumPy's own __index__ takes arrays with one element too, and a list of one is no number
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def is_float(value: Any) -> bool:
    """Whether `value` is a real number: an integer, a float, or one of NumPy's scalars; not a boolean, not a string."""
    if isinstance(value, float) or is_int(value):
        return True
    if isinstance(value, bool | str | bytes | complex) or getattr(value, "shape", ()) != ():
        return False
    dtype = getattr(value, "dtype", None)
    if dtype is not None and not str(dtype).startswith(("float", "bfloat", "int", "uint")):
        return False
    return hasattr(type(value), "__float__")


def as_int(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """`value` as a Python int.

    Args:
        name: how the message calls it.
        value: anything that `is_int`.
        least, most: the allowed range, both ends included.

    Raises:
        ValueError: not an integer, or outside the range.
    """
    if is_int(value):
        number = operator.index(value)
        if (least is None or number >= least) and (most is None or number <= most):
            return number
    raise ValueError(f"{name} must be {_kind('an integer', least, most)}, got {shown(value)}")


def as_float(name: str, value: Any, *, least: float | None = None, most: float | None = None) -> float:
    """`value` as a Python float; it must be finite.

    A float32 keeps its own value, as NumPy converts it: `as_float("lr", np.float32(0.1))` is 0.10000000149011612.

    Args:
        name: how the message calls it.
        value: anything that `is_float`.
        least, most: the allowed range, both ends included.

    Raises:
        ValueError: not a real number, not finite, or outside the range.
    """
    if is_float(value):
        try:
            number = float(value)
        except OverflowError:  # an integer of more than 308 digits
            number = math.inf
        inside = (least is None or number >= least) and (most is None or number <= most)
        if math.isfinite(number) and inside:
            return number
    raise ValueError(f"{name} must be {_kind('a finite number', least, most)}, got {shown(value)}")


def shown(value: Any) -> str:
    """The value in a message: short, and with its type where the type is what is wrong."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _kind(what: str, least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{what} from {least} to {most}"
    if least is not None:
        return f"{what} of at least {least}"
    return what if most is None else f"{what} of at most {most}"
