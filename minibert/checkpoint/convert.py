"""Any checkpoint that can be read -> a folder of safetensors that this library and transformers load."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.config_file import read_config, settle_labels
from minibert.checkpoint.consistent import read_consistently
from minibert.checkpoint.errors import CheckpointError, one_line
from minibert.checkpoint.hub import CONFIG_FILES, TOKENIZER_FILES, WEIGHT_FILES, resolve
from minibert.checkpoint.names import TIED_BIAS, TIED_WEIGHT, is_weight, modern_name
from minibert.checkpoint.save import write_checkpoint
from minibert.checkpoint.weights import Weights, read_weights
from minibert.paths import StrPath, as_path

__all__ = ["Conversion", "OnTensor", "Source", "convert", "guess_architecture", "read_source", "write_source"]

OnTensor = Callable[[int, int], object]
"""Called as a checkpoint is written, with the number of tensors done and their total."""


@dataclass(frozen=True)
class Conversion:
    """What was written: where the checkpoint lies now, its files, and how much is in them.

    `left_out` names the tensors that were not carried over: position ids, integers, and the second copy of a tied
    matrix.
    """

    folder: Path
    files: list[Path]
    tensors: int
    parameters: int
    dtype: str
    left_out: list[str]


def convert(
    source: StrPath,
    target: StrPath,
    *,
    dtype: str | None = None,
    max_shard_size: int | str | None = None,
    revision: str | None = None,
    cache_dir: StrPath | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    on_tensor: OnTensor | None = None,
) -> Conversion:
    """Read the checkpoint `source` (folder or hub name) and write it to the folder `target`, with its vocabulary files.

    Names become today's (LayerNorm.weight), a tied matrix is written once, config.json says its model_type and
    architecture. Weights keep their values; `dtype` ("float32", "float16", "bfloat16", "float64") changes how they
    are stored, by default as the widest of the source. A `.bin` source needs torch, the result does not.
    `on_tensor` is called before each tensor, for a progress line.

    Raises CheckpointError as `resolve`, `read_weights` and `save_model` do.
    """
    found = read_source(source, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, token=token)

    def array_of(name: str) -> NDArray[Any]:
        return found.weights[found.names[name]]

    return write_source(found, target, array_of, dtype=dtype, max_shard_size=max_shard_size, on_tensor=on_tensor)


@dataclass(frozen=True)
class Source:
    """A checkpoint that was read: where it lies, its config.json, weights and tokenizer files (name -> content).

    `names` has today's name -> name in the files.
    `left_out` names the tensors that are not to be carried over.
    """

    folder: Path
    config: dict[str, Any]
    weights: Weights
    tokenizer: dict[str, bytes]
    names: dict[str, str]
    left_out: list[str]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Today's name -> shape."""
        return {name: self.weights.shape(found) for name, found in self.names.items()}


def read_source(source: StrPath, **hub: Any) -> Source:
    """The checkpoint `source`, with a config.json that says all it should. `hub`, and errors: as for `resolve`."""
    folder = resolve(source, files=CONFIG_FILES + WEIGHT_FILES + TOKENIZER_FILES, **hub)
    everything = CONFIG_FILES + WEIGHT_FILES + TOKENIZER_FILES
    config, weights, tokenizer = read_consistently(
        folder, everything, lambda: (read_config(folder), read_weights(folder), _vocabulary(folder))
    )
    names, left_out = _chosen(weights)
    if not names:
        raise CheckpointError(f"{folder} has no floating-point weights; expected a BERT checkpoint")
    rows = next(iter(weights.shape("classifier.weight")), None) if "classifier.weight" in weights else None
    config = settle_labels(config, rows)
    if not config.get("architectures"):
        config["architectures"] = [guess_architecture(names)]
    return Source(folder, config, weights, tokenizer, names, left_out)


def write_source(
    source: Source,
    target: StrPath,
    array_of: Callable[[str], NDArray[Any]],
    *,
    dtype: str | None,
    max_shard_size: int | str | None = None,
    on_tensor: OnTensor | None = None,
) -> Conversion:
    """Write `source` with the tensors of `array_of` to the folder `target`. Errors as in `save_model`.

    Before each tensor `on_tensor` is called with the number of those written, and of all.
    """
    shapes, target = source.shapes, as_path(target)
    written = itertools.count()

    def counted(name: str) -> NDArray[Any]:
        if on_tensor is not None:
            on_tensor(next(written), len(shapes))
        return array_of(name)

    others = {} if target.exists() and target.samefile(source.folder) else source.tokenizer
    dtype = dtype or _widest({source.weights.stored(found) for found in source.names.values()})
    files = write_checkpoint(
        target,
        source.config,
        shapes,
        counted,
        dtype=dtype,
        max_shard_size=max_shard_size,
        others=others,
        gone=[name for name in TOKENIZER_FILES if name not in others] if others else (),
    )
    parameters = sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes.values())
    return Conversion(target, files, len(shapes), parameters, dtype, source.left_out)


def _chosen(weights: Weights) -> tuple[dict[str, str], list[str]]:
    """Today's name -> name in the file, for what is to be written; and what is not."""
    chosen: dict[str, str] = {}
    left_out: list[str] = []
    for found in weights:
        name = modern_name(found)
        if not is_weight(name) or weights.stored(found) not in _NAME_OF:
            left_out.append(found)
        elif name in chosen:
            raise CheckpointError(
                f"{weights.file(found)}: {found} and {chosen[name]} are both {name}; expected one of them"
            )
        else:
            chosen[name] = found
    for second, first in {**TIED_WEIGHT, **TIED_BIAS}.items():
        if second not in chosen:
            continue
        if first not in chosen and second in TIED_BIAS:
            chosen[first] = chosen.pop(second)
        elif first in chosen and np.array_equal(weights[chosen[first]], weights[chosen[second]]):
            left_out.append(chosen.pop(second))
    return chosen, left_out


_NAME_OF = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def _widest(stored: set[str]) -> str:
    """The narrowest dtype that holds all of `stored` exactly."""
    if len(stored) == 1:
        return _NAME_OF[stored.pop()]
    return "float64" if "F64" in stored else "float32"


def _vocabulary(folder: Path) -> dict[str, bytes]:
    """The tokenizer's files, to be copied as they are."""
    try:
        return {name: (folder / name).read_bytes() for name in TOKENIZER_FILES if (folder / name).is_file()}
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be read: {one_line(error)}") from error


def guess_architecture(names: Iterable[str]) -> str:
    """Which model a set of weight names is of, for files whose config.json does not say.

    A classifier may be of sequences, tokens or choices; the names cannot tell, and sequences are the most common.
    """
    parts = {".".join(name.split(".")[:2]) for name in names}
    tops = {part.split(".")[0] for part in parts}
    if {"cls.predictions", "cls.seq_relationship"} <= parts:
        return "BertForPreTraining"
    if "cls.predictions" in parts:
        return "BertForMaskedLM"
    if "cls.seq_relationship" in parts:
        return "BertForNextSentencePrediction"
    if "qa_outputs" in tops:
        return "BertForQuestionAnswering"
    return "BertForSequenceClassification" if "classifier" in tops else "BertModel"
