"""The text of the kernels, and what they are specialised by.

A kernel is compiled for its kind of numbers and its tile (`Defines`), when it is first wanted. The header is pasted
into the text: what is compiled is then one string, and a cache that knows the string knows everything.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

Defines = Mapping[str, str | int]
"""Names given a value on the compiler's command line."""

FOLDER = Path(__file__).parent

REALS = {"float32": "float", "float16": "float16", "bfloat16": "bfloat16"}
"""What device.cuh calls the kinds of numbers that activations may have."""


@functools.cache
def text(source: str) -> str:
    """`<source>.cu` with its includes of this folder in place."""
    return _expand(read(f"{source}.cu"), set())


def read(name: str) -> str:
    """One file of this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


def with_header(text: str) -> str:
    """A kernel's text, written elsewhere, with the headers that it includes in place."""
    return _expand(text, set())


def _expand(text: str, seen: set[str]) -> str:
    def paste(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in seen:
            return ""
        seen.add(name)
        return _expand(read(name), seen)

    return re.sub(r'^#include "([\w.]+)"$', paste, text.replace("#pragma once\n", ""), flags=re.MULTILINE)


def kernel_names(source: str) -> list[str]:
    """The kernels in a text, in order."""
    return re.findall(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(", source)


def flags(defines: Defines) -> list[str]:
    """The defines as a compiler wants them."""
    return [f"-D{name}={value}" for name, value in sorted(defines.items())]
