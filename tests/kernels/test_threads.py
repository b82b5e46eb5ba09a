"""The pool: everything is done once, errors come back, and forks, nesting and other threads do no harm."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minibert
from minibert.kernels.cpu import threads


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    before = threads.get_num_threads()
    threads.set_num_threads(3)
    yield
    threads.set_num_threads(before)


def mark(first: int, end: int, counts: np.ndarray) -> None:
    counts[first:end] += 1


@given(st.integers(0, 50), st.integers(1, 20), st.integers(1, 5))
def test_every_unit_is_done_once(n: int, grain: int, workers: int) -> None:
    threads.set_num_threads(workers)
    counts = np.zeros(n)
    threads.split(n, mark, counts, grain=grain)
    assert (counts == 1).all()


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30), st.integers(1, 5))
def test_every_weighted_unit_is_done_once(weights: list[int], workers: int) -> None:
    threads.set_num_threads(workers)
    counts = np.zeros(len(weights))
    threads.split_weighted(np.asarray(weights), mark, counts)
    assert (counts == 1).all()


def test_weighted_parts_cost_alike() -> None:
    parts: list[tuple[int, int]] = []
    threads.set_num_threads(2)
    threads.split_weighted(np.array([8, 1, 1, 1, 1, 1, 1, 1, 1]), lambda first, end: parts.append((first, end)))
    assert sorted(parts) == [(0, 1), (1, 9)]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_comes_back_and_the_pool_lives_on(failing: int) -> None:
    def fail(part: int) -> None:
        if part == failing:
            raise RuntimeError(f"part {part}")

    with pytest.raises(RuntimeError, match=f"part {failing}"):
        threads.run(fail, [(0,), (1,), (2,)])
    counts = np.zeros(9)
    threads.split(9, mark, counts)
    assert (counts == 1).all()


def test_a_part_may_split_again() -> None:
    counts = np.zeros(30)

    def outer(first: int, end: int) -> None:
        for i in range(first, end):
            threads.split(10, mark, counts[10 * i : 10 * i + 10])

    threads.split(3, outer)
    assert (counts == 1).all()


def test_several_python_threads_at_once() -> None:
    results = [np.zeros(1000) for _ in range(4)]

    def use(counts: np.ndarray) -> None:
        for _ in range(50):
            threads.split(1000, mark, counts)

    users = [threading.Thread(target=use, args=(counts,)) for counts in results]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert all((counts == 50).all() for counts in results)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_makes_threads_of_its_own() -> None:
    code = (
        "import os, numpy as np\n"
        "from minibert.kernels.cpu import threads\n"
        "threads.set_num_threads(2)\n"
        "def mark(first, end, x): x[first:end] += 1\n"
        "x = np.zeros(8); threads.split(8, mark, x)\n"
        "child = os.fork()\n"
        "threads.split(8, mark, x)\n"
        "if child == 0: os._exit(0 if (x == 2).all() else 1)\n"
        "status = os.waitpid(child, 0)[1]\n"
        "assert status == 0 and (x == 2).all()\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def test_set_and_get() -> None:
    for good in (4, np.int64(3), np.array(2)):
        minibert.set_num_threads(good)
        assert minibert.get_num_threads() == good
        assert type(minibert.get_num_threads()) is int
    for wrong in (0, -1, 1.5, True, "2", None, 100_000, 10**30):
        with pytest.raises(ValueError, match="number of threads must be an integer"):
            minibert.set_num_threads(wrong)
        with pytest.raises(ValueError, match="number of threads must be an integer"):
            threads.set_num_threads(wrong)
    assert minibert.get_num_threads() == 2


def test_blas_follows() -> None:
    from threadpoolctl import threadpool_info

    for wanted in (1, 2):
        threads.set_num_threads(wanted)
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} <= {wanted}
