"""The GPU that a benchmark runs on: what it could reach, and its own clock.

Its limits come from its attributes. A multiprocessor has so many units for float32, by its generation, each of which
multiplies and adds once a cycle; memory moves two words of the bus's width a cycle. The clocks are the highest that the
card may run at, so nobody reaches these limits for long.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from minibert import backend

__all__ = ["Card", "card", "clock", "limits"]

UNITS = {(7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}
"""Units for float32 of a multiprocessor, by compute capability; 128 in those not listed, all newer."""


@dataclass(frozen=True)
class Card:
    """A GPU.

    Attributes:
        name: the maker's.
        flops: float32 multiplications and additions a second, on its ordinary units; None if it does not tell.
        bandwidth: bytes a second that its memory moves; None if it does not tell.
        emulated: there is none, and times say nothing.
    """

    name: str
    flops: float | None = None
    bandwidth: float | None = None
    emulated: bool = False

    def __str__(self) -> str:
        if self.emulated:
            return f"{self.name}: times say nothing"
        told = [self.name]
        told += [f"{self.flops / 1e12:.1f} TFLOP/s in float32"] if self.flops else []
        told += [f"{self.bandwidth / 1e9:,.0f} GB/s"] if self.bandwidth else []
        return ", ".join(told)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def limits(attributes: Mapping[str, int]) -> tuple[float | None, float | None]:
    """FLOP/s in float32 and bytes/s, from a device's attributes as CuPy names them; clocks are in kHz."""

    def of(*names: str) -> int:
        product = 1
        for name in names:
            product *= attributes.get(name, 0)
        return product

    capability = attributes.get("ComputeCapabilityMajor", 0), attributes.get("ComputeCapabilityMinor", 0)
    flops = 2.0 * UNITS.get(capability, 128) * of("MultiProcessorCount", "ClockRate") * 1e3
    bandwidth = 2.0 * of("MemoryClockRate", "GlobalMemoryBusWidth") * 1e3 / 8
    return flops or None, bandwidth or None


def card() -> Card:
    """The card that device "cuda" is.

    Raises:
        ValueError: there is none, or no CuPy.
    """
    backend.check_device("cuda")
    if is_emulated():
        return Card("the emulator on the CPU", emulated=True)
    import cupy

    device = cupy.cuda.Device()
    name = cupy.cuda.runtime.getDeviceProperties(device.id)["name"]
    return Card(name.decode() if isinstance(name, bytes) else str(name), *limits(device.attributes))


def is_emulated() -> bool:
    """Whether device "cuda" is the emulator."""
    return os.environ.get("MINIBERT_CUDA") == "emulator"


def clock(make_event: Callable[[], Any] | None, elapsed_ms: Callable[[Any, Any], float]) -> Callable[..., float]:
    """What times a run in seconds by two events on the GPU's stream, before it and after it.

    Args:
        make_event: gives an event of a library, with record() and synchronize(). None: the CPU's clock.
        elapsed_ms: milliseconds between two events.
    """

    def timed(run: Callable[[], None]) -> float:
        if make_event is None:
            return wall(run)
        begin, end = make_event(), make_event()
        begin.record()
        run()
        end.record()
        end.synchronize()
        return elapsed_ms(begin, end) / 1e3

    return timed


def wall(run: Callable[[], None]) -> float:
    """Seconds of a run, by the CPU's clock."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
