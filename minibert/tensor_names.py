"""What PyTorch's and NumPy's users look for at a tensor, and how it is written here."""

from __future__ import annotations

import importlib

__all__ = ["missing_attribute"]

_HERE = {
    "argmin": "(-x).argmax()",
    "clamp": "x.clip(min, max)",
    "cpu": "x.numpy()",
    "dim": "x.ndim",
    "double": "x.astype('float64')",
    "expand": "minibert.ops.broadcast_to(x, shape=...)",
    "float": "x.astype('float32')",
    "mT": "x.T",
    "masked_fill": "minibert.ops.where(mask, value, x)",
    "numel": "x.size",
    "pow": "x ** y",
    "ravel": "x.flatten()",
    "square": "x ** 2",
    "swapaxes": "x.transpose(axis1, axis2)",
    "to": "x.astype(dtype)",
    "view": "x.reshape(...)",
}


def missing_attribute(name: str) -> str:
    """The message for an attribute that a tensor does not have; it says what does the same, if anything does."""
    message = f"'Tensor' object has no attribute {name!r}"
    if name.startswith("_"):
        return message
    if name in _HERE:
        return f"{message}; write {_HERE[name]}"
    if name in importlib.import_module("minibert.ops").__all__:
        return f"{message}; write minibert.ops.{name}(x)"
    return message
