"""A hundred mutants of each class (`make fuzz` has 3000), and what is no file at all in the place of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from minibert import BertModel, BertTokenizer, kernels_off
from minibert.checkpoint import read_weights
from minibert.pretraining.data import PretrainingData
from minibert.pretraining.recipe_file import read_recipe
from minibert.pretraining.state import newest
from tests.fuzz import harness
from tests.fuzz.classes import classes
from tests.pipelines import checkpoints

pytestmark = pytest.mark.skipif(os.name != "posix", reason="time limits by signals, pipes and devices are POSIX's")


def test_mutants_are_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    failures, slow = [], []
    with kernels_off():
        for one in classes(tmp_path):
            done = harness.run(one, 100)
            failures += done.failures
            assert done.read + done.refused + len(done.failures) >= 100
            if done.largest > 1000:
                slow.append(f"{one.name}: {done.largest:.0f} MB more")
    assert not failures, "\n".join(failures[:20])
    assert not slow, slow


def _read_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    read_weights(folder)


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "config": ("config.json", BertModel.from_pretrained),
    "weights": ("model.safetensors", read_weights),
    "index": ("model.safetensors.index.json", _read_index),
    "vocabulary": ("vocab.txt", BertTokenizer.from_pretrained),
    "tokenizer": ("tokenizer.json", BertTokenizer.from_pretrained),
    "recipe": ("recipe.toml", lambda folder: read_recipe(folder / "recipe.toml")),
    "data": ("data.json", lambda folder: PretrainingData(folder, max_length=16, seed=0)),
    "state": ("state-3/state.json", newest),
}


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("put", [_pipe, _device, _sparse, _folder])
@pytest.mark.parametrize("kind", list(READERS))
def test_no_file_in_the_place_of_a_file(kind: str, put: Callable[[Path], None], tmp_path: Path) -> None:
    """Nothing waits for a pipe, reads a device without end, or takes 20 GB into memory."""
    name, read = READERS[kind]
    folder = checkpoints.write(tmp_path / "folder", "encoder")
    (folder / "state-3").mkdir()
    path = folder / name
    path.unlink(missing_ok=True)
    put(path)
    if kind == "vocabulary":
        (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=str(folder)) as caught:
        read(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    shutil.rmtree(folder)
