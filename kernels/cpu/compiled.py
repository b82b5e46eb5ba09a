"""`njit` for the whole project: Numba's, with the options and the cache that every compiled function here has.

Compiled code runs without the interpreter's lock, and is kept on disk (code_cache.py). Nothing else imports
`numba.njit`, so that both hold for every compiled function; `make lint` enforces it.

A function whose floating-point operations may be reordered (`fastmath`) is inlined into those that call it. Otherwise
each caller's code has a copy of it, optimised on its own, and a process uses the copy that it loads first: that of the
function itself where it was compiled, that of a caller where the caller comes from the cache. The two may round
differently, and a run would depend on the state of the cache.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numba

from .code_cache import CodeCache, generation_of, is_current


def njit(function_or_signature: Any = None, *, cache: bool = True, **options: Any) -> Any:
    """Compile a function to machine code: `@njit`, `@njit(fastmath=...)`, or `njit(signature)(function)`.

    Args:
        function_or_signature: the function, compiled at its first call for the types of that call; or one signature,
            for which it is compiled at once and no other is accepted.
        cache: keep the machine code on disk.
        options: those of `numba.njit`.
    """
    if callable(function_or_signature) and hasattr(function_or_signature, "__code__"):
        return _compiled(function_or_signature, None, cache, options)
    return functools.partial(_compiled, signature=function_or_signature, cache=cache, options=options)


def _compiled(function: Any, signature: Any, cache: bool, options: dict[str, Any]) -> Any:
    if options.get("fastmath"):
        options = {"forceinline": True, **options}
    dispatcher = numba.njit(nogil=True, **options)(function)
    if not hasattr(dispatcher, "py_func"):  # with NUMBA_DISABLE_JIT it is the function itself
        return dispatcher
    if cache:
        _keep_on_disk(dispatcher, options)
    if signature is not None:
        dispatcher.compile(signature)
        dispatcher.disable_compile()
    return dispatcher


def _keep_on_disk(dispatcher: Any, options: dict[str, Any]) -> None:
    """Give the function a cache, where Numba has a place for one, and its sources are known."""
    source = Path(dispatcher.py_func.__code__.co_filename)
    generation = generation_of(source)
    if generation is not None and hasattr(dispatcher, "_cache"):
        dispatcher._cache = CodeCache(dispatcher.py_func, options, generation, functools.partial(is_current, source))
