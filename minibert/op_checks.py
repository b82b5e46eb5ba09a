"""What an op may take and give: one dtype in, one array out, and back a gradient for each input.

Here, for all ops at once, so that none has to check it and each message names the op. The callers are `Op.apply` and
`Op.gradients`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert import backend, guard
from minibert.backend import Array
from minibert.operators import Operators

if TYPE_CHECKING:
    from minibert.autograd import Op

checking = 0
"""Above 0 while `gradcheck` runs: then it is looked at whether ops write into arrays that are not their own."""


class GradientError(ValueError):
    """A backward gave what is no gradient of its inputs, or an op wrote into an array that is not its own.

    Attributes:
        hint: what is usually wrong in such a case.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
        self.add_note(f"hint: {hint}")  # shown below a traceback


def is_real(array: Array) -> bool:
    """Whether the dtype is a floating one, which can have a gradient."""
    kind = getattr(array.dtype, "kind", None)
    return backend.is_floating(array) if kind is None else kind not in "biu"  # "V" is bfloat16


def run_forward(op: Op, arrays: tuple[Array, ...], options: dict[str, Any]) -> Array:
    """The result of the op's own `forward`.

    Raises:
        ValueError: it is no array; a GradientError if forward changes its inputs.
    """
    before = copies(arrays) if checking else None
    try:
        result = op.forward(*arrays, **options)
    except Exception as error:
        refuse_write(op.name, "forward", error, arrays)
        raise
    if before is not None:
        expect_unchanged(op.name, "forward", "its input", arrays, before)
    return result if type(result) is np.ndarray else as_result(op.name, result, arrays)


def run_backward(op: Op, dy: Array) -> Any:
    """What the op's own `backward` gives.

    Raises:
        GradientError: it changes what forward saved, or its inputs.
    """
    if not op.strict:
        dy = backend.namespace(dy).asarray(dy, copy=True)  # others may hold it, and code of one's own may write
    watched = [*guard.flatten(op.saved), *(x.data for x in op.inputs)] if checking else []
    before = copies(watched)
    try:
        result = op.backward(dy)
    except Exception as error:
        error.add_note(f"raised in {op.name}.backward")
        refuse_write(op.name, "backward", error, ())
        raise
    expect_unchanged(op.name, "backward", "saved array or input", watched, before)
    return result


def several_dtypes(arrays: tuple[Array, ...]) -> bool:
    """Whether not all arrays have one dtype."""
    if len(arrays) < 2:
        return False
    first = arrays[0].dtype
    for array in arrays:
        dtype = array.dtype
        if dtype is not first and dtype != first:
            return True
    return False


def expect_one_dtype(name: str, arrays: Sequence[Array], *, strict: bool) -> None:
    """Refuse two floating dtypes side by side; and, if strict, integers beside floating numbers.

    Raises:
        ValueError: naming the op and the dtypes.
    """
    kinds = list(dict.fromkeys(str(array.dtype) for array in arrays if strict or is_real(array)))
    if len(kinds) > 1:
        best = next((str(array.dtype) for array in arrays if is_real(array)), kinds[0])
        raise ValueError(
            f"{name} cannot mix {' and '.join(kinds)}; convert the inputs to one dtype with x.astype({best!r})"
        )


