"""The one place that knows NumPy from CuPy, and an explicit op from its fused kernel.

Everything else in minibert asks an array for its own namespace (`namespace(x)`) and uses names of the Python array API
standard, which NumPy, CuPy and array-api-strict share. The few things that the standard lacks are functions here.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minibert import forking
from minibert.environment import kernels_variable
from minibert.modes import Mode
from minibert.number_like import as_float, is_float

forking.wait_at_forks()

Array: TypeAlias = Any
"""An array of NumPy, CuPy or another library of the array API standard; the standard defines no type for them."""


def namespace(x: Array) -> Any:
    """The module (`numpy`, `cupy`, ...) whose functions work on `x`."""
    try:
        return x.__array_namespace__()
    except AttributeError:  # CuPy's arrays have no such method
        return _cuda().namespace_of(x)


def is_array(x: Any) -> bool:
    """Whether `x` is an array of one of these libraries, not a number or a list."""
    return hasattr(x, "__array_namespace__") or device_of(x) == "cuda"


def asarray(x: Any, *, dtype: str | None = None, like: Array | None = None) -> Array:
    """`x` as an array: arrays stay what and where they are, numbers and lists become NumPy's float32 or integers.

    NumPy's numbers keep their dtype, in lists, too.

    Args:
        x: array, nested lists, number.
        dtype: name of the wanted dtype, e.g. "float64".
        like: take this array's library, device and dtype.

    Raises:
        ValueError: if `x` is not numbers, or ragged.
    """
    if like is not None:
        xp = namespace(like)
        if not is_array(x) or namespace(x) is not xp:
            x = xp.asarray(to_numpy(x) if device_of(x) == "cuda" else _from_python(x), device=like.device)
        return x if x.dtype == like.dtype else xp.astype(x, like.dtype)
    if not is_array(x) or isinstance(x, np.generic):  # NumPy gives 0-d results as scalars
        x = _from_python(x) if dtype is not None else _in_single_precision(x)
    elif isinstance(x, np.ndarray) and x.dtype.kind in "cOSUmM":
        raise ValueError(f"expected numbers, got an array of dtype {x.dtype}")
    if dtype is None or x.dtype == dtype_of(x, dtype):
        return x
    return namespace(x).astype(x, dtype_of(x, dtype))


def index_array(x: Any, *, like: Array) -> Array:
    """Integers or booleans as an array of `like`'s library and device, keeping their own dtype."""
    if isinstance(x, list):
        x = np.asarray(x)
    xp = namespace(like)
    if is_array(x) and namespace(x) is xp:
        return x
    return xp.asarray(x, device=like.device)


def _from_python(x: Any) -> np.ndarray:
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"expected a rectangular array of numbers: {error}") from None
    if array.dtype.kind == "O" and is_float(x):  # a fraction, or an integer of more than 64 bits
        array = np.asarray(as_float("a number", x))
    if array.dtype.kind not in "biuf":
        raise ValueError(f"expected numbers, got {type(x).__name__} of dtype {array.dtype}")
    return array


def _in_single_precision(x: Any) -> np.ndarray:
    """A bare Python float means "a real number", not "double precision": float32 is the default everywhere."""
    array = _from_python(x)
    return array.astype(np.float32) if array.dtype == np.float64 and not _has_dtype(x) else array


def _has_dtype(x: Any) -> bool:
    """Whether `x` is an array, one of NumPy's numbers, or a list with one of these somewhere inside."""
    if isinstance(x, (list, tuple)):
        return any(_has_dtype(item) for item in x)
    return type(x) is not float and (hasattr(x, "dtype") or hasattr(x, "__array__"))


def dtype_of(x: Array, name: Any) -> Any:
    """The dtype called `name` in `x`'s library; only names that a model can compute in are known."""
    known = ("float32", "float64", "float16", "int32", "int64", "uint32", "uint64", "bool")
    try:
        text = np.dtype(name).name
    except TypeError:  # another library's, or nothing of the kind
        text = str(name).rpartition(".")[2]
    if name is None or text not in known:
        raise ValueError(f"unknown dtype {name!r}; expected one of {', '.join(known)}")
    return getattr(namespace(x), text) if text != "bool" else namespace(x).bool


