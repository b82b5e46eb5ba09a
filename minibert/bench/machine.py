"""The machine that figures come from, and what was installed on it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "minibert", "numpy", "numba", "threadpoolctl",
    "torch", "transformers", "tokenizers", "onnxruntime", "onnx", "openvino",
)  # fmt: skip
PREFIXES = (
    "OMP_", "OPENBLAS_", "MKL_", "KMP_", "GOMP_", "NUMBA_", "MINIBERT_", "ONEDNN_", "DNNL_", "MALLOC_", "LD_PRELOAD",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Processor, cores, memory, versions, and the variables that could matter."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": _memory_gib(),
        "load": load(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "environment": {key: value for key, value in sorted(os.environ.items()) if key.startswith(PREFIXES)},
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float | None:
    """How many programs wanted to run, on average over the last minute, where the system tells."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        if package != "minibert":
            return None
        import minibert

        return minibert.__version__


def _processor() -> str:
    """The model's name, and its widest vectors: names of virtual machines tell little."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name", platform.machine())
    family = f", family {facts['cpu family']} model {facts['model']}" if {"cpu family", "model"} <= facts.keys() else ""
    flags = facts.get("flags", "").split()
    wide = next((flag for flag in ("amx_tile", "avx512f", "avx2", "avx") if flag in flags), "")
    return name + family + (f", {wide}" if wide else "")


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
