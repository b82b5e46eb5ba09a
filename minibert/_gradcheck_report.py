"""The words of gradcheck's messages: what things are called, and what the pattern of the errors suggests."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minibert.autograd import Tensor
from minibert.op_checks import GradientError

Floats = npt.NDArray[np.float64]


def function_name(func: Callable[..., Any]) -> str:
    """What people call it: `Gelu` for `Gelu.apply`, a function's name, or the type of a callable object."""
    func = getattr(func, "func", func)  # functools.partial
    owner = getattr(func, "__self__", None)
    if isinstance(owner, type):
        return owner.__name__
    return str(getattr(func, "__name__", type(func).__name__))


def describe(func: Callable[..., Any], output: Tensor) -> str:
    """The function's name; a lambda has none, so there the op that made the output helps."""
    name = function_name(func)
    return f"{name} (last op: {output.creator.name})" if name == "<lambda>" and output.creator else name


def input_label(func: Callable[..., Any], i: int) -> str:
    """`input 0 (x)`: the number, and the parameter's name when the signature tells it."""
    owner = getattr(func, "__self__", None)  # SomeOp.apply: then forward has the names
    forward = getattr(owner, "forward", None) if isinstance(owner, type) else None
    try:
        parameters = list(inspect.signature(forward or func).parameters.values())
    except (TypeError, ValueError):  # some built-in callables have no signature
        return f"input {i}"
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = names[1:] if forward is not None else names  # without self
    return f"input {i} ({names[i]})" if i < len(names) else f"input {i}"


def index_of(entry: int, tensor: Tensor) -> str:
    """The place of an unrolled entry, as one writes it: [1, 2], or () for 0-d."""
    return str([int(n) for n in np.unravel_index(entry, tensor.shape)]) if tensor.shape else "()"


def failure(error: Exception) -> str:
    """An error that came out of backward, in a line: its kind unless it is a ValueError, and which op raised it."""
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    notes = "; ".join(getattr(error, "__notes__", ()))
    return f"{kind}{error}" + (f" ({notes})" if notes else "")


def cause(error: Exception) -> str:
    """What is usually wrong where backward fails like this."""
    if isinstance(error, GradientError):
        return error.hint
    if isinstance(error, ValueError) and "to unpack" in str(error):
        return "backward unpacks self.saved, which has as many values as forward gave to self.save(...)"
    return "the code of backward itself raised this; run it alone with the arrays that forward saved"


def pattern(expected: Floats, received: Floats, close: Callable[[Floats, Floats], Any]) -> str:
    """What the errors have in common, as a hint; an empty string if nothing.

    Args:
        expected, received: the two Jacobians, (entries of x, entries of y).
        close: which entries of the first are near enough to the second.
    """
    if not (np.isfinite(expected).all() and np.isfinite(received).all()):
        return "there are infinities or NaNs; choose inputs inside the function's domain"
    if not received.any():
        return "backward says zero everywhere: is the input cut off (None returned, detached, its data used)?"
    if close(expected, -received).all():
        return "every entry has the opposite sign"
    ratio = float((received * expected).sum() / (expected * expected).sum()) if expected.any() else 0.0
    if ratio and close(expected, received / ratio).all():
        return f"every entry is {ratio:.4g} times what it should be: a factor is missing, or counted twice"
    if (~close(expected, received)).any(axis=1).sum() == 1 < len(expected):
        return "all other input entries are right: what is special about this one?"
    return ""
