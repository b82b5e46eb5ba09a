"""One file a library: how it loads the model and runs a workload."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.bench.card import wall
from minibert.bench.inputs import Batch, batch, config_of
from minibert.bench.workloads import Workload, by_name, shortened
from minibert.config import BertConfig

__all__ = ["Job", "Side", "library"]


@dataclass(frozen=True)
class Job:
    """What a side is to do; plain values, so that it can be sent to a process.

    Attributes:
        side: name of the peer, or "minibert".
        workload: its name.
        form: how a ragged batch is given: "padded" or "sorted".
        size: of the model: "base" or "tiny".
        threads: how many to compute with.
        folder: of the checkpoint; or the file, for a library that reads another form.
        device: "cpu" or "cuda".
    """

    side: str
    workload: str
    form: str
    size: str
    threads: int
    folder: str
    device: str = "cpu"

    def what(self) -> Workload:
        """The workload itself."""
        found = by_name(self.workload)
        return shortened(found) if self.device == "cuda" and self.size == "tiny" else found

    def config(self) -> BertConfig:
        """The model's sizes."""
        return config_of(self.size)

    def batch(self) -> Batch:
        """What the workload runs on."""
        return batch(self.what(), self.config())


class Side(ABC):
    """A library ready to run a workload.

    Attributes:
        clock: what times a run, in seconds: the CPU's clock, or the GPU's.
    """

    clock: Callable[[Callable[[], None]], float] = staticmethod(wall)

    def prepare(self) -> None:
        """What must be done anew before each run and is not timed: nothing, for most."""
        return

    @abstractmethod
    def run(self) -> None:
        """What is timed."""

    @abstractmethod
    def outputs(self) -> dict[str, np.ndarray]:
        """What comes out, without dropout, for comparison by name; and then be ready to run."""

    def device_mib(self) -> float | None:
        """The most memory that the library held on a GPU, in MiB; None on the CPU."""
        return None


_MODULES = {
    "minibert": "ours", "explicit": "ours", "limit": "limit", "torch-sdpa": "on_torch", "torch-eager": "on_torch",
    "onnxruntime": "on_onnxruntime", "openvino": "on_openvino",
}  # fmt: skip


def library(side: str) -> Any:
    """The module of a side. Its import brings the library; its `make(job)` makes the `Side`."""
    if side == "minibert":  # its kernels are imported when the first one runs; here they are part of the imports
        importlib.import_module("minibert.kernels.cpu.matmul")
    return importlib.import_module(f"minibert.bench.sides.{_MODULES[side]}")
