"""The weights of a folder: which files they come from, shards, half precision, what is missing."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from minibert.checkpoint import CheckpointError, read_config, read_weights
from minibert.checkpoint.safetensors_file import bfloat16_bits, write_safetensors


def _shards(folder: Path) -> None:
    save_file({"a": np.ones(3, "f4")}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": np.full(2, 7, "f4")}, folder / "model-00002-of-00002.safetensors")
    index = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def test_shards_are_one_mapping(tmp_path: Path) -> None:
    _shards(tmp_path)
    weights = read_weights(tmp_path)
    assert list(weights) == ["a", "b"]
    assert len(weights) == 2
    assert "b" in weights
    assert "c" not in weights
    assert weights["b"].tolist() == [7, 7]
    assert weights.shape("a") == (3,)
    assert weights.file("b").name == "model-00002-of-00002.safetensors"


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    _shards(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"2 shards, of which 1 are not there: model-00002-of-00002"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "index", ["{", "[]", '{"metadata": {}}', '{"weight_map": {"a": "../../secret"}}', '{"weight_map": {}}']
)
def test_an_index_that_is_none(tmp_path: Path, index: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=r"index\.json"):
        read_weights(tmp_path)


def test_the_same_name_in_two_shards(tmp_path: Path) -> None:
    _shards(tmp_path)
    save_file({"a": np.zeros(3, "f4")}, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match="tensor a is both in"):
        read_weights(tmp_path)


def test_a_single_safetensors_goes_before_shards_and_bin(tmp_path: Path) -> None:
    _shards(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not looked at")
    save_file({"only": np.ones(1, "f4")}, tmp_path / "model.safetensors")
    assert list(read_weights(tmp_path)) == ["only"]


def test_half_precision_is_widened(tmp_path: Path) -> None:
    numbers = np.random.default_rng(5).standard_normal((13, 7)).astype("f4")
    save_file({"half": numbers.astype("f2"), "ids": np.arange(3)}, tmp_path / "model.safetensors")
    weights = read_weights(tmp_path)
    assert weights["half"].dtype == np.float32
    np.testing.assert_array_equal(weights["half"], numbers.astype("f2").astype("f4"))
    assert weights.stored("half") == "F16"
    assert weights["ids"].dtype == np.int64
    with (tmp_path / "model.safetensors").open("wb") as file:
        write_safetensors(file, {"brain": (13, 7)}, "bfloat16", {"brain": numbers}.__getitem__)
    weights = read_weights(tmp_path)
    assert weights.stored("brain") == "BF16"
    # Eight significant bits: half a unit in the last place is at most 2**-8 of the number.
    np.testing.assert_allclose(weights["brain"], numbers, rtol=2**-8, atol=0)
    np.testing.assert_array_equal(bfloat16_bits(weights["brain"]), bfloat16_bits(numbers))


def test_double_precision_is_kept(tmp_path: Path) -> None:
    save_file({"a": np.array([1 / 3])}, tmp_path / "model.safetensors")
    assert read_weights(tmp_path)["a"].tolist() == [1 / 3]


def test_a_bin_without_torch_says_how_to_convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02whatever")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else found(name, *a))
    with pytest.raises(CheckpointError, match=r"torch is not installed; run `minibert convert`"):
        read_weights(tmp_path)


def test_a_folder_without_weights_lists_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "tf_model.h5").touch()
    with pytest.raises(CheckpointError, match=r"expected model\.safetensors .* found tf_model\.h5"):
        read_weights(tmp_path)
    with pytest.raises(CheckpointError, match="there is no folder"):
        read_weights(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no"),
        ("{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        ("[1, 2]", "a JSON list; expected an object"),
        ('{"model_type": "roberta"}', "model_type 'roberta'; minibert reads BERT only"),
    ],
)
def test_a_config_that_cannot_be_used(tmp_path: Path, content: Any, message: str) -> None:
    if content is not None:
        path = tmp_path / "config.json"
        path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_config(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_config_without_model_type(write: Callable[..., Path]) -> None:
    folder = write({"a": np.ones(1, "f4")}, {"hidden_size": 39})
    assert read_config(folder) == {"hidden_size": 39}
