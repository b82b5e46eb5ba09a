"""no_grad, enable_grad and kernels_off: as blocks and decorators, again, nested, in generators, tasks and threads."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from minibert import enable_grad, is_grad_enabled, kernels_off, no_grad, ops
from minibert.autograd import Tensor


def kernels_on() -> bool:
    x = Tensor(np.ones((200, 100), np.float32), requires_grad=True)
    with enable_grad():
        creator = ops.gelu(x).creator
    return creator is not None and creator.kernel is not None


# A block, what it sets, and what holds inside it.
BLOCKS = pytest.mark.parametrize(
    ("block", "state"), [(no_grad, is_grad_enabled), (kernels_off, kernels_on)], ids=["no_grad", "kernels_off"]
)


@BLOCKS
def test_one_block_again_and_within_itself(block: Any, state: Any) -> None:
    again = block()
    for _ in range(2):
        with again:
            assert not state()
            with again:
                assert not state()
            assert not state()
        assert state()
    with pytest.raises(KeyError), again, again:
        raise KeyError
    assert state()


def test_modes_nest() -> None:
    off, on = no_grad(), enable_grad()
    with off, on, off:
        assert not is_grad_enabled()
        with on:
            assert is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


@BLOCKS
def test_decorators_with_and_without_a_call(block: Any, state: Any) -> None:
    def inner(x: int, *, y: int = 2) -> tuple[bool, int]:
        """Doc."""
        return state(), x + y

    for decorated in (block(inner), block()(inner), block(functools.partial(inner))):
        assert decorated(1, y=3) == (False, 4)
        assert state()
    assert block(inner).__name__ == "inner"
    assert block(inner).__doc__ == "Doc."

    class Model:
        @block
        def predict(self) -> bool:
            result: bool = state()
            return result

    assert Model().predict() is False


@BLOCKS
def test_recursion(block: Any, state: Any) -> None:
    @block
    def down(n: int) -> list[bool]:
        return [state()] if n == 0 else [*down(n - 1), state()]

    assert down(3) == [False] * 4
    assert state()


def test_what_is_no_function_is_refused() -> None:
    for thing in (True, Tensor(1.0), "x"):
        with pytest.raises(ValueError, match="no_grad decorates functions and methods"):
            no_grad(thing)
    with pytest.raises(ValueError, match="decorates functions and methods"):

        @no_grad()
        class _Model:
            pass


@BLOCKS
def test_a_generator_has_it_while_its_own_code_runs(block: Any, state: Any) -> None:
    @block()
    def numbers(n: int) -> Iterator[tuple[int, bool]]:
        got = []
        try:
            for i in range(n):
                got.append((yield i, state()))
        except KeyError:
            yield -1, state()
        return (got, state())

    assert inspect.isgeneratorfunction(numbers)
    running = numbers(2)
    assert next(running) == (0, False)
    assert state(), "the caller has its own"
    assert running.send("a") == (1, False)  # type: ignore[attr-defined]
    with pytest.raises(StopIteration) as stop:
        running.send("b")  # type: ignore[attr-defined]
    assert stop.value.value == (["a", "b"], False)
    other = numbers(2)
    next(other)
    assert other.throw(KeyError()) == (-1, False)  # type: ignore[attr-defined]
    other.close()  # type: ignore[attr-defined]
    assert state()


def test_a_function_that_returns_a_generator() -> None:
    def grad(n: int) -> Iterator[bool]:
        for _ in range(n):
            yield is_grad_enabled()

    assert list(no_grad(lambda n: grad(n))(2)) == [False, False]
    assert list(no_grad(functools.partial(grad, 2))()) == [False, False]


def test_a_closed_generator_cleans_up_inside() -> None:
    seen = []

    @no_grad
    def one() -> Iterator[int]:
        try:
            yield 1
        finally:
            seen.append(is_grad_enabled())

    running = one()
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert seen == [False]
    assert is_grad_enabled()


def test_blocks_that_end_in_another_order() -> None:
    def paused() -> Iterator[None]:
        with no_grad():
            yield

    running = paused()
    with enable_grad():
        next(running)
        assert not is_grad_enabled()  # a plain generator's open block is the caller's, too
    assert not is_grad_enabled()
    running.close()  # type: ignore[attr-defined]
    assert is_grad_enabled()


def test_coroutines_and_tasks() -> None:
    @no_grad
    async def inside() -> list[bool]:
        seen = [is_grad_enabled()]
        await asyncio.sleep(0)
        with pytest.raises(KeyError):
            await failing()
        return [*seen, is_grad_enabled()]

    async def failing() -> None:
        await asyncio.sleep(0)
        raise KeyError

    async def block() -> bool:
        with no_grad():
            await asyncio.sleep(0)
            return is_grad_enabled()

    async def outside() -> list[bool]:
        seen = []
        for _ in range(6):
            await asyncio.sleep(0)
            seen.append(is_grad_enabled())
        return seen

    async def main() -> Any:
        return await asyncio.gather(inside(), outside(), block())

    assert inspect.iscoroutinefunction(inside)
    assert asyncio.run(main()) == [[False, False], [True] * 6, False]
    assert is_grad_enabled()


def test_asynchronous_generators() -> None:
    ended = []

    @no_grad()
    async def numbers() -> AsyncIterator[tuple[int, bool]]:
        try:
            for i in range(3):
                await asyncio.sleep(0)
                yield i, is_grad_enabled()
        except KeyError:
            yield -1, is_grad_enabled()
        finally:
            ended.append(is_grad_enabled())

    async def main() -> None:
        assert [pair async for pair in numbers()] == [(0, False), (1, False), (2, False)]
        running = numbers()
        assert await anext(running) == (0, False)
        assert is_grad_enabled()
        assert await running.athrow(KeyError()) == (-1, False)  # type: ignore[attr-defined]
        await running.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    assert ended == [False, False]


@BLOCKS
def test_threads_share_a_block_but_not_its_state(block: Any, state: Any) -> None:
    shared, seen = block(), []
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        seen.append(state())
        with shared:
            inside.set()
            done.wait(30)
            seen.append(state())
        seen.append(state())

    thread = threading.Thread(target=other)
    with shared:
        thread.start()
        inside.wait(30)
    assert state()
    done.set()
    thread.join()
    assert seen == [True, False, True]
