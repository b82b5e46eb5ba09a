"""Folders without weights: what is there instead, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minibert import BertConfig, BertModel, BertTokenizer
from minibert.checkpoint.contents import files_below, lack_of_weights, other_place
from tests import tiny


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["config.json", "tf_model.h5"], r"for TensorFlow \(tf_model\.h5\) only.*transformers 4 \(from_tf=True"),
        (["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"], r"TensorFlow \(bert_model\.ckpt"),
        (["flax_model.msgpack"], r"Flax \(flax_model\.msgpack\) only.*from_flax=True"),
        (["onnx/model.onnx", "config.json"], r"ONNX \(onnx/model\.onnx\) only"),
        (["bert.gguf"], r"GGUF \(bert\.gguf\) only"),
        (["flax_model.msgpack", "tf_model.h5"], "TensorFlow .* and Flax "),
        (["config.json", "adapter_model.safetensors"], "is an adapter .*merge it"),
        (["bert.safetensors"], r"if bert\.safetensors holds the weights, rename it to model\.safetensors"),
        (["weights.pt"], r"rename it to pytorch_model\.bin"),
        (["checkpoint-500/model.safetensors", "checkpoint-1000/model.safetensors"], "pass subfolder='checkpoint-1000'"),
        (["model-a/pytorch_model.bin.index.json"], "pass subfolder='model-a'"),
        (["config.json"], r"expected model\.safetensors .*, found config\.json"),
        ([], "found no files at all"),
    ],
)
def test_what_there_is_instead(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        raise ValueError(lack_of_weights(names))


def test_other_places(tmp_path: Path) -> None:
    assert other_place(["config.json", "a/config.json"], "config.json") is None
    for name in ("a/config.json", "a/b/config.json", "a/b/c/config.json", ".git/config.json", "top"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path) == ["a/b/config.json", "a/config.json", "top"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    BertModel(tiny.config()).save_pretrained(tmp_path / "inner")
    BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]).save_pretrained(tmp_path / "inner")
    return tmp_path


@pytest.mark.parametrize("cls", [BertModel, BertConfig, BertTokenizer])
def test_a_checkpoint_in_a_subfolder(folder: Path, cls: type[BertModel]) -> None:
    with pytest.raises(ValueError, match="pass subfolder='inner'"):
        cls.from_pretrained(folder)
    cls.from_pretrained(folder, subfolder="inner", token="hf_x", revision="main", force_download=True)
    cls.from_pretrained(folder / "inner", subfolder=None)
    with pytest.raises(ValueError, match="inner/deeper does not exist; expected the subfolder"):
        cls.from_pretrained(folder, subfolder="inner/deeper")
    with pytest.raises(ValueError, match="leads outside"):
        cls.from_pretrained(folder / "inner", subfolder="../inner")
    with pytest.raises(ValueError, match="has no option 'subfoler'; did you mean 'subfolder'"):
        cls.from_pretrained(folder / "inner", subfoler="inner")
    with pytest.raises(ValueError, match="local_files_only must be True or False"):
        cls.from_pretrained(folder, local_files_only="yes")
    with pytest.raises(ValueError, match="token must be a string"):
        cls.from_pretrained(folder, token=3)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 440473133\n"


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"]
)
@pytest.mark.parametrize(
    ("content", "message"),
    [(LFS, "Git LFS pointer; .*git lfs pull"), (b"<!doctype html>", "web page"), (b"", "empty; download it again")],
)
def test_a_model_s_files_that_are_something_else(folder: Path, name: str, content: bytes, message: str) -> None:
    if name != "config.json":
        (folder / "inner" / "model.safetensors").unlink()
    (folder / "inner" / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        BertModel.from_pretrained(folder / "inner")
    assert f"inner/{name}" in str(caught.value)


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_s_files_that_are_something_else(folder: Path, name: str) -> None:
    (folder / "inner" / name).write_bytes(LFS)
    with pytest.raises(ValueError, match="Git LFS pointer"):
        BertTokenizer.from_pretrained(folder / "inner")


def test_weights_under_the_other_format_s_name(folder: Path) -> None:
    inner = folder / "inner"
    (inner / "model.safetensors").rename(inner / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"safetensors file by another name; rename it to model\.safetensors"):
        BertModel.from_pretrained(inner)
    (inner / "pytorch_model.bin").rename(inner / "model.safetensors")
    with pytest.raises(ValueError, match="is a file; expected the folder"):
        BertModel.from_pretrained(inner / "model.safetensors")
    (inner / "model.safetensors").unlink()
    (inner / "model.safetensors").mkdir()
    with pytest.raises(ValueError, match="is a folder; expected a safetensors file"):
        BertModel.from_pretrained(inner)


def test_a_misspelt_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ValueError, match="there is no folder .*innner, but there is .*inner; expected"):
        BertModel.from_pretrained(f"{folder}/innner")
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=r"neither a folder here \(but there is inner\)"):
        BertModel.from_pretrained("innner", local_files_only=True)


def test_other_architectures(write: Callable[..., Path]) -> None:
    state = {"roberta.embeddings.word_embeddings.weight": np.ones((3, 2), np.float32)}
    with pytest.raises(ValueError, match="model_type 'roberta'; minibert reads BERT only"):
        BertModel.from_pretrained(write(state, {"model_type": "roberta"}))
