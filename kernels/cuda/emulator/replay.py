"""Launches, recorded and run again in a program of their own, under one of the compiler's sanitizers.

There each CUDA thread is a thread of the system and each array a piece of memory of exactly its size, so
ThreadSanitizer sees two threads of a block that touch one number without a barrier between them, AddressSanitizer
what lies beyond an array or the shared memory, and UndefinedBehaviorSanitizer shifts, overflows and misaligned vectors.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import sources
from ..sources import Defines
from . import library

SANITIZERS = {"thread": ["-fsanitize=thread"], "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]}

_FLAGS = [flag for flag in library.FLAGS if flag not in ("-O2", "-fPIC", "-march=native")]


@dataclass(frozen=True)
class Recorded:
    """One launch, with its arrays as they were before it.

    Attributes:
        arguments: of each its kind, the size of a number, and its contents.
        touched: contents of the arrays that the kernel reaches through addresses in its arguments.
        addresses: where these are: the argument's number, the array's, and the byte in the argument.
    """

    source: str
    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    defines: tuple[tuple[str, str | int], ...]
    arguments: tuple[tuple[str, int, bytes], ...]
    touched: tuple[bytes, ...] = ()
    addresses: tuple[tuple[int, int, int], ...] = ()

    def packed(self) -> bytes:
        """As replay.cpp reads it."""
        sizes = [*self.grid, *[1] * (3 - len(self.grid)), *self.block, *[1] * (3 - len(self.block))]
        head = struct.pack("<8i", *sizes, self.shared, len(self.arguments))
        parts = [struct.pack("<iiq", ord(k), size, len(data)) + data for k, size, data in self.arguments]
        parts += [struct.pack("<i", len(self.touched)), *(struct.pack("<q", len(data)) + data for data in self.touched)]
        parts += [struct.pack("<i", len(self.addresses)), *(struct.pack("<iiq", *place) for place in self.addresses)]
        return head + b"".join(parts)


@contextmanager
def recorded() -> Iterator[list[Recorded]]:
    """Context manager: the launches inside."""
    launches: list[Recorded] = []

    def record(
        source: str, kernel: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared: int,
        defines: Defines, touches: Sequence[Any],
    ) -> None:  # fmt: skip
        values = [x if isinstance(x, np.generic) else x.host for x in args]
        contents = (("p" if isinstance(x, np.ndarray) else "f" if x.dtype.kind == "f" else "i", x.dtype.itemsize,
                     x.tobytes()) for x in values)  # fmt: skip
        specialised = tuple(sorted(defines.items()))
        arrays = list({x.pointer: x for x in touches}.items())
        places = _addresses(values, [pointer for pointer, _ in arrays])
        launches.append(Recorded(source, kernel, tuple(grid), tuple(block), shared, specialised, tuple(contents),
                                 tuple(x.host.tobytes() for _, x in arrays), places))  # fmt: skip

    library._recording.append(record)
    try:
        yield launches
    finally:
        library._recording.remove(record)


def _addresses(values: Sequence[Any], pointers: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """Where in the arguments one of the pointers stands."""
    tables = [(i, x.reshape(-1)) for i, x in enumerate(values) if isinstance(x, np.ndarray) and x.dtype == np.int64]
    pairs = [(i, x, k, p) for i, x in tables for k, p in enumerate(pointers)]
    return tuple((i, k, 8 * int(at)) for i, x, k, p in pairs for at in np.flatnonzero(x == p))


def replay(launch: Recorded, sanitizer: str) -> str:
    """What the sanitizer (a key of SANITIZERS), or the emulator, has to say; nothing if all is well."""
    names = sources.kernel_names(sources.text(launch.source))
    table = "".join(f'    {{"{name}", start_{name}}},\n' for name in names)
    main = (library.FOLDER / "replay.cpp").read_text(encoding="utf-8").replace("/* KERNELS */", table)
    text = library.program(sources.text(launch.source)) + "\n" + main
    flags = [*_FLAGS, "-O1", "-g", *SANITIZERS[sanitizer], "-DEMULATOR_THREADS", f"-I{library.FOLDER}",
             *sources.flags(dict(launch.defines)), "-include", str(library.FOLDER / "runtime.hpp")]  # fmt: skip
    program = library.build(text, flags)
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch, "launch")
        written.write_bytes(launch.packed())
        done = subprocess.run([program, launch.kernel, written], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""
