"""Which of its kernels OpenBLAS runs, settled before NumPy loads it.

OpenBLAS asks the processor for its family and picks kernels from a table. Families newer than the table get the
kernels of 2013, without AVX-512, although the processor has it: on an AMD Zen 5, matrix products ran at 224 GFLOP/s
that way and at 400 with the AVX-512 kernels (OpenBLAS 0.3.31, two cores). OpenBLAS reads its own variable
OPENBLAS_CORETYPE when it is loaded, so this must happen before NumPy is imported; after that, it changes nothing. A
variable that is set already is left alone.
"""

from __future__ import annotations

import os
import sys

NEWER_THAN_THE_TABLE = 26
"""AMD's family number of Zen 5; earlier ones are known to OpenBLAS."""


def choose_kernels() -> None:
    """Set OPENBLAS_CORETYPE where the table would choose badly and NumPy is not loaded yet."""
    if "numpy" in sys.modules or "OPENBLAS_CORETYPE" in os.environ or not sys.platform.startswith("linux"):
        return
    processor = _first_processor()
    flags = set(processor.get("flags", "").split())
    if (
        processor.get("vendor_id") == "AuthenticAMD"
        and processor.get("cpu family", "").isdigit()
        and int(processor["cpu family"]) >= NEWER_THAN_THE_TABLE
        and {"avx512f", "avx512dq", "avx512bw", "avx512vl"} <= flags
    ):
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"


def _first_processor() -> dict[str, str]:
    """The first block of /proc/cpuinfo, as far as it can be read."""
    values: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if not line.strip():
                    break
                name, _, value = line.partition(":")
                values[name.strip()] = value.strip()
    except OSError:
        pass
    return values
