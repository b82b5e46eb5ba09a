"""Threads that wait for one another in the middle of a compiled function."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiled import njit
from .spin import read

PATIENCE = 2_000
"""Looks at the others before a thread offers its core to whoever else wants it: a microsecond."""


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _count_up(typing_context: Any, counter: Any) -> Any:
    """counter[0] += 1 in one step, whoever else does so; the new number."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        type_ = signature.args[0]
        struct = context.make_array(type_)(context, builder, args[0])
        zero, one = context.get_constant(types.intp, 0), ir.IntType(64)(1)
        first = cgutils.get_item_pointer(context, builder, type_, struct, [zero])  # type: ignore[no-untyped-call]
        return builder.add(builder.atomic_rmw("add", first, one, "acq_rel"), one)

    return types.int64(counter), codegen


count_up: Any = _count_up  # called with the array alone: Numba adds the first argument

if hasattr(os, "sched_yield"):
    _step_aside: Any = types.ExternalFunction("sched_yield", types.int32())
else:

    @njit
    def _step_aside() -> int:
        return 0


@njit
def meet(counter: np.ndarray, parts: int) -> None:
    """Return when all of `parts` threads have called this as many times. counter: (8,) int64, zero in the beginning."""
    arrived = count_up(counter)
    full = (arrived + parts - 1) // parts * parts
    looks = 0
    while read(counter) < full:
        looks += 1
        if looks > PATIENCE:
            _step_aside()
