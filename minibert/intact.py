"""Whether a class still computes what its class statement says.

A kernel, and a fused op, stand in for code that can be read: an op's `forward` and `backward`, a module's `forward`.
They may do so only while that code is what would run. A subclass has code of its own; and a method may be replaced
later, by assignment or by a notebook's reloading. So each class keeps the code objects it was written with, and
`intact` compares.
"""

from __future__ import annotations

from typing import Any

Written = tuple[tuple[str, Any], ...]
"""Names of methods, and the code of each."""


def as_written(cls: type, *methods: str) -> Written:
    """The methods' code at this moment, to be kept as the class's `written`."""
    return tuple((name, getattr(getattr(cls, name), "__code__", None)) for name in methods)


def intact(*classes: Any) -> bool:
    """Whether the methods that each class keeps as `written` are still that code."""
    for cls in classes:
        for name, code in cls.written:
            if getattr(getattr(cls, name), "__code__", None) is not code:
                return False
    return True
