"""The two places where a CUDA kernel can run, and the comparison of an op with its kernel there."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from minibert.autograd import Op
from minibert.philox import Key

KEY = Key(seed=2**40 + 3, stream=2**33 + 5)  # both words of each in use
NO_DROPOUT: dict[str, Any] = {"p": 0.0, "key": None}
DROPOUT: dict[str, Any] = {"p": 0.3, "key": KEY}


class Device(Protocol):
    name: str

    def array(self, x: Any) -> Any: ...

    def numpy(self, x: Any) -> np.ndarray: ...


class Emulator:
    name = "emulator"

    def array(self, x: Any) -> Any:
        from minibert.kernels.cuda.emulator import device_array

        return device_array(x)

    def numpy(self, x: Any) -> np.ndarray:
        found: np.ndarray = x.get()
        return found


class Gpu:
    name = "gpu"

    def array(self, x: Any) -> Any:
        import cupy

        return cupy.asarray(x)

    def numpy(self, x: Any) -> np.ndarray:
        found: np.ndarray = x.get()
        return found


def explicit(op_class: type[Op], arrays: list[np.ndarray], dy: np.ndarray, **options: Any) -> list[np.ndarray]:
    """Result and gradients of the op in float64."""
    op = op_class()
    op.needs = (True,) * len(arrays)
    y = op.forward(*(x.astype(np.float64) for x in arrays), **options)
    grads = op.backward(dy.astype(np.float64))
    return [np.asarray(y), *(grads if isinstance(grads, tuple) else (grads,))]


def fused(
    device: Device, module: Any, name: str, arrays: list[np.ndarray], dy: np.ndarray, **options: Any
) -> list[np.ndarray]:
    """Result and gradients of the kernel on a device; arrays among the options go there, too."""
    options = {k: device.array(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    y, saved = getattr(module, f"{name}_forward")(*map(device.array, arrays), **options)
    needs = (True,) * len(arrays)
    grads = getattr(module, f"{name}_backward")(device.array(dy), saved, needs, **options)
    return [device.numpy(x) for x in (y, *grads)]


def relative_error(ours: np.ndarray, truth: np.ndarray) -> float:
    """The largest difference over the largest number: what a float32 sum can promise. NaN counts as infinite."""
    assert ours.shape == truth.shape
    difference = float(np.abs(ours.astype(np.float64) - truth).max(initial=0.0))
    return difference / max(float(np.abs(truth).max(initial=0.0)), 1e-30) if math.isfinite(difference) else math.inf


def rms(x: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(x.astype(np.float64))))) if x.size else 0.0


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)
