"""A barrier: threads that wait for one another in the middle of a compiled function.

A thread that raised, or was never started, would be waited for without end, and compiled code cannot be interrupted. So
the barrier can be broken: its counter jumps to a number beyond all others, which lets every waiting thread through. The
threads then run to their end quickly, on data that may be incomplete, and the caller, who sees that the barrier is
broken, throws the result away. A thread that dies without breaking it would still be waited for; hence a limit,
after which a waiting thread breaks the barrier itself.
"""

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
"""Looks at the others before a thread offers its core to others: a microsecond."""
LIMIT = 3
"""Seconds after which a thread gives up on the others. One that was only slow is no harm: the caller computes the
result anew."""
BROKEN = 2**62
"""What the counter of a broken barrier begins with: more than any number of arrivals."""


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _count_up(typing_context: Any, counter: Any) -> Any:
    """counter[0] += 1 in one step, also where other threads do the same; the new number."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        type_ = signature.args[0]
        struct = context.make_array(type_)(context, builder, args[0])
        zero, one = context.get_constant(types.intp, 0), ir.IntType(64)(1)
        first = cgutils.get_item_pointer(context, builder, type_, struct, [zero])  # type: ignore[no-untyped-call]
        return builder.add(builder.atomic_rmw("add", first, one, "acq_rel"), one)

    return types.int64(counter), codegen


count_up: Any = _count_up  # called with the array alone: Numba adds the first argument

_seconds: Any = types.ExternalFunction("time", types.int64(types.intp))  # the C library's, of the wall clock

if hasattr(os, "sched_yield"):
    _step_aside: Any = types.ExternalFunction("sched_yield", types.int32())
else:

    @njit
    def _step_aside() -> int:
        return 0


@njit
def meet(counter: np.ndarray, parts: int) -> None:
    """Return when all of `parts` threads have called this as many times, or the barrier is broken.

    Args:
        counter: (8,) int64, zero in the beginning.
        parts: the number of threads.
    """
    arrived = count_up(counter)
    if arrived > BROKEN:
        return
    full = (arrived + parts - 1) // parts * parts
    looks, began = 0, 0
    while read(counter) < full:
        looks += 1
        if looks > PATIENCE:
            _step_aside()
            if looks % PATIENCE == 0:
                now = _seconds(0)
                began = began or now
                if now - began > LIMIT:
                    counter[0] = BROKEN


def break_barrier(counter: np.ndarray) -> None:
    """Let all threads through, now and from now on."""
    counter[0] = BROKEN


def is_broken(counter: np.ndarray) -> bool:
    """Whether some thread went on without the others, so that what was computed means nothing."""
    return bool(counter[0] >= BROKEN)
