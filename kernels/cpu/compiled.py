"""`njit` for the whole project: Numba's, with the options that every compiled function here has.

Compiled code runs without the interpreter's lock, and is kept on disk. Nothing else imports `numba.njit`, so that both
hold for every compiled function; `make lint` enforces it.
"""

from __future__ import annotations

from typing import Any

import numba


def njit(function_or_signature: Any = None, *, cache: bool = True, **options: Any) -> Any:
    """Compile a function to machine code: `@njit`, `@njit(fastmath=...)`, or `njit(signature)(function)`.

    Args:
        function_or_signature: the function, compiled at its first call for the types of that call; or one signature,
            for which it is compiled at once and no other is accepted.
        cache: keep the machine code on disk.
        options: those of `numba.njit`.
    """
    if function_or_signature is None:
        return numba.njit(nogil=True, cache=cache, **options)
    return numba.njit(function_or_signature, nogil=True, cache=cache, **options)
