"""Settings that hold inside a block: whether the tape runs, whether kernels do.

    with no_grad(): ...          a block, as often as wanted, also within itself and from several threads
    @no_grad                     a function; or @no_grad()

A decorated generator or coroutine has the setting while its own code runs, not while its caller's does. What is set in
one thread, or in one asyncio task, is not seen in another.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from typing import Any

_Entries = tuple[tuple["Block", Any], ...]


class Mode:
    """One setting.

    Attributes:
        state: its value here, and the blocks that are open here, in the order of their beginning. Read `state.get()[0]`
            where a call of `get` would be too slow.
    """

    def __init__(self, name: str, default: Any) -> None:
        self.default = default
        self.state: ContextVar[tuple[Any, _Entries]] = ContextVar(name, default=(default, ()))

    def get(self) -> Any:
        """The value here."""
        return self.state.get()[0]

    def set(self, value: Any) -> None:
        """Another value for outside all blocks, from here on."""
        _, open_blocks = self.state.get()
        self.default = value
        self.state.set((open_blocks[-1][1] if open_blocks else value, open_blocks))

    def block(self, name: str, value: Any, function: Any = None) -> Any:
        """A block in which the setting has this value; or `function`, all of it such a block.

        Raises:
            ValueError: something was given that is no function.
        """
        made = Block(self, name, value)
        return made if function is None else made(function)


class Block:
    """Context manager and decorator, which can be used again and again."""

    def __init__(self, mode: Mode, name: str, value: Any) -> None:
        self._mode, self._name, self._value = mode, name, value

    def __repr__(self) -> str:
        return f"{self._name}()"

    # Ctrl-C in the middle of these two must not leave the setting behind: what was begun is finished, or taken back.
    # (Between the end of a block and the first instruction of __exit__ no code of ours can catch it.)

    def __enter__(self) -> None:
        entry = (self, self._value)
        try:
            _, open_blocks = self._mode.state.get()
            self._mode.state.set((self._value, (*open_blocks, entry)))
        except BaseException:
            self._remove(entry)
            raise

    def __exit__(self, *error: object) -> None:
        entry = None
        try:
            entry = self._newest()
            self._remove(entry)
        except BaseException:
            self._remove(self._newest() if entry is None else entry)
            raise

    def _newest(self) -> tuple[Block, Any] | None:
        """This block's entry; not always the last: a generator may have left a block open."""
        return next((entry for entry in reversed(self._mode.state.get()[1]) if entry[0] is self), None)

    def _remove(self, entry: tuple[Block, Any] | None) -> None:
        """Close what `entry` stands for, if it is open."""
        open_blocks = tuple([other for other in self._mode.state.get()[1] if other is not entry])
        self._mode.state.set((open_blocks[-1][1] if open_blocks else self._mode.default, open_blocks))

    def __call__(self, function: Any) -> Any:
        if not callable(function) or isinstance(function, type):
            raise ValueError(f"{self._name} decorates functions and methods, got {function!r}")
        block = Block(self._mode, self._name, self._value)
        if inspect.isgeneratorfunction(function):
            inside = _of_generator(function, block)
        elif inspect.isasyncgenfunction(function):
            inside = _of_async_generator(function, block)
        elif inspect.iscoroutinefunction(function):
            inside = _of_coroutine(function, block)
        else:
            inside = _of_function(function, block)
        return functools.update_wrapper(inside, function)


def _steps(inner: Any, block: Block) -> Generator[Any, Any, Any]:
    """What the generator or coroutine `inner` does, each step of it inside the block."""
    step, value = inner.send, None
    while True:
        try:
            with block:
                given = step(value)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield given
            step = inner.send
        except GeneratorExit:
            with block:
                inner.close()
            raise
        except BaseException as error:  # thrown in by the caller, and meant for `inner`
            step, value = inner.throw, error


def _of_function(function: Any, block: Block) -> Callable[..., Any]:
    def inside(*args: Any, **kwargs: Any) -> Any:
        with block:
            result = function(*args, **kwargs)
        if isinstance(result, types.GeneratorType):  # nothing of it has run yet
            return _steps(result, block)
        return _awaiting(result, block) if isinstance(result, types.CoroutineType) else result

    return inside


def _of_generator(function: Any, block: Block) -> Callable[..., Any]:
    def inside(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return (yield from _steps(function(*args, **kwargs), block))

    return inside


@types.coroutine
def _awaited(awaitable: Any, block: Block) -> Generator[Any, Any, Any]:
    return (yield from _steps(awaitable, block))


async def _awaiting(coroutine: Any, block: Block) -> Any:
    return await _awaited(coroutine, block)


def _of_coroutine(function: Any, block: Block) -> Callable[..., Any]:
    async def inside(*args: Any, **kwargs: Any) -> Any:
        return await _awaited(function(*args, **kwargs), block)

    return inside


def _of_async_generator(function: Any, block: Block) -> Callable[..., Any]:
    async def inside(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner = function(*args, **kwargs)
        step, value = inner.asend, None
        try:
            while True:
                try:
                    given = await _awaited(step(value), block)
                except StopAsyncIteration:
                    return
                try:
                    value = yield given
                    step = inner.asend
                except GeneratorExit:
                    raise
                except BaseException as error:  # thrown in by the caller, and meant for `inner`
                    step, value = inner.athrow, error
        finally:
            await _awaited(inner.aclose(), block)

    return inside
