"""What a folder or a repository has in the place of what was looked for, and what to do about it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

__all__ = ["files_below", "lack_of_weights", "other_place", "some"]

_FORMATS = (
    (re.compile(r"tf_model.*\.h5|.*\.ckpt\.(index|meta|data.*)|.*\.ckpt|saved_model\.pb|.*\.h5"), "TensorFlow"),
    (re.compile(r"flax_model.*\.msgpack"), "Flax"),
    (re.compile(r".*\.onnx"), "ONNX"),
    (re.compile(r".*\.gguf|.*\.ggml"), "GGUF"),
    (re.compile(r"openvino_model\..*"), "OpenVINO"),
    (re.compile(r"rust_model\.ot"), "rust-bert"),
    (re.compile(r".*\.mlmodel|.*\.mlpackage"), "Core ML"),
)
_WEIGHTS = re.compile(r"(model\.safetensors|pytorch_model\.bin)(\.index\.json)?")
_CONVERTIBLE = {"TensorFlow": "tf", "Flax": "flax"}


def lack_of_weights(names: Sequence[str]) -> str:
    """What was expected among these files (paths relative to the checkpoint), what is there, and what to do.

    A clause that follows "... has no weights that minibert reads: ".
    """
    here = [name for name in names if "/" not in name]
    advice = _advice(names, here)
    found = f"expected model.safetensors (or its shards, or pytorch_model.bin), found {some(here)}"
    return f"{found}; {advice}" if advice else found


def _advice(names: Sequence[str], here: Sequence[str]) -> str | None:
    if place := other_place(names, _WEIGHTS):
        return f"there are weights in {place!r}: pass subfolder={place!r}"
    for name in here:
        if re.fullmatch(r"adapter_model\.(safetensors|bin)", name):
            return f"{name} is an adapter (LoRA) for another model: merge it into that model and save the whole"
    foreign = {kind: name for pattern, kind in _FORMATS for name in names if pattern.fullmatch(_base(name))}
    if foreign:
        kinds = " and ".join(f"{kind} ({name})" for kind, name in foreign.items())
        advice = f"its weights are for {kinds} only: use a repository or revision that has them in one of these forms"
        readable = [kind for kind in foreign if kind in _CONVERTIBLE]
        if readable:
            option = f"from_{_CONVERTIBLE[readable[0]]}=True"
            return f"{advice}, or convert them with transformers 4 ({option}, then save_pretrained)"
        return advice
    for name in here:
        if name.endswith((".safetensors", ".bin", ".pt", ".pth")) and "training" not in name:
            wanted = "model.safetensors" if name.endswith(".safetensors") else "pytorch_model.bin"
            return f"if {name} holds the weights, rename it to {wanted}"
    return None


def other_place(names: Iterable[str], wanted: re.Pattern[str] | str) -> str | None:
    """The subfolder that holds a file of this name, if exactly that is where it is; the last in order if several."""
    pattern = re.compile(re.escape(wanted)) if isinstance(wanted, str) else wanted
    places = {os.path.dirname(name) for name in names if pattern.fullmatch(_base(name))}
    return None if "" in places or not places else max(places, key=_natural)


def files_below(folder: Path, depth: int = 2) -> list[str]:
    """Files in `folder` and at most `depth` folders down, as paths relative to it; at most 2,000 of them."""
    found: list[str] = []
    root = os.fspath(folder)
    for place, folders, names in islice(os.walk(root), 500):
        inside = os.path.relpath(place, root).replace(os.sep, "/")
        prefix = "" if inside == "." else inside + "/"
        found += [prefix + name for name in names]
        folders[:] = [] if prefix.count("/") >= depth else sorted(name for name in folders if name[0] != ".")
    return sorted(found)[:2000]


def some(names: Sequence[str], most: int = 8) -> str:
    """The first names of a list for a message."""
    shown = ", ".join(sorted(names)[:most]) or "no files at all"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _natural(place: str) -> list[tuple[int, str]]:
    """A key that sorts "checkpoint-500" before "checkpoint-1000"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", place)]
