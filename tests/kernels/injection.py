"""Exceptions at chosen instants: before the nth instruction that Python runs in certain files."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Injected(KeyboardInterrupt):
    """What is raised; nothing else raises it."""


class Injection:
    """Raises `Injected` before instruction `at`, counted from 0 over the functions of `files` in one thread.

    Attributes:
        seen: instructions counted so far.
        raised: whether `at` was reached.
    """

    def __init__(self, files: tuple[str, ...], at: int, times: int = 1) -> None:
        self.files, self.at, self.times = files, at, times
        self.seen, self.raised = 0, False

    def trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        """For `sys.settrace`."""
        if not frame.f_code.co_filename.endswith(self.files):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._local

    def _local(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode":
            self.seen += 1
            if self.at < self.seen <= self.at + self.times:
                self.raised = True
                if self.seen == self.at + self.times:
                    frame.f_trace_opcodes = False
                raise Injected
        return self._local


@contextmanager
def traced(injection: Injection, *, workers: bool = False) -> Iterator[None]:
    """The calling thread is counted in here; or, with `workers`, threads that are started in here instead."""
    before = sys.gettrace()
    if workers:
        threading.settrace(injection.trace)
    else:
        sys.settrace(injection.trace)
    try:
        yield
    finally:
        if workers:
            threading.settrace(None)  # type: ignore[arg-type]
        else:
            sys.settrace(before)


def everywhere(files: tuple[str, ...], region: Callable[[], Any], *, times: int = 1) -> Iterator[bool]:
    """Run `region` again and again, with an exception before its first instruction, its second, and so on to the last.

    Yields:
        After each run, whether the exception came out of it (a finalizer, for one, cannot pass it on).
    """
    at = 0
    while True:
        injection, came_out = Injection(files, at, times), False
        try:
            with traced(injection):
                region()
        except Injected:
            came_out = True
        if not injection.raised:
            return
        yield came_out
        at += 1
