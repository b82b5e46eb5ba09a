"""Waiting for another thread by looking, without the interpreter's lock."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiled import njit


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _load(typing_context: Any, array: Any) -> Any:
    """array[0], read anew each time: an ordinary read the compiler may do once, before the loop."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        type_ = signature.args[0]
        struct = context.make_array(type_)(context, builder, args[0])
        zero = context.get_constant(types.intp, 0)
        first = cgutils.get_item_pointer(context, builder, type_, struct, [zero])  # type: ignore[no-untyped-call]
        return builder.load_atomic(first, "acquire", 8)

    return types.int64(array), codegen


read: Any = _load  # called with the array alone: Numba adds the first argument


@njit
def wait_for(flag: np.ndarray, value: int, looks: int) -> bool:
    """Look until flag[0] is `value`, at most `looks` times; whether it was seen. flag: (8,) int64."""
    for _ in range(looks):  # noqa: SIM110 (a generator would not compile to a loop)
        if read(flag) == value:
            return True
    return False
