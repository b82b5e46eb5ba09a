"""One .safetensors file: its tensors as arrays that lie in the file, and writing one.

Source: the format's description at https://huggingface.co/docs/safetensors. Eight bytes of header length, the header
in JSON (name -> dtype, shape, begin and end among the data), the tensors' bytes, little-endian, without gaps.

Reading: the safetensors library judges whether the file is sound (header, lengths, gaps, overlaps); then the file is
mapped into memory and each tensor is an array over its own bytes. Nothing is copied until a page is looked at, and
since the mapping is copy-on-write the arrays may be written to without touching the file. Two things stand against
using the library's own loader: it copies every tensor, and it has no bfloat16 for NumPy.

Writing is done here as a stream, so that a checkpoint of any size needs the memory of one tensor, and can end in
bfloat16.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.errors import CheckpointError, one_line
from minibert.file_kind import instead_of
from minibert.paths import regular_size

__all__ = ["Entry", "SafetensorsFile", "bfloat16_bits", "widen_bfloat16", "write_safetensors"]

Array = NDArray[Any]

# bfloat16 is carried as the 16-bit integers of its bits; `stored` keeps the two apart.
_NUMPY = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: its dtype as the format writes it, its shape, and its bytes [begin, end) in the file."""

    stored: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile:
    """The tensors of one file, by name."""

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError when the file is missing, cut short, damaged, or not a safetensors file at all."""
        self.path = path
        _judge(path)
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(length))
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        header.pop("__metadata__", None)
        start = 8 + length
        self.entries = {
            name: Entry(one["dtype"], tuple(one["shape"]), *(start + at for at in one["data_offsets"]))
            for name, one in header.items()
        }

    def array(self, name: str) -> Array:
        """Tensor `name` as it is stored, over the file's own bytes; bfloat16 as its bits (uint16).

        Raises CheckpointError for a dtype that NumPy cannot hold (8-bit floats and other packed ones).
        """
        entry = self.entries[name]
        if entry.stored not in _NUMPY:
            raise CheckpointError(
                f"{self.path}: tensor {name} is stored as {entry.stored}; expected one of {', '.join(_NUMPY)} "
                "(a quantised checkpoint? use the original one)"
            )
        dtype = np.dtype(_NUMPY[entry.stored])
        if entry.begin == entry.end:
            return np.zeros(entry.shape, dtype)
        count = (entry.end - entry.begin) // dtype.itemsize
        array: Array = np.frombuffer(self._bytes, dtype, count, entry.begin).reshape(entry.shape)
        # Old writers did not align the data; kernels want it aligned.
        return array if array.flags.aligned else array.copy()


def _judge(path: Path) -> None:
    """Let the safetensors library read the header; any complaint becomes one line of ours."""
    from safetensors import SafetensorError, safe_open

    try:
        regular_size(path, "a safetensors file")  # a pipe would be waited for
        with safe_open(str(path), framework="numpy") as file:
            file.keys()
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no file {path}") from error
    except OSError as error:
        reason = one_line(error.strerror or error)
        raise CheckpointError(f"{path} cannot be read: {reason}; check the file and its permissions") from error
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a sound safetensors file: {_guess(path) or one_line(error)}") from error


def _guess(path: Path) -> str | None:
    """What a file that is not sound looks like, so that the message can say what to do."""
    if wrong := instead_of(path, "safetensors"):
        return wrong
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") > 0:
        return f"its {path.stat().st_size} bytes end too early, or do not fit its header; download it again"
    return None


def widen_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16 bits -> float32, exactly: bfloat16 is the upper half of a float32."""
    wide: NDArray[np.uint32] = bits.astype(np.uint32)
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def bfloat16_bits(array: Array) -> NDArray[np.uint16]:
    """float32 -> bfloat16 bits, rounded to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    # Adding 0x7FFF, and one more when the kept part is odd, carries into the upper half exactly when it must round up.
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet_nan = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(array), quiet_nan, rounded).astype(np.uint16)


_STORED = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_SIZE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def write_safetensors(
    file: IO[bytes], shapes: Mapping[str, tuple[int, ...]], dtype: str, array_of: Callable[[str], Array]
) -> int:
    """Write tensors of one dtype to an open file; returns how many bytes of tensors there are.

    Args:
        file: opened for writing in binary.
        shapes: name -> shape, in the order of the file.
        dtype: "float64", "float32", "float16" or "bfloat16".
        array_of: gives a tensor by its name; asked once for each, in order.
    """
    stored = _STORED[dtype]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # what transformers looks for
    at = 0
    for name, shape in shapes.items():
        size = _SIZE[stored] * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": stored, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)  # so that the data begins on a cache line when the file is mapped
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for name in shapes:
        array = _to_disk(name, array_of(name), stored)
        if array.size:  # Python refuses to see an empty array as bytes
            file.write(array.data.cast("B"))
    return at


def _to_disk(name: str, array: Array, stored: str) -> Array:
    """The array as the file holds it: contiguous, little-endian, of the stored dtype."""
    if stored == "BF16":
        return bfloat16_bits(array)
    with np.errstate(over="ignore"):
        narrow: Array = np.ascontiguousarray(array, np.dtype(_NUMPY[stored]))
    if narrow.itemsize < array.itemsize and np.isinf(narrow).any() and np.isfinite(array).all():
        raise CheckpointError(
            f"{name} holds {np.abs(array).max():.6g}, which {narrow.dtype} cannot; write float32 or bfloat16 instead"
        )
    return narrow
