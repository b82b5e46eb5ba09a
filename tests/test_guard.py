"""Read-only while it is held, writeable the moment it is not: in any order, with views, after an interrupt anywhere."""

from __future__ import annotations

import gc
import itertools

import numpy as np
import pytest

from minibert import guard
from tests.kernels.injection import everywhere


def writeable(*arrays: np.ndarray) -> list[bool]:
    return [bool(array.flags.writeable) for array in arrays]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_views_and_their_owner_let_go_in_any_order(order: tuple[int, ...]) -> None:
    owner = np.zeros((4, 6))
    left, right = owner[:, :3], owner[:, 3:]
    corner = left[:2].T
    arrays = [owner, left, right, corner]
    holds = {i: guard.lock(array) for i, array in enumerate(arrays)}
    assert not any(writeable(*arrays))
    for i in order:
        del holds[i]
        for k, array in enumerate(arrays[1:], 1):
            assert array.flags.writeable == (k not in holds)
        assert owner.flags.writeable == (not holds)  # needed by every view
    assert not guard._entries


def test_held_twice() -> None:
    array = np.zeros(3)
    first, second = guard.lock(array), guard.lock(array)
    assert first is second
    del first
    assert writeable(array) == [False]
    del second
    assert writeable(array) == [True]


def test_what_was_read_only_before_stays_so() -> None:
    owner = np.zeros(3)
    view = owner[1:]
    owner.flags.writeable = False
    held = [guard.lock(owner), guard.lock(view)]
    held.clear()
    assert writeable(owner, view) == [False, True]  # and nothing was reported as impossible


def test_memory_of_other_objects() -> None:
    constant, changing = np.frombuffer(b"12345678", np.int64), np.frombuffer(bytearray(17), np.int8, offset=1)
    odd = changing.view()[: 8 * 2].view(np.int64)
    held = [guard.lock(array) for array in (constant, changing, odd)]
    assert writeable(constant, changing) == [False, False]
    held.clear()
    assert writeable(constant, changing, odd) == [False, True, True]
    assert guard.lock("no array") is None


def test_in_a_cycle_of_references_they_come_back_with_the_collection() -> None:
    array = np.zeros(3)
    cycle = [guard.lock(array)]
    cycle.append(cycle)  # type: ignore[arg-type]
    del cycle
    gc.collect()
    assert writeable(array) == [True]


def test_an_exception_before_any_instruction_leaves_nothing_read_only() -> None:
    owner = np.zeros(6)
    view = owner[2:]

    def hold_them() -> None:
        held = [guard.lock(owner), guard.lock(view), guard.lock(view.T)]
        assert not any(writeable(owner, view))
        held.clear()

    for came_out in everywhere(("minibert/guard.py",), hold_them):
        assert came_out
        assert writeable(owner, view) == [True, True]
        assert not guard._entries
