"""One pool of threads for everything: the kernels' loops and the matrix products.

Two pools fight: while BLAS's idle threads spin, the kernels' threads wait for a core, and the other way round (a
forward pass of 16 tokens took ten times as long that way). So there is one pool here, and no BLAS: a kernel is a
serial compiled function that gives up the interpreter's lock, matrix products are such kernels too (`gemm.py`), and
`split` runs them on several parts of the work at once.

Worker threads wait for work by looking at a number in memory for a tenth of a millisecond before they go to sleep,
since within a model the next kernel follows at once and waking a sleeping thread takes longer than most kernels.
Parts are cut by the amount of work and the number of threads alone, so results are bitwise the same from run to run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from . import spin

SPIN = 400_000
"""Looks at the flag before a thread goes to sleep: about a tenth of a millisecond."""


class _Worker:
    """A thread that runs one task at a time: `start` hands it over, `finish` waits for it."""

    def __init__(self) -> None:
        self.asked = np.zeros(8, np.int64)  # a cache line each, so that looking does not slow the other side's writing
        self.answered = np.zeros(8, np.int64)
        self.task: tuple[Callable[..., Any], tuple[Any, ...]] = (lambda: None, ())
        self.error: BaseException | None = None
        self.wake, self.done = threading.Lock(), threading.Lock()
        self.wake.acquire()
        self.done.acquire()
        threading.Thread(target=self._run, name="minibert-kernels", daemon=True).start()

    def start(self, function: Callable[..., Any], *args: Any) -> None:
        self.task = function, args
        self.wake.release()
        self.asked[0] += 1

    def finish(self) -> None:
        spin.wait_for(self.answered, self.asked[0], SPIN)
        self.done.acquire()
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def _run(self) -> None:
        count = 0
        while True:
            count += 1
            spin.wait_for(self.asked, count, SPIN)
            self.wake.acquire()
            function, args = self.task
            try:
                function(*args)
            except BaseException as error:  # handed to the thread that waits
                self.error = error
            self.task = (lambda: None, ())
            self.done.release()
            self.answered[0] = count


def _default_threads() -> int:
    """What the usual variables say, else the cores that this process may use."""
    for name in ("MINIBERT_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "")
        if text.isdigit() and int(text) > 0:
            return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return int(os.cpu_count() or 1)


_threads = _default_threads()
_workers: list[_Worker] = []
_busy = threading.Lock()  # one parallel region at a time: two Python threads may both run a model


def get_num_threads() -> int:
    """How many threads the kernels and matrix products use."""
    return _threads


def set_num_threads(threads: Any) -> None:
    """Use this many threads from now on, here and in the BLAS that NumPy calls for the explicit ops.

    Raises:
        ValueError: not a positive integer.
    """
    global _threads
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ValueError(f"the number of threads is a positive integer, got {threads!r}")
    _threads = threads
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="blas")


def _forget_workers() -> None:
    """A forked child has none of its parent's threads, and a lock that nobody may ever release."""
    global _busy
    _workers.clear()
    _busy = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def run(function: Callable[..., Any], parts: Sequence[tuple[Any, ...]]) -> None:
    """`function(*part)` for each part, one on the calling thread and the others on workers; returns when all are done.

    There may be no more parts than threads. Where the pool is busy already (a part that itself calls `run`, or another
    Python thread) the parts run in turn on the calling thread.
    """
    if len(parts) == 1:
        function(*parts[0])
        return
    with team() as members:
        if members > 1:
            run_team(function, parts)
            return
    for part in parts:
        function(*part)


@contextmanager
def team() -> Iterator[int]:
    """Context manager: the pool for the caller alone, and how many threads it has; 1 if somebody else has it.

    For functions whose parts wait for one another, which must not run in turn: they go to `run_team`.
    """
    if _threads == 1 or not _busy.acquire(blocking=False):
        yield 1
        return
    held = _busy
    try:
        yield _threads
    finally:
        held.release()


def run_team(function: Callable[..., Any], parts: Sequence[tuple[Any, ...]]) -> None:
    """As `run`, inside `team()`: all parts at the same time."""
    while len(_workers) < len(parts) - 1:
        _workers.append(_Worker())
    workers = _workers[: len(parts) - 1]
    for worker, part in zip(workers, parts[1:], strict=True):
        worker.start(function, *part)
    try:
        function(*parts[0])
    finally:
        errors = [error for worker in workers if (error := _finished(worker)) is not None]
    if errors:
        raise errors[0]


def _finished(worker: _Worker) -> BaseException | None:
    try:
        worker.finish()
    except BaseException as error:
        return error
    return None


def split(n: int, function: Callable[..., Any], *args: Any, grain: int = 1) -> None:
    """`function(first, end, *args)` on contiguous parts of range(n), in parallel.

    Args:
        n: amount of work, in units that cost alike.
        grain: fewest units worth a thread of their own.
    """
    threads = max(1, min(_threads, n // max(grain, 1)))
    bounds = [n * i // threads for i in range(threads + 1)]
    run(function, [(bounds[i], bounds[i + 1], *args) for i in range(threads)])


def split_weighted(weights: np.ndarray, function: Callable[..., Any], *args: Any) -> None:
    """As `split`, for units of unequal cost: parts of about the same sum of `weights`."""
    total = np.cumsum(weights)
    threads = max(1, min(_threads, len(weights)))
    inner = np.searchsorted(total, total[-1] * np.arange(1, threads) / threads) + 1
    bounds = [0, *np.minimum(inner, len(weights)).tolist(), len(weights)]
    parts = [(a, b, *args) for a, b in pairwise(bounds) if b > a]
    run(function, parts)
