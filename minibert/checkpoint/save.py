"""Writing a checkpoint that transformers loads without a word: config.json and safetensors, whole or in shards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.config_file import relabel
from minibert.checkpoint.elsewhere import SAVING, without_meaning
from minibert.checkpoint.errors import CheckpointError, one_line
from minibert.checkpoint.names import TIED_BIAS, TIED_WEIGHT
from minibert.checkpoint.safetensors_file import write_safetensors
from minibert.checkpoint.staging import Staging
from minibert.options import unknown_option
from minibert.paths import StrPath, as_path

if TYPE_CHECKING:
    from minibert.bert import BertPreTrainedModel

__all__ = ["DTYPES", "save_model", "write_checkpoint", "write_config"]

Array = NDArray[Any]

DTYPES = ("float64", "float32", "float16", "bfloat16")
_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_OURS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")


def save_model(
    model: BertPreTrainedModel,
    folder: StrPath,
    *,
    dtype: str | None = None,
    max_shard_size: int | str | None = None,
    **others: Any,
) -> list[Path]:
    """Write config.json and the weights of `model` into `folder`, which is made if need be; the paths written.

    The names are transformers', each tied matrix is written once, and config.json names the class in `architectures`,
    so both libraries load it as it is. Files of an earlier save that this one does not replace (other shards) are
    removed.

    Args:
        model: any of the BERT models.
        folder: where to.
        dtype: "float64", "float32", "float16" or "bfloat16"; the model's own by default.
        max_shard_size: split into files of at most so many bytes, or "200MB", "5GB"; one file by default.
        others: options of other libraries that ask for what is done anyway (`safe_serialization=True`).

    Raises:
        CheckpointError: unknown option, dtype or size, a weight too large for float16, or the folder cannot be written.
            Whatever goes wrong, the folder holds what it held before.
    """
    if unknown := without_meaning(others, SAVING):
        known = ("dtype", "max_shard_size", *SAVING)
        raise CheckpointError(unknown_option("save_pretrained", next(iter(unknown)), known))
    state = without_doubles({name: np.asarray(array) for name, array in model.state_dict().items()})
    config = dict(model.config.to_dict())
    if "qa_outputs.weight" in state:  # transformers makes this head of num_labels rows, though it can only be two
        config = relabel(config, len(state["qa_outputs.weight"]))
    config["architectures"] = [type(model).__name__]
    return write_checkpoint(
        folder,
        config,
        {name: array.shape for name, array in state.items()},
        state.__getitem__,
        dtype=dtype or _common_dtype(state),
        max_shard_size=max_shard_size,
    )


def without_doubles(state: Mapping[str, Array]) -> dict[str, Array]:
    """`state` with the second name of a tied parameter left out, as transformers writes it.

    A decoder that is not tied keeps its own matrix, and then transformers expects its bias under both names.
    """
    kept = dict(state)
    for second, first in TIED_WEIGHT.items():
        if second in kept and first in kept and _same_memory(kept[second], kept[first]):
            del kept[second]
        untied = second in kept
    for second, first in TIED_BIAS.items():
        if untied and first in kept:
            kept.setdefault(second, kept[first])
        elif second in kept and first in kept and _same_memory(kept[second], kept[first]):
            del kept[second]
    return kept


def write_checkpoint(
    folder: StrPath,
    config: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    array_of: Callable[[str], Array],
    *,
    dtype: str,
    max_shard_size: int | str | None = None,
    others: Mapping[str, bytes] | None = None,
    gone: Sequence[str] = (),
) -> list[Path]:
    """Write config.json, tensors and `others` (name -> content) into `folder` in one go; the paths written.

    Files `gone` of an earlier checkpoint are removed. `array_of` is asked for one tensor at a time, so no more than
    one need be in memory. Errors as in `save_model`.
    """
    if dtype not in DTYPES:
        raise CheckpointError(f"cannot write weights as {dtype!r}; expected one of {', '.join(DTYPES)}")
    shards = _split(shapes, _BYTES[dtype], _size(max_shard_size))
    folder = as_path(folder)
    settings = {name: value for name, value in config.items() if name != "torch_dtype"}  # its old name
    settings |= {"model_type": "bert", "dtype": dtype}
    try:
        with Staging(folder) as stage:
            shard_of: dict[str, str] = {}
            total = 0
            for number, part in enumerate(shards, 1):
                name = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
                file = stage.open(name)
                total += write_safetensors(file, part, dtype, array_of)
                stage.finish(file)
                shard_of.update(dict.fromkeys(part, name))
            if len(shards) > 1:
                count = sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes.values())
                index = {"metadata": {"total_parameters": count, "total_size": total}, "weight_map": shard_of}
                stage.open("model.safetensors.index.json").write(_json(index))
            stage.open("config.json").write(_json(settings))
            for name, content in (others or {}).items():
                stage.open(name).write(content)
            written = stage.targets()
            for name in gone:
                stage.remove(name)
            stage.remove_matching(_is_weights)  # a reader would take an old model.safetensors before new shards
    except OSError as error:
        raise CheckpointError(f"cannot write a checkpoint to {folder}: {one_line(error.strerror or error)}") from error
    return written


def write_config(folder: StrPath, settings: Mapping[str, Any]) -> None:
    """Write config.json alone. Raises CheckpointError if the folder cannot be written."""
    folder = as_path(folder)
    try:
        with Staging(folder) as stage:
            stage.open("config.json").write(_json(settings))
    except OSError as error:
        raise CheckpointError(
            f"cannot write a configuration to {folder}: {one_line(error.strerror or error)}"
        ) from error


def _is_weights(name: str) -> bool:
    """Whether a file's name is that of weights which a save may have written."""
    return _OURS.fullmatch(name) is not None


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _split(shapes: Mapping[str, tuple[int, ...]], item: int, limit: int | None) -> list[dict[str, tuple[int, ...]]]:
    """Tensors in order, a new shard when the next would not fit; one larger than the limit has a shard to itself."""
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    filled = 0
    for name, shape in shapes.items():
        size = item * int(np.prod(shape, dtype=np.int64))
        if limit is not None and shards[-1] and filled + size > limit:
            shards.append({})
            filled = 0
        shards[-1][name] = shape
        filled += size
    return shards


_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _size(limit: int | str | None) -> int | None:
    """Bytes of "200MB" (decimal), "1GiB" (binary) or a plain number."""
    if limit is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?B)?", str(limit).strip().upper())
    size = int(float(found[1]) * _UNITS[found[2] or ""]) if found else 0
    if size < 1:
        raise CheckpointError(
            f'max_shard_size is {limit!r}; expected a number of bytes, or a size like "200MB" or "5GB"'
        )
    return size


def _same_memory(a: Array, b: Array) -> bool:
    """Whether two arrays are one and the same parameter."""
    if a is b:
        return True
    return a.shape == b.shape and a.strides == b.strides and a.ctypes.data == b.ctypes.data


def _common_dtype(state: Mapping[str, Array]) -> str:
    """The one dtype of the weights; the widest if they differ."""
    return str(np.result_type(*state.values())) if state else "float32"
