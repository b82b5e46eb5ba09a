"""Waiting for another thread by looking, without the interpreter's lock."""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _load(typing_context: Any, array: Any) -> Any:
    """array[0], read anew each time: an ordinary read the compiler may do once, before the loop."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        type_ = signature.args[0]
        struct = context.make_array(type_)(context, builder, args[0])
        first = cgutils.get_item_pointer(context, builder, type_, struct, [context.get_constant(types.intp, 0)])
        return builder.load_atomic(first, "acquire", 8)

    return types.int64(array), codegen


@njit(nogil=True, cache=True)
def wait_for(flag: Any, value: int, looks: int) -> bool:
    """Look until flag[0] is `value`, at most `looks` times; whether it was seen. flag: (8,) int64."""
    for _ in range(looks):
        if _load(flag) == value:
            return True
    return False
