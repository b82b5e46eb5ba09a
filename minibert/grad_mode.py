"""Whether the tape runs: `no_grad()` and `enable_grad()`."""

from __future__ import annotations

from typing import Any

from minibert.modes import Mode

grad_mode = Mode("grad", True)


def is_grad_enabled() -> bool:
    """Whether ops are noted on the tape here (in this thread, or asyncio task)."""
    return bool(grad_mode.get())


def no_grad(function: Any = None) -> Any:
    """Context manager or decorator: nothing is noted on the tape inside, so nothing is kept for a backward pass."""
    return grad_mode.block("no_grad", False, function)


def enable_grad(function: Any = None) -> Any:
    """Context manager or decorator: the tape runs inside, also within `no_grad()`."""
    return grad_mode.block("enable_grad", True, function)
