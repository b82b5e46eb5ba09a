"""Read-only marks on the arrays that the tape has saved.

Backward reads what forward saved. If somebody writes into such an array in between, the gradient is wrong and nothing
says so. NumPy can forbid the write: while an array is saved its `writeable` flag is off, and writing raises NumPy's own
`ValueError: assignment destination is read-only`. The flag comes back when the tape lets go.

The flag belongs to one array object. So the array that owns the memory is locked together with the view that was saved;
another view made earlier keeps its own flag, and writing through that one cannot be seen here. CuPy arrays and other
array types have no such flag and pass through untouched.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.backend import Array


@dataclass
class _Mark:
    array: np.ndarray  # kept, so that its id cannot be given to another array meanwhile
    was_writeable: bool
    count: int = 0


_marks: dict[int, _Mark] = {}
_registry = threading.RLock()


def lock(array: Array) -> None:
    """Make `array`, and the array whose memory it looks into, read-only until `unlock` was called as often."""
    with _registry:
        for member in _with_owners(array):
            mark = _marks.get(id(member))
            if mark is None:
                if not _can_be_made_writeable(member):
                    continue
                mark = _marks[id(member)] = _Mark(member, bool(member.flags.writeable))
            mark.count += 1
            member.flags.writeable = False


def unlock(array: Array) -> None:
    """Take back one `lock`; the last one restores the flag that the array had before the first."""
    with _registry:
        for member in reversed(_with_owners(array)):  # owners first: a view may only be as writeable as they are
            mark = _marks.get(id(member))
            if mark is None:
                continue
            mark.count -= 1
            if mark.count == 0:
                del _marks[id(member)]
                if mark.was_writeable:
                    _make_writeable(member)


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


def _make_writeable(array: np.ndarray) -> None:
    """Set the flag. NumPy asks that the owner be writeable just then; one that others lock is lifted briefly."""
    owners = [member for member in _with_owners(array)[1:] if id(member) in _marks]
    for owner in reversed(owners):
        if _marks[id(owner)].was_writeable:
            owner.flags.writeable = True
    if not isinstance(array.base, np.ndarray) or array.base.flags.writeable:
        array.flags.writeable = True
    for owner in owners:
        owner.flags.writeable = False
