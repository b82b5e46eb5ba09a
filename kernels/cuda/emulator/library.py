"""Compile a .cu file for the CPU, and call its kernels.

Each source, with its defines, becomes a shared library in a cache folder (MINIBERT_CACHE, else ~/.cache/minibert),
under a name made from everything that went into it.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import sources
from ..sources import Defines

FOLDER = Path(__file__).parent

FLAGS = [
    "-std=c++20", "-O2", "-march=native", "-fPIC", "-pthread", "-fno-strict-aliasing",
    "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas",
    "-ftrivial-auto-var-init=pattern",  # a local array that nobody has set holds rubbish, each time the same
]  # fmt: skip


class EmulatorError(RuntimeError):
    """A kernel did what a GPU would have answered with garbage or a hang; or it could not be compiled."""


@dataclass
class Traffic:
    """Bytes that kernels loaded from global memory and stored to it, and how often each kernel was started."""

    loaded: int = 0
    stored: int = 0
    launches: int = 0


class _Launch(ctypes.Structure):
    """emulator::Launch of runtime.hpp."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("count", ctypes.c_int),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("kinds", ctypes.c_char_p),
        ("sizes", ctypes.POINTER(ctypes.c_int)),
        ("buffers", ctypes.c_int),
        ("begins", ctypes.POINTER(ctypes.c_void_p)),
        ("ends", ctypes.POINTER(ctypes.c_void_p)),
        ("workers", ctypes.c_int),
        ("loaded", ctypes.c_ulonglong),
        ("stored", ctypes.c_ulonglong),
        ("error", ctypes.c_char * 512),
    )


_counting: list[Traffic] = []
_recording: list[Callable[..., None]] = []
"""Who wants to see each launch before it happens: replay.py."""


@contextmanager
def counted() -> Iterator[Traffic]:
    """Context manager: the traffic of all kernels that are started inside."""
    traffic = Traffic()
    _counting.append(traffic)
    try:
        yield traffic
    finally:
        _counting.remove(traffic)


@functools.cache
def why_not() -> str | None:
    """None if kernels can be emulated here, else the reason."""
    if shutil.which("g++") is None:
        return "the emulator compiles kernels with g++, which is not installed"
    done = subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True, check=False)
    if done.returncode or int(done.stdout.split(".")[0]) < 12:
        return f"the emulator needs g++ 12 or newer, not {done.stdout.strip()}"
    return None


def start(
    source: str, kernel: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any],
    *, shared: int, defines: Defines, touches: Sequence[Any] = (),
) -> None:  # fmt: skip
    """Run one kernel to its end; arguments as in `launch.launch`.

    Raises:
        EmulatorError: see there.
    """
    for record in _recording:
        record(source, kernel, grid, block, args, shared, defines, touches)
    start_text(sources.text(source), kernel, grid, block, args, shared=shared, defines=defines, touches=touches)


def start_text(
    text: str, kernel: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any],
    *, shared: int = 0, defines: Defines | None = None, touches: Sequence[Any] = (),
) -> None:  # fmt: skip
    """As `start`, for a kernel whose text is no file in this folder; `sources.with_header` puts device.cuh in front."""
    library = load(text, tuple(sources.flags(defines or {})))
    error, loaded, stored = call(library, kernel, grid, block, args, shared=shared, touches=touches)
    if error:
        raise EmulatorError(f"{kernel}: {error}")
    for traffic in _counting:
        traffic.loaded += loaded
        traffic.stored += stored
        traffic.launches += 1


def call(
    library: ctypes.CDLL, kernel: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any],
    *, shared: int, touches: Sequence[Any] = (),
) -> tuple[str, int, int]:  # fmt: skip
    """What went wrong (or nothing), and the bytes loaded and stored."""
    values = [x if isinstance(x, np.generic) else np.uintp(x.pointer) for x in args]
    boxes = [np.asarray(value) for value in values]
    arrays = [x for x in args if not isinstance(x, np.generic)] + list(touches)
    n, m = len(args), len(arrays)
    described = _Launch(
        grid=_three(grid), block=_three(block), shared_bytes=shared, count=n,
        arguments=(ctypes.c_void_p * n)(*(box.ctypes.data for box in boxes)),
        kinds="".join(map(_kind, args)).encode(),
        sizes=(ctypes.c_int * n)(*(x.dtype.itemsize for x in args)),
        buffers=m,
        begins=(ctypes.c_void_p * m)(*(x.pointer for x in arrays)),
        ends=(ctypes.c_void_p * m)(*(x.pointer + x.nbytes for x in arrays)),
        workers=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )  # fmt: skip
    getattr(library, f"start_{kernel}")(ctypes.byref(described))
    return described.error.decode(), described.loaded, described.stored


def _three(sizes: Sequence[int]) -> Any:
    return (ctypes.c_uint * 3)(*sizes, *[1] * (3 - len(sizes)))


def _kind(x: Any) -> str:
    """'p' for an array, 'f' for a real number, 'i' for an integer."""
    return "p" if not isinstance(x, np.generic) else "f" if x.dtype.kind == "f" else "i"


# ---- compiling ---------------------------------------------------------------------------------------------------


@functools.cache
def load(text: str, defines: tuple[str, ...]) -> ctypes.CDLL:
    """The library made from one text."""
    _runtime()
    return ctypes.CDLL(str(build(program(text), [*FLAGS, "-shared", *defines, *_header()])))


@functools.cache
def _runtime() -> ctypes.CDLL:
    """What all kernels call; loaded first, with its names visible to the others."""
    text = (FOLDER / "runtime.cpp").read_text(encoding="utf-8")
    return ctypes.CDLL(str(build(text, [*FLAGS, "-shared", f"-I{FOLDER}"])), mode=ctypes.RTLD_GLOBAL)


def _header() -> list[str]:
    return ["-include", str(FOLDER / "runtime.hpp")]


def program(text: str) -> str:
    """The text of a .cu file, and behind it for each kernel a function `start_<kernel>` that C can call."""
    starts = (
        f'extern "C" void start_{name}(emulator::Launch* launch) {{ emulator::Kernel<{name}>::start(*launch); }}\n'
        for name in sources.kernel_names(text)
    )
    return text + "\n" + "".join(starts)


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    home = os.environ.get("MINIBERT_CACHE") or Path.home() / ".cache" / "minibert"
    return Path(home) / "emulator"


def build(text: str, flags: Sequence[str]) -> Path:
    """A program or library made from C++ text, out of the cache if it was made before.

    Raises:
        EmulatorError: there is no g++, or it refuses the text.
    """
    reason = why_not()
    if reason is not None:
        raise EmulatorError(reason)
    known = "\0".join([text, *flags, (FOLDER / "runtime.hpp").read_text(encoding="utf-8"), _machine()])
    made = cache_folder() / f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.so"
    if made.exists():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
        written, result = Path(scratch, "kernel.cpp"), Path(scratch, "kernel.so")
        written.write_text(text, encoding="utf-8")
        command = ["g++", *flags, str(written), "-o", str(result)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EmulatorError(f"g++ refused a kernel:\n{done.stderr}")
        os.replace(result, made)  # whole or not at all: another process may be building the same
    return made


@functools.cache
def _machine() -> str:
    """The processor's abilities, for which -march=native compiles, and the compiler."""
    version = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=False).stdout
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return version + next((line for line in lines if line.startswith(("flags", "Features"))), "")
