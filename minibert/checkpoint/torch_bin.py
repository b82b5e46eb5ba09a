"""A PyTorch `.bin` file: read by torch itself, never by unpickling.

Such a file is a pickle, and a pickle may run any code. `torch.load(weights_only=True)` admits tensors and plain
containers only, so it is the one way in; without torch there is none, and the error says how to convert the file.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from numpy.typing import NDArray

from minibert.checkpoint.errors import CheckpointError, one_line
from minibert.file_kind import instead_of, kind_of

__all__ = ["read_bin"]


def read_bin(path: Path) -> dict[str, tuple[str, NDArray[Any]]]:
    """Tensors of a `.bin` file: name -> (stored dtype as in safetensors, array; bfloat16 already widened to float32).

    Raises CheckpointError when torch is not installed, or when the file is damaged or holds anything but tensors.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; expected a PyTorch file")
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    try:
        kind = kind_of(path)
    except OSError as error:
        reason = one_line(error.strerror or error)
        raise CheckpointError(f"{path} cannot be read: {reason}; check its permissions") from error
    if kind not in (None, "torch"):
        raise CheckpointError(f"{path} is not a PyTorch file: {instead_of(path)}")
    if importlib.util.find_spec("torch") is None:
        raise CheckpointError(
            f"{path} is a PyTorch pickle, which only torch can read safely, and torch is not installed; run "
            "`minibert convert` on it where torch is, or use a revision of the checkpoint that has model.safetensors"
        )
    torch = importlib.import_module("torch")
    try:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # written before torch 1.6: not a zip, cannot be mapped
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError, zip errors, ...
        # Where a damaged pickle trips torch up (IndexError, TypeError, ...) its words tell a reader nothing.
        told = f": {one_line(error, 120)}" if isinstance(error, RuntimeError | UnpicklingError | OSError) else ""
        raise CheckpointError(
            f"{path} cannot be read by torch.load(weights_only=True): it is damaged, or holds more than tensors "
            f"({type(error).__name__}{told})"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds a {type(state).__name__}; expected a dictionary of tensors by name")
    return {str(name): _array(path, str(name), value) for name, value in state.items()}


_STORED = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.int16": "I16",
    "torch.int8": "I8",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
}


def _array(path: Path, name: str, value: Any) -> tuple[str, NDArray[Any]]:
    stored = _STORED.get(str(getattr(value, "dtype", None)))
    if stored is None or not hasattr(value, "detach"):
        raise CheckpointError(
            f"{path}: {name} is a {type(value).__name__}; expected a tensor (a training checkpoint? save only the "
            "model's state_dict)"
        )
    tensor = value.detach()
    if stored == "BF16":
        tensor = tensor.float()
    array: NDArray[Any] = tensor.contiguous().numpy()
    return stored, array
