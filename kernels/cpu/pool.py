"""The pool of worker threads, made so that an exception at any instant does no harm.

Ctrl-C, a signal handler that raises and `PyThreadState_SetAsyncExc` raise between any two steps of Python code. What
must hold then, and why it does:

*The caller gets control back only when no thread writes into its arrays any more.* Tasks are launched by one call of a
compiled function and waited for by another (`spin.py`); neither can be interrupted, and what runs is recorded in memory
by these functions themselves: `asked` against `settled`. So an exception comes before the launch, when nothing runs, or
after it, and then `lend`, through which every parallel region goes, waits before it lets the exception pass.

*No state survives.* A pool through which an exception has passed is given up: its threads are dismissed, and the next
region makes a new one. Nothing has to be repaired, so nothing can be repaired wrongly.

*No lock is left held, or released twice.* There is none. A thread that takes the pool removes the only item from the
list `free`, and puts it back at the end; both are single steps. Should an exception come just between taking the item
and noting so (`busy`), or between noting the end and putting it back, the pool counts as lost (no item, yet not busy),
and a new one is made.

*A thread that dies is noticed.* On its way out it is entered in `gone`, breaks the barrier that others may wait at, and
wakes the thread that waits for its answer; failing all that, the waiting thread looks every fifth of a second whether
it is still alive. If its part of a region was not finished, that region raises RuntimeError.

*A forked child* has none of its parent's threads. It forgets the pool, without touching it. If the fork happened inside
a region, on the thread that runs it, that region raises RuntimeError in the child.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import spin
from .meeting import break_barrier

PATIENCE = 200_000
"""Microseconds between two looks whether the threads that are waited for are still alive."""


class _Job(NamedTuple):
    """What is run at the moment; part i + 1 by worker i."""

    function: Callable[..., Any]
    parts: Sequence[tuple[Any, ...]]
    barrier: np.ndarray | None
    errors: list[BaseException]


_NOTHING = _Job(lambda: None, (), None, [])


class _Crew:
    """What the workers know. They know no more, so that a pool that was lost is deleted and dismisses them."""

    def __init__(self, size: int) -> None:
        self.job = _NOTHING
        self.dismissed = False
        self.gone: list[int] = []
        self.asked, self.answered, self.settled = np.zeros((3, size, spin.LINE), np.int64)
        self.locks = spin.Locks(2 * size)
        self.wake, self.done = self.locks.addresses[:size], self.locks.addresses[size:]


def _work(crew: _Crew, i: int) -> None:
    """Worker i: runs its part of each job."""
    try:
        asked, answered, wake, done, number = crew.asked[i], crew.answered[i], crew.wake[i], crew.done[i], 0
        while True:
            number += 1
            spin.await_task(asked, number, wake)
            if crew.dismissed:
                return
            _run_part(crew.job, i + 1)
            spin.answer(answered, number, done)
    except BaseException:
        pass  # raised in this thread from outside: no caller could catch it, and the region will say so
    finally:
        try:
            _leave(crew, i)
        except BaseException:
            _leave(crew, i)


def _leave(crew: _Crew, i: int) -> None:
    """Let no thread wait for worker i any more. Does no harm when called twice."""
    crew.gone.append(i)
    _break(crew.job)
    spin.give(crew.done[i])


def _run_part(job: _Job, part: int) -> None:
    """Run it, in a frame of its own: no reference to the arrays may outlast the answer."""
    try:
        job.function(*job.parts[part])
    except BaseException as error:  # raised again by the thread that waits
        _break(job)
        job.errors.append(error)


def _break(job: _Job) -> None:
    if job.barrier is not None:
        break_barrier(job.barrier)


class Pool:
    """A fixed number of worker threads. The thread that has the pool (see `lend`) counts as one more.

    Attributes:
        free: has one item while the pool is not in use.
        busy: whether a thread uses it.
    """

    def __init__(self, size: int) -> None:
        self.generation = _generation
        self.free: list[None] = [None]
        self.busy = False
        self.threads: list[threading.Thread] = []
        self.crew = _Crew(size)
        for i in range(size):
            self.threads.append(threading.Thread(target=_work, args=(self.crew, i), daemon=True))
            self.threads[i].name = f"minibert-kernels-{i + 1}"
            self.threads[i].start()

    def fits(self, parts: int) -> bool:
        """Whether all its threads are alive, and as many as `parts` of a region take."""
        return len(self.threads) >= parts - 1 and not self.crew.gone

    def run(
        self, function: Callable[..., Any], parts: Sequence[tuple[Any, ...]], barrier: np.ndarray | None = None
    ) -> bool:
        """`function(*part)` for all parts at the same time, the first on the calling thread; True.

        Args:
            function: what is called.
            parts: the arguments of each call.
            barrier: the counter of a barrier (`meeting.py`) that the parts meet at; broken if one of them raises.

        Raises:
            RuntimeError: a thread died, or the process was forked, before all was done. Besides, what a part raised.
        """
        crew = self.crew
        crew.job = job = _Job(function, parts, barrier, [])
        if crew.gone:  # later than this, a thread that dies sees the job, and breaks its barrier
            self._look_after_threads()
        spin.launch(crew.asked, crew.wake, len(parts) - 1)
        function(*parts[0])
        while not spin.settle(crew.asked, crew.answered, crew.settled, crew.done, PATIENCE):
            self._look_after_threads()
        crew.job = _NOTHING
        if job.errors:
            raise job.errors[0]
        return True

    def _look_after_threads(self) -> None:
        if self.generation != _generation:
            raise RuntimeError("the process was forked in the middle of a computation, whose threads a child has not")
        if self.crew.gone or not all(thread.is_alive() for thread in self.threads):
            raise RuntimeError("a thread of the kernels died in the middle of its work")

    def give_up(self) -> None:
        """Wait until no thread is at work, and dismiss them. May be called again if it was interrupted."""
        crew = self.crew
        if self.generation != _generation:
            return  # the threads are the parent's
        _break(crew.job)
        while not self._at_rest():
            spin.settle(crew.asked, crew.answered, crew.settled, crew.done, PATIENCE)
        self.dismiss()
        crew.job = _NOTHING
        self.busy = False

    def _at_rest(self) -> bool:
        """Whether every thread has finished what it was given, or is dead."""
        idle = self.crew.asked[:, 0] == self.crew.settled[:, 0]
        return all(idle[i] or i in self.crew.gone or not thread.is_alive() for i, thread in enumerate(self.threads))

    def dismiss(self) -> None:
        """Let the threads end when they have finished what they do."""
        self.crew.dismissed = True
        for wake in self.crew.wake:
            spin.give(wake)

    def __del__(self) -> None:
        if hasattr(self, "crew") and self.generation == _generation and not sys.is_finalizing():
            self.dismiss()


_pool: Pool | None = None
_generation = 0
"""How many forks lie between this process and the one that imported this module."""


def lend(parts: int, size: int, body: Callable[..., Any], *args: Any) -> Any:
    """`body(pool, *args)`, the pool having a thread for each of so many parts; what it returns.

    None, without a call, if the pool is in use (by a part that itself asks for it, or another Python thread), or
    threads cannot be started.

    Args:
        parts: how many the body needs.
        size: for how many a new pool is made, at least.
        body: returns anything but None.
        args: handed on.
    """
    pool: Pool | None = None
    try:
        pool = _take(parts, size)
        if pool is None:
            return None
        pool.busy = True
        result = body(pool, *args)
        pool.busy = False
    except BaseException:
        if pool is not None:
            _give_up(pool)
        raise
    pool.free.append(None)
    return result


def _take(parts: int, size: int) -> Pool | None:
    """The pool, whose `free` is then empty; a new one if there is none that is fit for use."""
    global _pool
    pool = _pool
    if pool is not None and pool.fits(parts):
        try:
            pool.free.pop()
            return pool
        except IndexError:
            if pool.busy:
                return None
    try:
        pool = Pool(max(parts, size) - 1)
    except RuntimeError:  # the system gives no more threads, or the interpreter is about to end
        return None
    pool.free.pop()
    _pool = pool
    return pool


def _give_up(pool: Pool) -> None:
    """Drop the pool and wait for its threads. Another interrupt in between must not cut the waiting short."""
    global _pool
    for _ in range(10):
        try:
            if _pool is pool:
                _pool = None
            pool.give_up()
            return
        except BaseException:
            continue


def _after_fork() -> None:
    """In the child."""
    global _pool, _generation
    _generation += 1
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