def is_floating(x: Array) -> bool:
    """True for real floating dtypes."""
    return bool(namespace(x).isdtype(x.dtype, "real floating"))


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a NumPy array; copied if it lives on a GPU."""
    if isinstance(x, np.ndarray):
        return x
    return x.get() if hasattr(x, "get") else np.asarray(x)


def device_of(x: Any) -> str:
    """ "cuda" for arrays on a GPU (CuPy's, or those of the kernels' emulator), "cpu" for all others."""
    module = type(x).__module__
    return "cuda" if module.partition(".")[0] == "cupy" or module == _EMULATED else "cpu"


_EMULATED = "minibert.kernels.cuda.emulator.array"


def _cuda() -> Any:
    return importlib.import_module("minibert.kernels.cuda.arrays")


def checkable(given: Any, moved: Array) -> Array:
    """Of indices as they were given and as they were moved to a model's device, those to look at.

    A look at an array on a GPU waits for all that the GPU still has to do. So what came from the CPU is checked there.
    """
    return moved if device_of(moved) == "cpu" or device_of(given) == "cuda" else to_numpy(np.asarray(given))


def to_device(x: Array, device: str) -> Array:
    """`x` on "cpu" (NumPy) or "cuda" (CuPy).

    Raises:
        ValueError: unknown device; or "cuda" without CuPy or without a GPU driver.
    """
    if device == "cpu":
        return to_numpy(x)
    check_device(device)
    return x if device_of(x) == "cuda" else _cuda().open_device().asarray(to_numpy(x))


def check_device(device: str) -> None:
    """Whether there is such a device here.

    Raises:
        ValueError: unknown device; or "cuda" without CuPy or without a GPU driver.
    """
    if device not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {device!r}; expected 'cpu' or 'cuda'")
    if device == "cuda":
        _cuda().open_device()


def scatter_add(index: Array, rows: Array, length: int) -> Array:
    """Sum rows that share an index: out[i] = sum of rows[t] over all t with index[t] == i.

    The backward pass of a gather. The array standard has no accumulating assignment, so each library has its own way.

    Args:
        index: (T,) integers in 0..length-1.
        rows: (T, H).

    Returns:
        (length, H) in the dtype of `rows`; the sums are taken in the order of t, so the result is reproducible.
    """
    if isinstance(rows, np.ndarray):
        out = np.zeros((length, *rows.shape[1:]), rows.dtype)
        if len(index):
            order = np.argsort(index, kind="stable")
            present, first = np.unique(index[order], return_index=True)
            out[present] = np.add.reduceat(rows[order], first, axis=0)
        return out
    xp = namespace(rows)
    if device_of(rows) == "cuda" and str(rows.dtype) in ("float32", "float16", "bfloat16"):
        flat = xp.reshape(rows, (rows.shape[0], math.prod(rows.shape[1:])))
        module = importlib.import_module("minibert.kernels.cuda.embedding_sum")
        return xp.reshape(xp.astype(module.scatter_add(index, flat, length), rows.dtype), (length, *rows.shape[1:]))
    out = xp.zeros((length, *rows.shape[1:]), dtype=rows.dtype, device=rows.device)
    for t in range(index.shape[0]):
        out[int(index[t]), ...] += rows[t, ...]
    return out


class Kernel(NamedTuple):
    """A fused replacement for one op.

    `forward(*arrays, **options)` gives (result, saved); `backward(dy, saved, needs, **options)` gives the tuple of
    input gradients. Same contract as the op's own methods, and held against them by the tests. A forward with a
    parameter `needs` (`asks_needs`) is told already which gradients will be wanted.
    """

    forward: Callable[..., tuple[Array, tuple[Any, ...]]]
    backward: Callable[..., tuple[Array | None, ...]]
    asks_needs: bool = False


CPU_KERNELS = {
    "add_layer_norm": "add_layer_norm",
    "attention": "attention",
    "bias_gelu": "bias_gelu",
    "cross_entropy": "cross_entropy",
    "dropout": "dropout",
    "embedding_sum": "embedding_sum",
    "gelu": "gelu",
    "gelu_tanh": "gelu",
    "layer_norm": "layer_norm",
    "linear": "linear",
    "linear_cross_entropy": "linear_cross_entropy",
    "projections": "projections",
    "softmax": "softmax",
}
"""Kernels for the CPU by name, and the module of `kernels/cpu` that holds `<name>_forward` and `<name>_backward`.

An op class names its kernel in its class statement, `class Gelu(Op, kernel="gelu")`; what a class is called decides
nothing.
"""

CUDA_KERNELS = {
    "add_layer_norm": "add_layer_norm",
    "attention": "attention",
    "bias_gelu": "bias_gelu",
    "cross_entropy": "cross_entropy",
    "dropout": "dropout",
    "embedding_sum": "embedding_sum",
    "gelu": "gelu",
    "gelu_tanh": "gelu",
    "layer_norm": "layer_norm",
    "linear": "linear",
    "linear_cross_entropy": "linear_cross_entropy",
    "projections": "linear",
    "tanh": "tanh",
}
"""The same for GPUs and `kernels/cuda`. Of the other ops most are matrix products, which CuPy hands to cuBLAS."""

CUDA_MODULES = ("adam",)
"""What else there is for GPUs: modules that replace no op."""

SMALL = 2**13
"""Inputs with fewer numbers than this, all arrays of an op together, stay with the explicit op.

