"""Waiting for another thread inside compiled code: first by looking at a number in memory, then asleep.

A thread that waits looks for a tenth of a millisecond, since within a model the next kernel follows at once and waking
a sleeping thread takes longer than most kernels; then it sleeps on a lock of the interpreter's own portable kind. No
Python code runs meanwhile, so neither a signal handler nor another asynchronous exception can end a wait: it is raised
when the wait is over.

All counters are arrays of int64; a row (`LINE` numbers) is two cache lines, so that looking at one number does not slow
the writing of its neighbour.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiled import njit

SPIN = 400_000
"""Looks before a thread goes to sleep: about a tenth of a millisecond."""
LINE = 16
FOREVER = -1

# Compiled at once, not at the first call: what an interrupt has to rely on must not itself be in the making.
_ROW, _ROWS, _ADDRESSES = types.int64[::1], types.int64[:, ::1], types.uintp[::1]


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

# The C API's locks need neither the interpreter's lock nor the thread that acquired them to be released.
_acquire: Any = types.ExternalFunction(
    "PyThread_acquire_lock_timed", types.int32(types.uintp, types.int64, types.int32)
)
_release: Any = types.ExternalFunction("PyThread_release_lock", types.void(types.uintp))


class Locks:
    """Locks for compiled code, all acquired at first; freed with this object.

    Attributes:
        addresses: (count,) uintp.
    """

    def __init__(self, count: int) -> None:
        self.addresses = np.zeros(count, np.uintp)
        allocate = ctypes.pythonapi.PyThread_allocate_lock
        allocate.restype = ctypes.c_void_p
        for i in range(count):
            self.addresses[i] = allocate()
        if not self.addresses.all():
            raise MemoryError("no memory for locks")
        for address in self.addresses:
            take(address, FOREVER)

    def __del__(self) -> None:
        free = ctypes.pythonapi.PyThread_free_lock
        for address in self.addresses:
            free(ctypes.c_void_p(int(address)))


@njit(types.boolean(types.uintp, types.int64))
def take(lock: int, microseconds: int) -> bool:
    """Acquire a lock; whether that succeeded in so many microseconds, or FOREVER."""
    return bool(_acquire(lock, microseconds, np.int32(0)) == 1)  # 0: signals do not end the wait


@njit(types.void(types.uintp))
def give(lock: int) -> None:
    """Release a lock, or let the next `take` through."""
    _release(lock)


@njit(types.boolean(_ROW, types.int64, types.int64))
def wait_for(counter: np.ndarray, value: int, looks: int) -> bool:
    """Look until counter[0] is at least `value`, at most `looks` times; whether it was seen."""
    for _ in range(looks):  # noqa: SIM110 (a generator would not compile to a loop)
        if read(counter) >= value:
            return True
    return False


@njit(types.void(_ROWS, _ADDRESSES, types.int64))
def launch(asked: np.ndarray, wake: np.ndarray, workers: int) -> None:
    """Give the first `workers` threads one more task each. asked: (W, LINE). wake: (W,), addresses of locks."""
    for i in range(workers):
        give(wake[i])
        asked[i, 0] += 1


@njit(types.void(_ROW, types.int64, types.uintp))
def await_task(asked: np.ndarray, number: int, wake: int) -> None:
    """Return when task `number` was launched, or the lock released without one. asked: (LINE,)."""
    wait_for(asked, number, SPIN)
    take(wake, FOREVER)


@njit(types.void(_ROW, types.int64, types.uintp))
def answer(answered: np.ndarray, number: int, done: int) -> None:
    """Task `number` is finished. answered: (LINE,)."""
    answered[0] = number
    give(done)


@njit(types.boolean(_ROWS, _ROWS, _ROWS, _ADDRESSES, types.int64))
def settle(asked: np.ndarray, answered: np.ndarray, settled: np.ndarray, done: np.ndarray, microseconds: int) -> bool:
    """Wait until every task that was launched is finished; False if some were not after so many microseconds each.

    May be called as often as wanted: `settled` counts the tasks whose end was seen. All counters: (W, LINE).
    """
    all_done = True
    for i in range(len(asked)):
        if settled[i, 0] == asked[i, 0]:
            continue
        wait_for(answered[i], asked[i, 0], SPIN)
        if take(done[i], microseconds) and read(answered[i]) == asked[i, 0]:
            settled[i, 0] = asked[i, 0]
        else:
            all_done = False
    return all_done