def as_result(name: str, result: Any, arrays: Sequence[Array]) -> Array:
    """What `forward` gave, if it is one array; a number becomes a 0-d array of the inputs' dtype.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(result, np.generic) or not backend.is_array(result):
        if isinstance(result, np.generic):
            return np.asarray(result)
        if isinstance(result, (bool, int, float)):
            like = next((array for array in arrays if is_real(array)), None)
            return backend.asarray(result, like=like if isinstance(result, float) else None)
        what = "a Tensor" if isinstance(result, Operators) else "None" if result is None else f"a {_kind(result)}"
        raise ValueError(f"{name}.forward must return one array, got {what}")
    return result


def expect_dtype_kept(name: str, result: Array, arrays: Sequence[Array]) -> None:
    """Where integers stood beside floating numbers: the result must not have been widened by them."""
    real = next((array.dtype for array in arrays if is_real(array)), None)
    if real is not None and is_real(result) and result.dtype != real:
        kinds = " and ".join(dict.fromkeys(str(array.dtype) for array in arrays))
        raise ValueError(f"{name} of {kinds} gave {result.dtype}; convert the integers with x.astype({str(real)!r})")


def as_gradients(name: str, result: Any, inputs: Sequence[Any], needs: Sequence[bool]) -> tuple[Array | None, ...]:
    """What `backward` gave as one gradient an input, or None; those that are not needed are None, whatever they were.

    Raises:
        GradientError: too few or too many, no arrays, or of another shape or dtype than the input.
    """
    grads = result if isinstance(result, tuple) else (result,)
    if isinstance(result, list):
        raise GradientError(
            f"{name}.backward gave a list; it must give an array, or a tuple of arrays and None",
            "return dx for one input, and (dx, dy) for two",
        )
    if result is None and any(needs) and not checking:  # gradcheck says it in its own way
        warnings.warn(
            f"{name}.backward returned None, so no gradient goes on from there; is its `return` missing? "
            "If there is none, return (None,)",
            RuntimeWarning,
            stacklevel=2,
        )
    if len(grads) != len(inputs):
        raise GradientError(
            f"{name}.backward gave {len(grads)} gradients for {len(inputs)} inputs",
            "backward returns one gradient for each positional input of forward, in their order; None where there is "
            "none",
        )
    found: list[Array | None] = []
    for i, (dx, x, needed) in enumerate(zip(grads, inputs, needs, strict=True)):
        if dx is None or not needed:
            found.append(None)
            continue
        shape, dtype = getattr(dx, "shape", None), getattr(dx, "dtype", None)
        if shape != x.data.shape or dtype != x.data.dtype or isinstance(dx, Operators):
            _refuse(name, i, dx, x)
        found.append(dx)
    return tuple(found)


def _refuse(name: str, i: int, dx: Any, x: Any) -> None:
    if isinstance(dx, Operators) or not backend.is_array(dx):
        raise GradientError(
            f"{name}.backward gave a {_kind(dx)} as the gradient of input {i}; it must be an array",
            f"backward computes with plain arrays: the gradient of input {i} is an array of shape {x.shape} "
            f"({x.dtype})",
        )
    hint = (
        "a gradient has the shape of its input; what forward broadcast, backward sums"
        if tuple(dx.shape) != x.shape
        else "a gradient has the dtype of its input; is there an array or a NumPy number of another dtype in the op? "
        "np.sqrt(8) is a float64 that makes float32 arrays float64, math.sqrt(8) is not"
    )
    raise GradientError(
        f"{name}.backward gave a gradient of shape {tuple(dx.shape)} ({dx.dtype}) for input {i} of shape {x.shape} "
        f"({x.dtype})",
        hint,
    )


def refuse_write(name: str, method: str, error: Exception, arrays: Sequence[Array]) -> None:
    """Name the op whose own code raised `error`, if that is NumPy's refusal to write into a read-only array.

    Raises:
        GradientError: it is.
    """
    if not isinstance(error, ValueError) or "read-only" not in str(error):
        return
    locked = [i for i, array in enumerate(arrays) if isinstance(array, np.ndarray) and not array.flags.writeable]
    which = f" (input {locked[0]} is)" if locked and method == "forward" else ""
    raise GradientError(
        f"{name}.{method} writes into an array that is read-only{which}: {error}",
        "an op does not change its inputs, nor what forward saved; work on a copy",
    ) from error


def copies(arrays: Sequence[Any]) -> list[Any]:
    """What `expect_unchanged` compares with later."""
    return [backend.namespace(a).asarray(a, copy=True) if backend.is_array(a) else None for a in arrays]


def expect_unchanged(name: str, method: str, what: str, arrays: Sequence[Any], before: Sequence[Any]) -> None:
    """Refuse an op that wrote into arrays that others use, and undo it.

    Args:
        what: the arrays' common name, as "its input".
        before: their `copies` from before the call.

    Raises:
        GradientError: an array changed; it has its old contents again.
    """
    for i, (array, old) in enumerate(zip(arrays, before, strict=True)):
        if old is None or np.array_equal(backend.to_numpy(array), backend.to_numpy(old), equal_nan=is_real(array)):
            continue
        array[...] = old
        raise GradientError(
            f"{name}.{method} changed {what} {i} in place",
            "an op does not change its inputs, nor what forward saved; work on a copy",
        )


def _kind(value: Any) -> str:
    return type(value).__name__