There NumPy's handful of calls takes some ten microseconds, about what a kernel takes; and a program that only ever sees
such inputs never has to load Numba, which takes longer than all its arithmetic.
"""


class _Switch:
    """Where kernels run: the variable MINIBERT_KERNELS says "auto" (from `SMALL` numbers on), "always" or "never"."""

    def __init__(self) -> None:
        self.mode = Mode("kernels", None)  # None: as the variable says, which is read when that is wanted
        self._smallest: int | None = None

    @property
    def on(self) -> bool:
        value = self.mode.get()
        return kernels_variable() != "never" if value is None else bool(value)

    @on.setter
    def on(self, value: bool) -> None:
        self.mode.set(value)

    @property
    def smallest(self) -> int:
        if self._smallest is None:
            return 0 if kernels_variable() == "always" else SMALL
        return self._smallest

    @smallest.setter
    def smallest(self, value: int) -> None:
        self._smallest = value


_switch = _Switch()


def kernel_for(name: str, arrays: tuple[Array, ...]) -> Kernel | None:
    """The kernel `name` for these arrays, or None: then the explicit op runs."""
    if name in CPU_KERNELS and _pays(arrays):
        return _load_kernel("cpu", name)
    if name in CUDA_KERNELS and _fits_cuda(name, arrays):
        return _load_kernel("cuda", name)
    return None


def kernel_module(name: str, arrays: Sequence[Array]) -> Any | None:
    """The module `kernels/<device>/<name>.py`, for what is no op (the optimiser), where kernels run on such arrays."""
    if arrays and _pays(arrays):
        return importlib.import_module(f"minibert.kernels.cpu.{name}")
    if arrays and name in CUDA_MODULES and _fits_cuda(name, arrays):
        return importlib.import_module(f"minibert.kernels.cuda.{name}")
    return None


def _pays(arrays: Sequence[Array]) -> bool:
    """Whether kernels are on, and for such arrays, on the CPU."""
    if not _switch.on or not all(isinstance(x, np.ndarray) for x in arrays):
        return False
    return arrays[0].dtype in (np.float32, np.float64) and sum(x.size for x in arrays) >= _switch.smallest


def _fits_cuda(name: str, arrays: Sequence[Array]) -> bool:
    """Whether kernels are on, and for such arrays, on a GPU. There they compute in float32 whatever the size."""
    if not _switch.on or any(isinstance(x, np.ndarray) or device_of(x) != "cuda" for x in arrays):
        return False
    return bool(_cuda().fits(name, arrays))


@functools.cache
def _load_kernel(device: str, name: str) -> Kernel:
    table = CPU_KERNELS if device == "cpu" else CUDA_KERNELS
    module = importlib.import_module(f"minibert.kernels.{device}.{table[name]}")
    forward, backward = getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward")
    return Kernel(forward, backward, asks_needs="needs" in inspect.signature(forward).parameters)


def kernels_are_on() -> bool:
    """Whether large inputs run through kernels, in this thread and now."""
    return bool(_switch.on)


def kernels_off(function: Any = None) -> Any:
    """Context manager or decorator: every op runs its explicit forward and backward inside."""
    return _switch.mode.block("kernels_off", False, function)


MATMUL_PRECISIONS = ("highest", "medium")


def set_float32_matmul_precision(precision: str) -> None:
    """How exact the products of float32 matrices are, as PyTorch's function of this name.

    Args:
        precision: "highest", in float32; or "medium": kernels on the CPU may round the two factors to bfloat16 (three
            digits, sums in float32) where the processor has an instruction for that, and be nearly twice as fast.
            Meant for training; explicit ops, attention and products of few rows are exact either way.

    Raises:
        ValueError: another word.
    """
    if precision not in MATMUL_PRECISIONS:
        raise ValueError(f"the precision of products is {' or '.join(MATMUL_PRECISIONS)}, got {precision!r}")
    from minibert.kernels.cpu import matmul

    matmul.precision = precision


def get_float32_matmul_precision() -> str:
    """ "highest" or "medium"."""
    from minibert.kernels.cpu import matmul

    return matmul.precision


def set_num_threads(threads: int) -> None:
    """How many threads kernels and matrix products use.

    By default what MINIBERT_NUM_THREADS or OMP_NUM_THREADS says, else the cores that this process may use; in a
    container whose quota of CPU time is less than that, as many as the quota amounts to.

    Raises:
        ValueError: not an integer from 1 to 1024.
    """
    from minibert.kernels.cores import MOST_THREADS
    from minibert.kernels.cpu import threads as pool
    from minibert.number_like import as_int

    pool.set_num_threads(as_int("the number of threads", threads, least=1, most=MOST_THREADS))


def get_num_threads() -> int:
    """How many threads kernels and matrix products use."""
    from minibert.kernels.cpu import threads as pool

    return pool.get_num_threads()
