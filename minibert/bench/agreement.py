"""Outputs must agree before anything is timed: a fast wrong answer is no answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minibert.bench.workloads import Kind

TOLERANCES: dict[Kind, tuple[float, str]] = {
    # Sums in another order. Seen: up to 1e-5 through twelve layers. A tanh in place of erf, a pad that is attended to,
    # bfloat16 in place of float32: all above 1e-3.
    "encode": (2e-4, "float32 sums in another order, through twelve layers of values around 1"),
    # The loss is around 10, where float32 has seven digits; gradients are taken relative to the norm of all together.
    "pretrain": (2e-4, "float32 sums in another order, in the loss and in gradients relative to their norm"),
    "finetune": (2e-4, "float32 sums in another order, in the loss and in gradients relative to their norm"),
    "attention": (5e-5, "float32 sums in another order, over one row of scores"),
    "cold": (1e-4, "probabilities of the best words, float32"),
}


class Disagreement(ValueError):
    """Two sides' outputs differ by more than rounding can explain."""


def difference(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], tolerance: float) -> float:
    """The largest difference of two sides' outputs, compared by name.

    Raises:
        Disagreement: it is above `tolerance`, a name or a shape differs, or something is not a finite number.
    """
    if ours.keys() != theirs.keys():
        odd = sorted(ours.keys() ^ theirs.keys())
        raise Disagreement(f"only one side gives {odd[0]!r}")
    worst, where = 0.0, ""
    for name, a in ours.items():
        b = theirs[name]
        if a.shape != b.shape:
            raise Disagreement(f"{name} has shape {a.shape} here and {b.shape} there")
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise Disagreement(f"{name} holds an infinity or NaN")
        largest = float(np.abs(a.astype(np.float64) - b).max(initial=0.0))
        if largest > worst:
            worst, where = largest, name
    if worst > tolerance:
        raise Disagreement(f"{where} differs by {worst:.1e}, and {tolerance:.0e} is allowed")
    return worst
