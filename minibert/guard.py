"""Read-only marks on the arrays that the tape has saved.

Backward reads what forward saved. If somebody writes into such an array in between, the gradient is wrong and nothing
says so. NumPy can forbid the write: while an array is saved its `writeable` flag is off, and writing raises NumPy's own
`ValueError: assignment destination is read-only`. The flag comes back when the tape lets go.

The flag belongs to one array object. So the array that owns the memory is locked together with the view that was saved;
another view made earlier keeps its own flag, and writing through that one cannot be seen here. CuPy arrays and other
array types have no such flag and pass through untouched.

An array is read-only as long as a `Hold` of it lives, and ops keep the holds of what they have saved. Python's own
counting of references does the bookkeeping, so that it is right at any instant: an op that was interrupted while it
saved its arrays, or a tape that was dropped, needs no cleaning up. What gives the flag back are callbacks of weak
references that run no Python code. A `__del__` method would: Ctrl-C in the middle of it would be swallowed, since
destructors cannot raise, and the rest of it left undone. Nor is there a lock that a fork could copy while another
thread has it.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minibert.backend import Array

__all__ = ["Hold", "flatten", "lock", "lock_all"]


class Hold:
    """One array is read-only while this object lives.

    Attributes:
        owner: the hold of the array whose memory it looks into.
    """

    __slots__ = ("__weakref__", "owner")

    def __init__(self, owner: Hold | None) -> None:
        self.owner = owner


class _Entry(NamedTuple):
    hold: weakref.ref[Hold]
    callbacks: list[Any]  # weak references, too; they keep the array, so that its id cannot be given to another


_entries: dict[int, _Entry] = {}  # by the array's id


def lock(array: Array) -> Hold | None:
    """Make `array`, and the array whose memory it looks into, read-only as long as the result is kept.

    None for arrays without such a flag.
    """
    chain = _with_owners(array)
    hold = None
    for member in reversed(chain):
        hold = _hold_of(member, chain[-1], hold)
    return hold


def lock_all(values: Iterable[Any]) -> list[Hold | None]:
    """`lock` for every array in nested tuples and lists; other values pass."""
    return [lock(value) for value in flatten(values) if hasattr(value, "shape")]


def flatten(values: Iterable[Any]) -> Iterator[Any]:
    """What nested tuples and lists hold, in order."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from flatten(value)
        else:
            yield value


def _hold_of(array: np.ndarray, memory: np.ndarray, owner: Hold | None) -> Hold | None:
    """The living hold of an array, or a new one; `owner` if the array is read-only in any case.

    Args:
        memory: the array that owns the memory, perhaps this one.
        owner: the hold of the next array on the way there.
    """
    while True:
        entry = _entries.get(id(array))
        hold = None if entry is None else entry.hold()
        if hold is None:
            if not array.flags.writeable or not _can_be_made_writeable(array):
                return owner
            if array is not memory and not _can_be_lifted(memory):
                return owner
            hold = Hold(owner)
            made = _Entry(weakref.ref(hold, functools.partial(_entries.pop, id(array))), [])
            made.callbacks.extend(weakref.ref(hold, callback) for callback in _restoring(array, memory))
            if _entries.setdefault(id(array), made) is not made:
                del made  # another thread was quicker; without references, nothing is called back
                continue
        array.flags.writeable = False
        return hold


def _restoring(array: np.ndarray, memory: np.ndarray) -> list[Any]:
    """What gives the flag back, last things first, as callbacks are called; each is called with a weak reference.

    `array.setflags` takes that for its first argument, `write`, and a reference is true. NumPy asks that the memory's
    owner be writeable just then; so it is made so before, and read-only after. If that was the last hold on it, too, it
    is writeable a moment later.
    """
    if array is memory or id(memory) not in _entries:
        return [array.setflags]
    flags: Any = memory.setflags  # of any, since to a type checker its arguments have to be named
    return [functools.partial(flags, False), array.setflags, flags]


def _can_be_lifted(memory: np.ndarray) -> bool:
    """Whether a view's flag can be given back: not if the memory has been made read-only by others.

    Nor if it is not aligned: the second argument of `setflags`, for which `_restoring` has no say, demands that.
    """
    return bool(memory.flags.aligned and (memory.flags.writeable or id(memory) in _entries))


def is_writeable(array: Array) -> bool:
    """Whether nothing forbids to write into `array`: it is no NumPy array, or neither it nor its owner is locked."""
    return all(member.flags.writeable for member in _with_owners(array))


def _with_owners(array: Array) -> list[np.ndarray]:
    """The array, the array it is a view of, and so on to the one that owns the memory."""
    chain = []
    while isinstance(array, np.ndarray):
        chain.append(array)
        array = array.base
    return chain


def _can_be_made_writeable(array: np.ndarray) -> bool:
    """Whether NumPy would give the flag back: not if the memory is that of an object without buffer, as torch has."""
    base: Any = array.base
    if base is None or isinstance(base, np.ndarray):
        return True
    try:
        return not memoryview(base).readonly
    except TypeError:
        return False
