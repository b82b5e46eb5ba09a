"""What is fuzzed: for each class of input a sound folder, the file that is damaged, how, and what reads it."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from minibert import BertModel, BertTokenizer, no_grad
from minibert.checkpoint import convert, read_weights
from minibert.checkpoint.safetensors_file import SafetensorsFile
from minibert.pretraining import state as saving
from minibert.pretraining.compute import Compute
from minibert.pretraining.data import PretrainingData
from minibert.pretraining.metrics import Metrics, time_spent
from minibert.pretraining.progress import Progress
from minibert.pretraining.recipe_file import read_recipe, write_recipe
from minibert.pretraining.trainer import Trainer
from minibert.pretraining.training import pretrain
from tests.fuzz.mutate import damaged, odd_json, odd_toml
from tests.pipelines import checkpoints
from tests.pretraining import toy

Mutate = Callable[[bytes, int], bytes]


@dataclass(frozen=True)
class FuzzClass:
    """`read` reads `folder`, in which `file` is replaced by a mutant. Refused or read: both are right."""

    name: str
    folder: Path
    file: str
    mutate: Mutate
    read: Callable[[Path], object]


def _bytes_or_json(content: bytes, seed: int) -> bytes:
    return odd_json(json.loads(content), seed) if seed % 4 else damaged(content, seed)


def _toml_or_bytes(content: bytes, seed: int) -> bytes:
    return odd_toml(content.decode(), seed) if seed % 4 else damaged(content, seed)


def _header(content: bytes, seed: int) -> bytes:
    """A safetensors file with a changed header; mostly of the right length, so that it is read."""
    length = int.from_bytes(content[:8], "little")
    header = odd_json(json.loads(content[8 : 8 + length]), seed)
    told = len(header) if seed % 8 else (1 << 62, 0, 2**64 - 1, len(header) + 1, 100_000_001)[seed // 8 % 5]
    return told.to_bytes(8, "little") + header + content[8 + length :]


def _old_format(content: bytes, seed: int) -> bytes:
    """state.json or data.json of a version that had no digest of them, so that what is changed is not noticed by it."""
    value = json.loads(content)
    del value["digest"]
    if "optimizer_steps" in value:
        value["format"] = 1
    return odd_json(value, seed)


def _read_safetensors(folder: Path) -> None:
    file = SafetensorsFile(folder / "model.safetensors")
    for name in file.entries:
        file.array(name).tobytes()


def _load_model(folder: Path) -> None:
    model = BertModel.from_pretrained(folder)
    with no_grad():
        model(input_ids=np.array([[1, 2, 3]]))


def _convert(folder: Path) -> None:
    target = folder.parent / "converted"
    try:
        convert(folder, target)
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _load_weights(folder: Path) -> None:
    weights = read_weights(folder)
    for name in weights:
        weights[name].tobytes()


def _tokenize(folder: Path) -> None:
    tokenizer = BertTokenizer.from_pretrained(folder)
    tokenizer.decode(tokenizer("the cat sat on Wolfgang's mat [MASK] é.")["input_ids"])


def _read_data(folder: Path) -> None:
    data = PretrainingData(folder, max_length=16, seed=0)
    data.epoch(0).batch(0, 2)
    data.name_of(0)


def _read_unverified(folder: Path) -> None:
    data = PretrainingData(folder, max_length=16, seed=0, verify=False)
    data.epoch(0).batch(0, 2)


def _read_state(run: Path) -> None:
    saved = saving.newest(run)
    assert saved is not None
    recipe = read_recipe(run / "recipe.toml")
    progress = Progress(recipe.schedule.steps, saved.step, quiet=True)
    Trainer(recipe, run, saved, progress, Compute.chosen("cpu", None, None))


def _read_recipe(folder: Path) -> None:
    read_recipe(folder / "recipe.toml")


def _read_metrics(run: Path) -> None:
    time_spent(run / "metrics.jsonl")
    Metrics(run / "metrics.jsonl", step=100).close()


def classes(top: Path) -> list[FuzzClass]:
    """All of them, with sound folders made below `top`."""
    model = checkpoints.write(top / "model", "classes")
    (model / "added_tokens.json").write_text('{"cat": 7, "<new>": 60}')
    shards = top / "shards"
    checkpoints.model("mlm").save_pretrained(shards, max_shard_size=4000)
    data = toy.prepare(top / "prepared", documents=6)
    run = top / "run"
    recipe = toy.recipe(data, schedule={"steps": 2, "warmup": 1}, save_every=1, log_every=1)
    with mock.patch("minibert.pretraining.curves.draw_curves", return_value=True):  # half a second
        pretrain(recipe, run, quiet=True)
    write_recipe(top / "recipe", recipe)
    made = [
        FuzzClass("model.safetensors, bytes", model, "model.safetensors", damaged, _read_safetensors),
        FuzzClass("model.safetensors, header", model, "model.safetensors", _header, _read_safetensors),
        FuzzClass("model.safetensors, loaded", model, "model.safetensors", _header, _load_model),
        FuzzClass("config.json", model, "config.json", _bytes_or_json, _load_model),
        FuzzClass("config.json, converted", model, "config.json", _bytes_or_json, _convert),
        FuzzClass("vocab.txt", model, "vocab.txt", damaged, _tokenize),
        FuzzClass("tokenizer.json", model, "tokenizer.json", _bytes_or_json, _tokenize),
        FuzzClass("tokenizer_config.json", model, "tokenizer_config.json", _bytes_or_json, _tokenize),
        FuzzClass("special_tokens_map.json", model, "special_tokens_map.json", _bytes_or_json, _tokenize),
        FuzzClass("added_tokens.json", model, "added_tokens.json", _bytes_or_json, _tokenize),
        FuzzClass("index of shards", shards, "model.safetensors.index.json", _bytes_or_json, _load_weights),
        FuzzClass("recipe.toml", top / "recipe", "recipe.toml", _toml_or_bytes, _read_recipe),
        FuzzClass("data.json", data, "data.json", _bytes_or_json, _read_data),
        FuzzClass("data.json without digest", data, "data.json", _old_format, _read_data),
        FuzzClass("shards, tokens", data, "shard-00000.tokens", damaged, _read_data),
        FuzzClass("shards, documents", data, "shard-00000.documents", damaged, _read_data),
        FuzzClass("state.json", run, "state-2/state.json", _bytes_or_json, _read_state),
        FuzzClass("state.json without digest", run, "state-2/state.json", _old_format, _read_state),
        FuzzClass("state, optimizer", run, "state-2/optimizer.safetensors", damaged, _read_state),
        FuzzClass("metrics.jsonl", run, "metrics.jsonl", _lines, _read_metrics),
    ]
    if importlib.util.find_spec("torch") is not None:
        made.append(_torch_class(top))
    return made


def _lines(content: bytes, seed: int) -> bytes:
    lines = content.splitlines(keepends=True)
    k = seed % len(lines)
    return b"".join([*lines[:k], _bytes_or_json(lines[k], seed // len(lines)), b"\n", *lines[k + 1 :]])


def _torch_class(top: Path) -> FuzzClass:
    import torch

    folder = top / "torch"
    folder.mkdir()
    state = checkpoints.model("encoder").state_dict()
    torch.save({name: torch.from_numpy(np.array(array)) for name, array in state.items()}, folder / "pytorch_model.bin")
    return FuzzClass("pytorch_model.bin", folder, "pytorch_model.bin", damaged, _load_weights)
