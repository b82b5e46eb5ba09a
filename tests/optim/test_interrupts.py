"""Ctrl-C during a step: all parameters have been stepped afterwards, or none."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minibert.autograd import Tensor
from minibert.deferral import deferred_interrupt
from minibert.optim import Adam, AdamW, BertAdam, Optimizer


@pytest.fixture(autouse=True)
def _python_handles_sigint() -> Iterator[None]:
    """Whatever runs the tests may have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def parameters(count: int, size: int) -> list[Tensor]:
    rng = np.random.default_rng(0)
    made = [Tensor(rng.standard_normal(size).astype(np.float32), requires_grad=True) for _ in range(count)]
    for p in made:
        p.grad = Tensor(rng.standard_normal(size).astype(np.float32))
    return made


def state_of(optimizer: Optimizer, params: list[Tensor]) -> list[Any]:
    """Everything that a step changes, as arrays and numbers."""
    entries = optimizer.state_dict()["state"].values()
    return [*(p.numpy().copy() for p in params), *(value for entry in entries for value in entry.values())]


@pytest.mark.parametrize("size", [5, 20_000])  # the explicit formula, and the kernel
@pytest.mark.parametrize("make", [Adam, AdamW, BertAdam])
def test_a_step_is_finished_first(make: Any, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, params = parameters(3, size), parameters(3, size)
    undisturbed, optimizer = make(expected, lr=0.01), make(params, lr=0.01)
    undisturbed.step()
    for name in ("gradient_factor", "new_states", "update_all"):  # before, between and after the writing of the state
        real = getattr(optimizer, name)

        def interrupted(*args: Any, real: Any = real) -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            result = real(*args)
            os.kill(os.getpid(), signal.SIGINT)
            return result

        monkeypatch.setattr(optimizer, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    for ours, theirs in zip(state_of(optimizer, params), state_of(undisturbed, expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_handler_is_put_back_and_called_once() -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: calls.append(number))
    try:
        handler = signal.getsignal(signal.SIGINT)
        with deferred_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            assert calls == []
        assert calls == [signal.SIGINT]
        with pytest.raises(ValueError, match="inside"), deferred_interrupt():
            raise ValueError("inside")
        assert signal.getsignal(signal.SIGINT) is handler
        with deferred_interrupt():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # another handler's decision stays
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        with deferred_interrupt():  # no handler in Python: nothing to defer
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_changes() -> None:
    params = parameters(2, 5)
    optimizer = Adam(params, lr=0.01)
    thread = threading.Thread(target=optimizer.step)
    thread.start()
    thread.join()
    assert optimizer.state[0]["step"] == 1
