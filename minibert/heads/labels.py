"""What the heads share: labels brought into shape, and the loss of one label a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert import ops
from minibert.autograd import Tensor
from minibert.packing import integers


def sequence_loss(logits: Tensor, labels: Any) -> Any:
    """Cross-entropy of logits (B, K) and labels (B,); None without labels."""
    if labels is None:
        return None
    y = integers(labels, "labels").reshape(-1)
    return ops.cross_entropy(logits, shaped(y, logits.shape[:1], "labels"))


def shaped(x: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """`x`, if it has this shape; a ValueError with its name otherwise."""
    if x.shape != shape:
        raise ValueError(f"{name} has shape {x.shape}, expected {shape}")
    return x
