"""The environment variables that minibert reads, and what they may say.

    MINIBERT_KERNELS           auto, always or never: whether kernels run; auto: where inputs are large enough
    MINIBERT_NUM_THREADS       how many threads they use, 1 to 1024; without it OMP_NUM_THREADS
    MINIBERT_DETERMINISTIC     1 or 0: whether results on a GPU are the same from run to run, where that costs time
    MINIBERT_CUDA              emulator: CUDA kernels run on the CPU, for tests
    MINIBERT_CACHE             the folder for downloads
    MINIBERT_TRACEBACK         1: commands show where an error came from

Each is looked at when it is first needed, and none when minibert is imported.
"""

from __future__ import annotations

import functools
import os

from minibert.kernels.cores import threads_of_variables

__all__ = ["check", "kernels_variable"]

WORDS = {
    "MINIBERT_KERNELS": ("auto", "always", "never"),
    "MINIBERT_DETERMINISTIC": ("1", "0"),
    "MINIBERT_CUDA": ("emulator",),
}
"""Variables that hold one of a few words; the first is the default where there are several."""


def check() -> None:
    """Look at all that decide how minibert computes.

    Raises:
        ValueError: one holds something else than described above.
    """
    for name, words in WORDS.items():
        text = os.environ.get(name, "")
        if text.strip() and text.strip() not in words:
            expected = " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
            raise ValueError(f"the environment variable {name} must be {expected}, got {text!r}")
    threads_of_variables()


@functools.cache
def kernels_variable() -> str:
    """What MINIBERT_KERNELS says; "never" where NUMBA_DISABLE_JIT turns Numba's compiler off.

    Raises:
        ValueError: as `check`.
    """
    check()
    if os.environ.get("NUMBA_DISABLE_JIT", "").strip() not in ("", "0"):
        return "never"  # Numba then leaves kernels as Python, and some of what they are made of exists compiled only
    return os.environ.get("MINIBERT_KERNELS", "").strip() or "auto"
