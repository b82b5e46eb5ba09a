"""After an exception at any instant of a parallel region: nothing hangs, nothing is still being written, the next
result is bitwise right."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

import minibert
from minibert import grad_mode
from minibert.kernels.cpu import few_rows_encoder, meeting, pool, threads
from tests.kernels.injection import Injected, Injection, everywhere, traced

FILES = ("kernels/cpu/pool.py", "kernels/cpu/threads.py")
ENCODER = (*FILES, "kernels/cpu/few_rows_encoder.py")


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = threads.get_num_threads()
    threads.set_num_threads(2)
    yield
    threads.set_num_threads(before)
    pool._pool = None  # its threads may be traced


def mark(first: int, end: int, counts: np.ndarray) -> None:
    counts[first:end] += 1


def slow_on_worker(first: int, end: int, counts: np.ndarray) -> None:
    """The calling thread's part is over at once, the other one's a millisecond later."""
    if first > 0:
        time.sleep(0.001)
    counts[first:end] += 1


def check_a_region_works() -> None:
    counts = np.zeros(8)
    threads.split(8, mark, counts)
    assert (counts == 1).all()


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice in a row"])
@pytest.mark.parametrize("fresh", [False, True], ids=["a pool at hand", "a pool to be made"])
def test_before_any_instruction_of_a_region(fresh: bool, times: int) -> None:
    counts = np.zeros(8)
    tried = 0

    def region() -> None:
        threads.split(8, slow_on_worker, counts)

    check_a_region_works()
    for came_out in everywhere(FILES, region, times=times):
        now = counts.copy()
        assert came_out or (now == 1).all()
        assert set(now) <= {0, 1}
        time.sleep(0.0015)
        np.testing.assert_array_equal(counts, now)  # no thread writes any more
        check_a_region_works()
        if fresh:
            pool._pool = None
        counts[:] = 0
        tried += 1
    assert tried > 100  # a region is some hundred instructions
    assert threading.active_count() < 20  # pools that were given up have let their threads go


def encoded(x: np.ndarray) -> np.ndarray:
    """Through two small layers, with the threads meeting five times in each."""
    rng = np.random.default_rng(0)
    H, F = 16, 24
    shapes = [(H, H), (H,)] * 4 + [(H,), (H,), (F, H), (F,), (H, F), (H,), (H,), (H,)]
    layers = [[rng.standard_normal(shape).astype(np.float32) for shape in shapes] for _ in range(2)]
    return few_rows_encoder.few_rows_encoder(x, [0, len(x)], layers, heads=2, eps=1e-12)


def test_before_any_instruction_of_an_encoder_whose_threads_meet() -> None:
    x = np.random.default_rng(1).standard_normal((5, 16)).astype(np.float32)
    expected = encoded(x)
    for came_out in everywhere(ENCODER, lambda: encoded(x)):
        assert came_out
        np.testing.assert_array_equal(encoded(x), expected)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("meeting", [False, True], ids=["parts of their own", "parts that meet"])
def test_before_any_instruction_of_a_worker(meeting: bool) -> None:
    """The thread dies, or its part fails: the region raises, or computes the result without it."""
    x = np.random.default_rng(1).standard_normal((5, 16)).astype(np.float32)
    expected = encoded(x)
    at = 0
    while True:
        pool._pool = None
        injection = Injection(FILES, at)
        counts = np.zeros(8)
        try:
            with traced(injection, workers=True):
                if meeting:
                    np.testing.assert_array_equal(encoded(x), expected)
                else:
                    threads.split(8, mark, counts)
                    assert (counts == 1).all()
        except (Injected, RuntimeError):
            pass
        if not injection.raised:
            break
        check_a_region_works()
        np.testing.assert_array_equal(encoded(x), expected)
        at += 1
    assert at > 40


def test_a_thread_that_died_between_two_regions_is_replaced() -> None:
    check_a_region_works()
    made = pool._pool
    assert made is not None
    made.crew.dismissed = True
    made.dismiss()
    made.threads[0].join()
    check_a_region_works()
    assert pool._pool is not made


@pytest.mark.parametrize("error", [MemoryError, SystemExit, KeyboardInterrupt])
def test_what_a_worker_raises_comes_out(error: type[BaseException]) -> None:
    def fail(part: int) -> None:
        if part == 1:
            raise error

    with pytest.raises(error):
        threads.run(fail, [(0,), (1,)])
    check_a_region_works()


def test_a_barrier_that_a_thread_never_comes_to_is_broken() -> None:
    def fail(part: int, counter: np.ndarray) -> None:
        if part == 1:
            raise ValueError("never arrives")
        meeting.meet(counter, 2)

    counter = np.zeros(8, np.int64)

    def body(team: pool.Pool, parts: int) -> None:
        team.run(fail, [(part, counter) for part in range(parts)], barrier=counter)

    with pytest.raises(ValueError, match="never arrives"):
        threads.together(body)
    assert meeting.is_broken(counter)


def test_waiting_at_a_barrier_has_an_end_of_its_own() -> None:
    counter = np.zeros(8, np.int64)
    meeting.meet(counter, 2)  # the other one never comes
    assert meeting.is_broken(counter)


def test_where_no_thread_can_be_started_the_parts_run_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool._pool = None
    monkeypatch.setattr(threading.Thread, "start", refuse)
    check_a_region_works()
    assert pool._pool is None


def test_signals_at_random_instants_and_forks() -> None:
    """A few of what `make interrupts` does by the hundred."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.kernels.interrupts"]
    done = subprocess.run([*command, "--interrupts", "5", "--forks", "4"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_grad_does_not_outlast_its_block() -> None:
    """Whatever the instant, but for the first instruction of its end, before which Python lets no code catch it."""

    def region() -> None:
        with minibert.no_grad():
            pass

    left_behind = 0
    for came_out in everywhere(("minibert/modes.py",), region):
        assert came_out
        left_behind += not minibert.is_grad_enabled()
        grad_mode.grad_mode.state.set((True, ()))
    assert left_behind <= 6  # instructions outside the two `try`s, of which a signal can come in at the first only
