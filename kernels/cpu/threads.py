"""One pool of threads for everything: the kernels' loops and the matrix products.

Two pools fight: while BLAS's idle threads spin, the kernels' threads wait for a core, and the other way round (a
forward pass of 16 tokens took ten times as long that way). So there is one pool here, and no BLAS: a kernel is a
serial compiled function that gives up the interpreter's lock, matrix products are such kernels too (`gemm.py`), and
`split` runs them on several parts of the work at once.

Parts are cut by the amount of work and the number of threads alone, so results are bitwise the same from run to run.
What holds after an interrupt, a fork or the death of a thread is said, and seen to, in `pool.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..cores import MOST_THREADS, default_threads
from .pool import Pool, lend

_threads: int | None = None  # not yet asked for


def get_num_threads() -> int:
    """How many threads the kernels and matrix products use.

    Raises:
        ValueError: an environment variable that should say so does not hold a number of threads.
    """
    global _threads
    if _threads is None:
        _threads = default_threads()
    return _threads


def set_num_threads(threads: Any) -> None:
    """Use this many threads from now on, here and in the BLAS that NumPy calls for the explicit ops.

    Raises:
        ValueError: not an integer from 1 to 1024.
    """
    global _threads
    try:
        number = 0 if isinstance(threads, bool) else operator.index(threads)
    except TypeError:
        number = 0
    if not 1 <= number <= MOST_THREADS:
        raise ValueError(f"the number of threads must be an integer from 1 to {MOST_THREADS}, got {threads!r}")
    _threads = number
    from threadpoolctl import threadpool_limits

    threadpool_limits(number, user_api="blas")


def run(function: Callable[..., Any], parts: Sequence[tuple[Any, ...]]) -> None:
    """`function(*part)` for each part, one on the calling thread and the others on workers; returns when all are done.

    There may be no more parts than threads. Where the pool is busy already (a part that itself calls `run`, or another
    Python thread) the parts run in turn on the calling thread.

    An exception that a part raises, or that is raised in the calling thread meanwhile, comes out when no part is still
    being run; some parts may not have been run then.
    """
    if len(parts) > 1 and lend(len(parts), get_num_threads(), Pool.run, function, parts):
        return
    for part in parts:
        function(*part)


def together(body: Callable[[Pool, int], Any]) -> Any:
    """`body(pool, threads)`, for functions whose parts wait for one another and cannot run in turn; what it returns.

    None if the pool is busy, or there is but one thread. The parts go to `pool.run`, as many as `threads`.
    """
    threads = get_num_threads()
    return lend(threads, threads, body, threads) if threads > 1 else None


def split(n: int, function: Callable[..., Any], *args: Any, grain: int = 1) -> None:
    """`function(first, end, *args)` on contiguous parts of range(n), in parallel.

    Args:
        n: amount of work, in units that cost alike.
        grain: fewest units worth a thread of their own.
    """
    threads = max(1, min(get_num_threads(), n // max(grain, 1)))
    bounds = [n * i // threads for i in range(threads + 1)]
    run(function, [(bounds[i], bounds[i + 1], *args) for i in range(threads)])


def split_weighted(weights: np.ndarray, function: Callable[..., Any], *args: Any) -> None:
    """As `split`, for units of unequal cost: parts of about the same sum of `weights`."""
    total = np.cumsum(weights)
    threads = max(1, min(get_num_threads(), len(weights)))
    inner = np.searchsorted(total, total[-1] * np.arange(1, threads) / threads) + 1
    bounds = [0, *np.minimum(inner, len(weights)).tolist(), len(weights)]
    parts = [(a, b, *args) for a, b in pairwise(bounds) if b > a]
    run(function, parts)
