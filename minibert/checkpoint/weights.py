"""The weights of a checkpoint folder as a mapping from name to array, whatever files they lie in.

safetensors before `.bin`, a single file before shards. Nothing is read before it is asked for (a `.bin` is read
whole, by torch). float16 and bfloat16 are widened to float32, because everything here is computed in float32 or
float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.config_file import read_json_object
from minibert.checkpoint.contents import files_below, lack_of_weights
from minibert.checkpoint.errors import CheckpointError
from minibert.checkpoint.repository import WEIGHT_FILES
from minibert.checkpoint.safetensors_file import SafetensorsFile, widen_bfloat16
from minibert.checkpoint.torch_bin import read_bin
from minibert.paths import StrPath, as_path, is_file_name

__all__ = ["Weights", "read_weights"]

Array = NDArray[Any]


class Weights(Mapping[str, Array]):
    """Name -> array, in the order of the files.

    float16 and bfloat16 come out as float32, everything else as it is stored. Arrays of a
    safetensors file lie in the file, mapped copy-on-write: they may be written to, the file never changes.
    """

    def __init__(self, files: list[Path]) -> None:
        """Reads the header of each of `files`. Raises CheckpointError if one is missing, damaged, or repeats a name."""
        self.files = files
        self._mapped: dict[str, SafetensorsFile] = {}
        self._loaded: dict[str, tuple[str, Array]] = {}
        self._names: dict[str, Path] = {}
        for path in files:
            names: Mapping[str, object]
            if path.suffix == ".safetensors":
                opened = SafetensorsFile(path)
                names = opened.entries
                self._mapped.update(dict.fromkeys(names, opened))
            else:
                names = loaded = read_bin(path)
                self._loaded.update(loaded)
            for name in names:
                if name in self._names:
                    raise CheckpointError(
                        f"tensor {name} is both in {self._names[name]} and in {path}; expected it once"
                    )
                self._names[name] = path

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Array:
        if name in self._loaded:
            stored, array = self._loaded[name]
        else:
            file = self._mapped[name]
            stored, array = file.entries[name].stored, file.array(name)
            if stored == "BF16":
                return widen_bfloat16(array)
        return array.astype(np.float32) if stored == "F16" else array

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape, without reading the tensor."""
        if name in self._loaded:
            return self._loaded[name][1].shape
        return self._mapped[name].entries[name].shape

    def stored(self, name: str) -> str:
        """The tensor's dtype on disk, as safetensors spells it: "F32", "BF16", "I64", ..."""
        if name in self._loaded:
            return self._loaded[name][0]
        return self._mapped[name].entries[name].stored

    def file(self, name: str) -> Path:
        """The file that the tensor lies in."""
        return self._names[name]


def read_weights(folder: StrPath) -> Weights:
    """The weights in `folder`, from the best of the `WEIGHT_FILES` that it has.

    Raises CheckpointError: no weights there, a shard that the index names is missing, a damaged file, a `.bin`
    without torch.
    """
    folder = as_path(folder)
    for name in WEIGHT_FILES:
        path = folder / name
        if path.exists():
            return Weights(_shard_files(path) if name.endswith(".index.json") else [path])
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}; expected a folder with config.json and model.safetensors")
    raise CheckpointError(f"{folder} has no weights that minibert reads: {lack_of_weights(files_below(folder))}")


def _shard_files(index: Path) -> list[Path]:
    """The files that an index names, all of them present."""
    shard_of = read_json_object(index).get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(name, str) for name in shard_of.values()):
        raise CheckpointError(
            f'{index} is not an index of shards; expected JSON with a "weight_map" from tensors to file names'
        )
    names = list(dict.fromkeys(shard_of.values()))
    for name in names:
        if not is_file_name(name):
            raise CheckpointError(f"{index} names the shard {name[:80]!r}; expected a file name in the same folder")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        few = ", ".join(repr(name)[1:-1] for name in missing[:5])
        raise CheckpointError(
            f"{index} names {len(names)} shards, of which {len(missing)} are not there: {few}; "
            "copy or download them too"
        )
    if not names:
        raise CheckpointError(f"{index} names no shard; expected at least one")
    return [index.parent / name for name in names]
