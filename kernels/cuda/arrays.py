"""Arrays on a GPU: whose they are, and their library under the array standard's names.

On a machine with a GPU they are CuPy's. With MINIBERT_CUDA=emulator they are those of `emulator/`, on any machine:
slow, and for tests.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

MAX_HEAD = 128
"""The largest D of attention: a thread's share of a head must fit into its registers."""

MAX_WIDTH = 12_288
"""The largest H of layer normalisation: a warp keeps a row in shared memory."""

_MAKERS = {
    "arange", "asarray", "empty", "empty_like", "eye", "full", "full_like", "linspace", "ones", "ones_like", "zeros",
    "zeros_like",
}  # fmt: skip
"""What the standard lets say a device; CuPy makes arrays on the current one."""


class Namespace:
    """A library's functions as the array API standard calls them.

    CuPy has the standard's names, but its arrays do not tell their namespace, and it takes no `device=`.
    """

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._library, name)
        made = _without_device(found) if name in _MAKERS else found
        setattr(self, name, made)
        return made


def _without_device(make: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(make)
    def called(*args: Any, device: Any = None, **kwargs: Any) -> Any:
        return make(*args, **kwargs)

    return called


def is_on_device(x: Any) -> bool:
    """Whether `x` is an array on a GPU, or on the emulated one."""
    module = type(x).__module__
    return module.partition(".")[0] == "cupy" or module == f"{__package__}.emulator.array"


def library_of(x: Any) -> Any:
    """The library of an array on a GPU.

    Raises:
        TypeError: it is on no GPU.
    """
    if not is_on_device(x):
        raise TypeError(f"expected an array on a GPU, got {type(x).__module__}.{type(x).__qualname__}")
    return _cupy() if type(x).__module__.partition(".")[0] == "cupy" else _emulated()


def namespace_of(x: Any) -> Namespace:
    """The library of an array on a GPU, under the standard's names."""
    return _namespace(library_of(x))


@functools.cache
def _namespace(library: Any) -> Namespace:
    return Namespace(library)


def _cupy() -> Any:
    import cupy

    return cupy


def _emulated() -> Any:
    from .emulator.array import namespace

    return namespace


def open_device() -> Any:
    """The library that makes arrays on the GPU of this machine.

    Raises:
        ValueError: there is no CuPy, no driver or no GPU; or no compiler for the emulator.
    """
    if os.environ.get("MINIBERT_CUDA") == "emulator":
        from .emulator.library import why_not

        if (reason := why_not()) is not None:
            raise ValueError(f"device 'cuda': {reason}")
        return _emulated()
    if importlib.util.find_spec("cupy") is None:
        raise ValueError("device 'cuda' needs CuPy: pip install 'minibert-numpy[cuda12]' (or [cuda13])")
    cupy = _cupy()
    try:
        available = cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:  # CuPy raises its own error types here, which differ between versions, when there is no driver
        available = False
    if not available:
        raise ValueError("device 'cuda': CuPy is installed, but no CUDA device or driver was found")
    return cupy


def fits(name: str, arrays: Sequence[Any]) -> bool:
    """Whether the kernel of op `name` computes in the arrays' dtypes, and holds their sizes.

    Activations are all of one kind, parameters are float32. Linear layers and tanh have kernels for 16 bits only.
    """
    kinds = [str(x.dtype) for x in arrays]
    places = {"add_layer_norm": (0, 2), "adam": (), "embedding_sum": ()}.get(name, (0,))  # of the activations
    activations = {kinds[i] for i in places}
    parameters = {kind for i, kind in enumerate(kinds) if i not in places}
    if len(activations) > 1 or activations - {"float32", "float16", "bfloat16"} or parameters - {"float32"}:
        return False
    if name in ("linear", "projections", "tanh"):
        return kinds[0] != "float32"
    if name == "attention":
        return bool(arrays[0].shape[3] <= MAX_HEAD)
    if name in ("layer_norm", "add_layer_norm"):
        return bool(arrays[0].shape[-1] <= MAX_WIDTH)
    return True
