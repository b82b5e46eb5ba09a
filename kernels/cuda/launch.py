"""From arrays to a running kernel: with CuPy on a GPU, with the emulator on a CPU.

Whoever launches a kernel says

    launch("dropout", "dropout", grid, block, (x, y, int32(R), ...), defines={"REAL": real(x)})

and the library of the arrays decides where it runs. CuPy compiles with NVRTC for the GPU at hand and keeps the result,
in memory and in its cache folder; the kernel goes onto CuPy's current stream, and nobody waits for it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import sources
from .arrays import library_of as namespace
from .sources import Defines

__all__ = [
    "STATIC_SHARED", "WARP", "Grid", "ceil_div", "contiguous", "draw", "elementwise", "launch", "namespace", "queue_of",
    "real", "rows_of",
]  # fmt: skip

Grid = tuple[int, ...]

WARP = 32
"""Threads that run in step."""

STATIC_SHARED = 48 * 1024
"""Bytes of shared memory a block gets without asking for more."""


def launch(
    source: str, kernel: str, grid: Grid, block: Grid, args: Sequence[Any],
    *, shared: int = 0, defines: Defines | None = None, touches: Sequence[Any] = (),
) -> None:  # fmt: skip
    """Start one kernel.

    Args:
        source: name of the .cu file, without its ending.
        kernel: name of the kernel in it.
        grid, block: numbers of blocks and of threads in a block. An empty grid starts nothing.
        args: arrays, C-contiguous, and NumPy scalars of the very types of the kernel's parameters.
        shared: bytes of dynamic shared memory.
        defines: what the text is specialised by.
        touches: arrays that the kernel reaches through addresses in other arrays.
    """
    if 0 in grid:
        return
    for x in args:
        if not isinstance(x, np.generic) and not x.flags.c_contiguous:
            raise TypeError(f"{kernel}: a kernel's arrays must be contiguous, got strides {x.strides}")
    first = next(x for x in args if not isinstance(x, np.generic))
    if type(first).__module__.partition(".")[0] == "cupy":
        compiled = _compiled(source, kernel, tuple(sorted((defines or {}).items())), first.device.id)
        if shared > STATIC_SHARED:
            compiled.max_dynamic_shared_size_bytes = shared
        compiled(grid, block, tuple(args), shared_mem=shared)
    else:
        from .emulator import library

        library.start(source, kernel, grid, block, args, shared=shared, defines=defines or {}, touches=touches)


@functools.cache
def _compiled(source: str, kernel: str, defines: tuple[tuple[str, Any], ...], device: int) -> Any:
    """The kernel, compiled for the device: attributes such as the shared memory belong to one device."""
    import cupy

    options = ("-std=c++17", *sources.flags(dict(defines)))
    return cupy.RawModule(code=sources.text(source), options=options, backend="nvrtc").get_function(kernel)


def queue_of(x: Any) -> tuple[int, int]:
    """The device of `x` and its current stream, by number.

    What is sent to a device and kept there belongs to this pair: on another stream it may be read before it has come.
    """
    cuda = getattr(namespace(x), "cuda", None)  # the emulator has no streams
    return x.device.id, 0 if cuda is None else int(cuda.get_current_stream().ptr)


def real(x: Any) -> str:
    """What the kernels call the dtype of `x`.

    Raises:
        ValueError: no kernel computes in it.
    """
    name = str(x.dtype)
    if name not in sources.REALS:
        raise ValueError(f"the CUDA kernels compute in {', '.join(sources.REALS)}, not in {name}")
    return sources.REALS[name]


def contiguous(x: Any) -> Any:
    """`x`, copied if its numbers do not lie one behind the other."""
    return x if x.flags.c_contiguous else namespace(x).ascontiguousarray(x)


def rows_of(x: Any) -> Any:
    """(..., C) as contiguous rows (R, C)."""
    return contiguous(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def ceil_div(a: int, b: int) -> int:
    """How many pieces of b make a."""
    return -(-a // b)


def elementwise(groups: int, block: int = 256) -> tuple[Grid, Grid]:
    """Grid and block for kernels that walk over groups of numbers: a thread a group, and no more blocks than keep a
    large GPU busy; the kernel's loop does the rest."""
    return (min(ceil_div(groups, block), 4096),), (block,)


def draw(p: float, key: Any) -> tuple[np.generic, ...]:
    """threshold, scale, seed and stream of a dropout, as the kernels take them; no key: nothing is dropped."""
    if key is None:
        return np.uint32(0), np.float32(1), np.uint64(0), np.uint64(0)
    seed, stream = key
    threshold = np.uint32(min(int(p * 2**32), 0xFFFFFFFF))
    return threshold, np.float32(1 / (1 - p)), np.uint64(seed), np.uint64(stream & 0xFFFFFFFFFFFFFFFF)
