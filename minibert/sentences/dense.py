"""The linear layer with an activation that some sentence encoders have after their pooling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.autograd import Tensor, no_grad
from minibert.checkpoint.errors import CheckpointError, one_line
from minibert.checkpoint.weights import read_weights
from minibert.config import ACTIVATIONS
from minibert.json_file import read_object
from minibert.pipelines.scores import sigmoid

__all__ = ["Dense", "read_dense"]

Array = NDArray[Any]


def _op(name: str) -> Callable[[Array], Array]:
    return lambda x: np.asarray(ACTIVATIONS[name](Tensor(x)).numpy())


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x,
    "Tanh": _op("tanh"),
    "ReLU": _op("relu"),
    "GELU": _op("gelu"),
    "Sigmoid": lambda x: np.asarray(sigmoid(x), x.dtype),
}
"""By the class names of torch, which the files hold."""


@dataclass
class Dense:
    """activation(x W^T + b).

    Attributes:
        weight: W (out, in). bias: b (out,), or None.
        activation: a key of `_ACTIVATIONS`.
    """

    weight: Array
    bias: Array | None
    activation: str

    def __call__(self, x: Array) -> Array:
        """(B, in) to (B, out), in the dtype of `x`."""
        y = x @ self.weight.T.astype(x.dtype, copy=False)
        if self.bias is not None:
            y = y + self.bias.astype(x.dtype, copy=False)
        with no_grad():
            return _ACTIVATIONS[self.activation](y)


def read_dense(folder: Path) -> Dense:
    """The layer in `folder`: config.json, and model.safetensors or pytorch_model.bin.

    Raises:
        CheckpointError: files that are missing or do not fit together, or an activation that is unknown.
    """
    path = folder / "config.json"
    try:
        config = read_object(path)
        sizes = (config["out_features"], config["in_features"])
        activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} does not describe a Dense module: {one_line(repr(error), 100)}") from error
    if activation not in _ACTIVATIONS:
        raise CheckpointError(f"{path}: unknown activation {activation!r}; expected one of {', '.join(_ACTIVATIONS)}")
    weights = read_weights(folder)
    if "linear.weight" not in weights or weights.shape("linear.weight") != sizes:
        raise CheckpointError(f"{folder}: expected a tensor linear.weight of shape {sizes}, found {_found(weights)}")
    bias = weights.get("linear.bias")
    if (bias is None and config.get("bias", True)) or (bias is not None and bias.shape != sizes[:1]):
        raise CheckpointError(f"{folder}: expected a tensor linear.bias of shape {sizes[:1]}, found {_found(weights)}")
    return Dense(weights["linear.weight"], bias, activation)


def _found(weights: Any) -> str:
    return ", ".join(f"{name} {weights.shape(name)}" for name in weights) or "no tensor"
