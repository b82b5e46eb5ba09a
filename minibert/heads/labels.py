"""What the heads share: labels brought into shape, and the loss of one label a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert import backend, ops
from minibert.autograd import Tensor
from minibert.config import BertConfig
from minibert.packing import integers, rectangle


def sequence_loss(logits: Tensor, labels: Any) -> Any:
    """Cross-entropy of logits (B, K) and labels (B,); None without labels."""
    if labels is None:
        return None
    y = integers(labels, "labels").reshape(-1)
    return ops.cross_entropy(logits, shaped(y, logits.shape[:1], "labels"))


def numbers(x: Any, name: str) -> np.ndarray:
    """`x` as a NumPy array of integers, real numbers or booleans.

    Raises:
        ValueError: it is ragged, or not numbers.
    """
    array = backend.to_numpy(x.data if isinstance(x, Tensor) else rectangle(x, name))
    if array.dtype.kind not in "iufb":
        raise ValueError(f"{name} must be numbers, got {array.dtype}")
    return array


def check_label_count(config: BertConfig, classifier: Any) -> None:
    """Raise ValueError where the configuration names more or fewer labels than the classifier has rows.

    It was changed after the model was made, and its names would stand at the wrong answers.
    """
    weight = getattr(classifier, "weight", None)  # a user's own head may have none
    if weight is not None and weight.shape[0] != config.num_labels:
        raise ValueError(
            f"the classifier has {weight.shape[0]} labels and the configuration now names {config.num_labels}; make a "
            "new model for another number of labels (from_pretrained(..., num_labels=..., "
            "ignore_mismatched_sizes=True))"
        )


def shaped(x: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """`x`, if it has this shape; a ValueError with its name otherwise."""
    if x.shape != shape:
        raise ValueError(f"{name} has shape {x.shape}, expected {shape}")
    return x
