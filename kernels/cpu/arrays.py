"""The one form in which arrays are handed to compiled functions.

Numba compiles a function anew for each kind of argument, and a read-only array is another kind than a writeable
one. The tape makes arrays read-only while it holds them, so one and the same kernel would meet its inputs in every
mixture of the two, and compile for seconds each time. Therefore inputs are always handed over read-only, and
results writeable.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def inputs(*arrays: Any) -> tuple[Any, ...]:
    """Each array contiguous and read-only: a view of it where its memory allows that, else a copy."""
    return tuple(_read_only(x) for x in arrays)


def rows(*arrays: Any) -> tuple[Any, ...]:
    """As `inputs`, each (..., C) in the form (R, C)."""
    return tuple(_read_only(x.reshape(math.prod(x.shape[:-1]), x.shape[-1] if x.ndim else 1)) for x in arrays)


def _read_only(x: Any) -> Any:
    contiguous = x if x.flags.c_contiguous and x.flags.aligned else np.array(x, order="C")
    view = np.ndarray.view(contiguous, np.ndarray)  # a plain array, whatever subclass the caller's is
    view.flags.writeable = False
    return view
