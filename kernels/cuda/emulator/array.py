"""Arrays "on the device": NumPy's, kept apart from NumPy's as CuPy's are.

What CuPy would refuse is refused: a NumPy array among device arrays. New memory is filled with NaN (in integers: with
ones in every bit), so that what a kernel forgets to write is seen. And every way to look at a number from Python waits
for the GPU, so inside `no_synchronisation()` it is an error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np


class _Watch:
    forbidden = False


@contextmanager
def no_synchronisation() -> Iterator[None]:
    """Context manager: inside, whatever would make the CPU wait for the GPU raises a RuntimeError."""
    before, _Watch.forbidden = _Watch.forbidden, True
    try:
        yield
    finally:
        _Watch.forbidden = before


_COUNTING = {"argwhere", "compress", "extract", "flatnonzero", "nonzero", "unique"}
"""Functions whose result is as long as its numbers say: CuPy waits for these to make room for it."""


def _look(x: DeviceArray, how: str) -> np.ndarray:
    if _Watch.forbidden:
        raise RuntimeError(f"{how} of an array of shape {x.shape} makes the CPU wait for the GPU")
    return x.host


def _unwrapped(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value.host
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"a NumPy array of shape {value.shape} among arrays of the device")
    if isinstance(value, tuple | list):
        return type(value)(map(_unwrapped, value))
    if isinstance(value, slice):
        return slice(*map(_unwrapped, (value.start, value.stop, value.step)))
    return value


def _wrapped(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return DeviceArray(np.asarray(value))
    return tuple(map(_wrapped, value)) if isinstance(value, tuple) else value


class DeviceArray:
    """One array of the emulated device.

    Attributes:
        host: its numbers, for the emulator alone.
    """

    __array_ufunc__ = None  # NumPy leaves mixed operators to us
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray) -> None:
        self.host = host

    @property
    def pointer(self) -> int:
        """The address of the first number."""
        return int(self.host.ctypes.data)

    @property
    def data(self) -> Any:
        """As CuPy's: `.data.ptr` is the address."""
        return _Memory(self.pointer)

    @property
    def device(self) -> _Device:
        """The emulated GPU."""
        return _Device()

    @property
    def T(self) -> DeviceArray:
        """Transposed."""
        return DeviceArray(self.host.T)

    @property
    def base(self) -> Any:
        """The array that owns the memory, None if it is this one."""
        return self.host.base

    def __getattr__(self, name: str) -> Any:
        """shape, dtype, reshape(...), sum(...): as NumPy has them."""
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(_look(self, name) if name in _COUNTING else self.host, name)
        return _on_device(found) if callable(found) else found

    def __getitem__(self, index: Any) -> DeviceArray:
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, DeviceArray) and part.dtype == bool:
                _look(part, "the number of True")
        return DeviceArray(np.asarray(self.host[_unwrapped(index)]))

    def __setitem__(self, index: Any, value: Any) -> None:
        self.host[_unwrapped(index)] = _unwrapped(value)

    def __len__(self) -> int:
        return len(self.host)

    def __iter__(self) -> Iterator[DeviceArray]:
        return (self[i] for i in range(len(self)))

    def get(self) -> np.ndarray:
        """A copy as a NumPy array."""
        return np.array(_look(self, "get()"))

    def item(self) -> Any:
        """The one number."""
        return _look(self, "item()").item()

    def tolist(self) -> Any:
        """Nested lists."""
        return _look(self, "tolist()").tolist()

    def __float__(self) -> float:
        return float(_look(self, "float()"))

    def __int__(self) -> int:
        return int(_look(self, "int()"))

    def __bool__(self) -> bool:
        return bool(_look(self, "bool()"))

    def __index__(self) -> int:
        return operator.index(_look(self, "an index").item())

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("an array of the device does not turn into NumPy's by itself; use .get()")

    def __repr__(self) -> str:
        return f"DeviceArray({self.host!r})"


@dataclass(eq=True)  # as CuPy's: it compares, and has no hash
class _Device:
    id: int = 0


class _Memory:
    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


def _on_device(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return _wrapped(function(*_unwrapped(args), **{name: _unwrapped(value) for name, value in kwargs.items()}))

    return call


def _operators() -> None:
    """x + y, x @ y, -x, x == y, x += y and so on."""
    binary = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift"]
    for name in [*binary, "eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"]:
        function = getattr(operator, f"__{name}__")
        setattr(DeviceArray, f"__{name}__", _method(_on_device(function)))
        if name in binary:
            setattr(DeviceArray, f"__r{name}__", _method(_swapped(_on_device(function))))
            setattr(DeviceArray, f"__i{name}__", _in_place(getattr(operator, f"__i{name}__")))


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *others: function(self, *others)


def _swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y: function(y, x)


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: DeviceArray, other: Any) -> DeviceArray:
        function(self.host, _unwrapped(other))
        return self

    return method


_operators()


def _looking(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(x: DeviceArray, *args: Any, **kwargs: Any) -> Any:
        _look(x, name)
        return function(x, *args, **kwargs)

    return call


class _Namespace:
    """NumPy's functions and names, with arrays of the device in and out."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if isinstance(found, type) or not callable(found):
            return found
        made = _on_device(found)
        if name in _COUNTING:
            made = _looking(name, made)
        setattr(self, name, made)
        return made

    def asarray(self, x: Any, dtype: Any = None, *, copy: bool | None = None) -> DeviceArray:
        """An array of the device; NumPy's are copied onto it, as CuPy would."""
        host = x.host if isinstance(x, DeviceArray) else np.array(x)
        return DeviceArray(np.array(host, dtype) if copy else np.asarray(host, dtype))

    def matmul(self, x: DeviceArray, y: DeviceArray) -> DeviceArray:
        """As cuBLAS has it for 16-bit numbers: sums in float32, rounded in the end."""
        a, b = _unwrapped(x), _unwrapped(y)
        dtype = np.result_type(a, b)
        if dtype.itemsize != 2:
            return DeviceArray(np.asarray(np.matmul(a, b)))
        with np.errstate(over="ignore"):  # infinity, as on a GPU
            return DeviceArray(np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(dtype))

    def empty(self, shape: Any, dtype: Any = np.float64) -> DeviceArray:
        """New memory, every bit set: NaN."""
        host = np.empty(shape, dtype)
        host.reshape(-1).view(np.uint8)[:] = 0xFF
        return DeviceArray(host)

    def empty_like(self, x: DeviceArray, dtype: Any = None) -> DeviceArray:
        """New memory of x's shape."""
        return self.empty(x.shape, dtype=x.dtype if dtype is None else dtype)


namespace = _Namespace()


def device_array(x: Any, dtype: Any = None) -> DeviceArray:
    """A copy of `x` on the emulated device."""
    return DeviceArray(np.array(x, dtype, order="C"))
