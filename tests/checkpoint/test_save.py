"""`save_pretrained` and `convert`: what is written, and that it is written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from minibert import BertConfig, BertForMaskedLM, BertForPreTraining, BertForSequenceClassification, BertModel
from minibert.checkpoint import CheckpointError, Staging, convert, read_weights
from minibert.checkpoint import save as save_module

Write = Callable[..., Path]
MakeState = Callable[..., dict[str, np.ndarray]]


def _tiny(**changes: Any) -> BertConfig:
    sizes: dict[str, Any] = {"vocab_size": 99, "hidden_size": 39, "num_hidden_layers": 2, "num_attention_heads": 3}
    return BertConfig.from_dict({**sizes, "intermediate_size": 37, "max_position_embeddings": 17, **changes})


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _same(a: Any, b: Any) -> None:
    left, right = a.state_dict(), b.state_dict()
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


@pytest.mark.parametrize("cls", [BertModel, BertForMaskedLM, BertForPreTraining, BertForSequenceClassification])
def test_there_and_back(tmp_path: Path, cls: Any) -> None:
    model = cls(_tiny(num_labels=5))
    model.save_pretrained(tmp_path / "deep" / "folder")
    back, info = cls.from_pretrained(tmp_path / "deep" / "folder", output_loading_info=True)
    _same(model, back)
    assert not any(info.values())
    assert back.config.num_labels == 5


def test_names_and_metadata_are_those_of_transformers(tmp_path: Path, shapes: Callable[..., Any]) -> None:
    """The tied decoder is not written: transformers neither writes nor misses it."""
    BertForPreTraining(_tiny()).save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        assert set(file.keys()) == set(shapes("pretraining"))
        assert file.metadata() == {"format": "pt"}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["BertForPreTraining"]
    assert config["model_type"] == "bert"
    assert config["dtype"] == "float32"
    assert "torch_dtype" not in config


def test_an_untied_decoder_is_written_with_both_biases(tmp_path: Path) -> None:
    model = BertForMaskedLM(_tiny(tie_word_embeddings=False))
    model.save_pretrained(tmp_path)
    names = set(read_weights(tmp_path))
    assert {
        "cls.predictions.bias",
        "cls.predictions.decoder.bias",
        "cls.predictions.decoder.weight",
    } <= names
    _same(model, BertForMaskedLM.from_pretrained(tmp_path))


def test_unknown_settings_of_the_config_are_kept(tmp_path: Path) -> None:
    BertModel(_tiny(finetuning_task="reactions", torch_dtype="float16")).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["finetuning_task"] == "reactions"
    assert config["dtype"] == "float32"


@pytest.mark.parametrize(("limit", "count"), [(None, 1), (20_000, 6), ("20KB", 6), ("1 KiB", None), ("1GB", 1)])
def test_shards(tmp_path: Path, limit: Any, count: int | None) -> None:
    model = BertForMaskedLM(_tiny())
    model.save_pretrained(tmp_path, max_shard_size=limit)
    files = sorted(tmp_path.glob("*.safetensors"))
    if count is not None:
        assert len(files) == count
    _same(model, BertForMaskedLM.from_pretrained(tmp_path))
    if len(files) > 1:
        assert files[0].name == f"model-00001-of-{len(files):05}.safetensors"
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        held = [load_file(path) for path in files]
        assert index["weight_map"] == {n: path.name for path, part in zip(files, held, strict=True) for n in part}
        size = sum(array.nbytes for part in held for array in part.values())
        assert index["metadata"] == {"total_parameters": size // 4, "total_size": size}
        if count is not None:
            assert all(len(part) == 1 or sum(a.nbytes for a in part.values()) <= 20_000 for part in held)


def test_an_earlier_save_leaves_no_weights_behind(tmp_path: Path) -> None:
    """An old model.safetensors would be read in place of new shards."""
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    BertForMaskedLM(_tiny()).save_pretrained(tmp_path)
    model = BertForMaskedLM(_tiny())
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert not (tmp_path / "model.safetensors").exists()
    _same(model, BertForMaskedLM.from_pretrained(tmp_path))
    BertForMaskedLM(_tiny()).save_pretrained(tmp_path)
    assert sorted(_files(tmp_path)) == ["config.json", "model.safetensors", "vocab.txt"]


@pytest.mark.parametrize(("dtype", "stored"), [("float16", "F16"), ("bfloat16", "BF16"), ("float64", "F64")])
def test_other_dtypes(tmp_path: Path, dtype: str, stored: str) -> None:
    model = BertForMaskedLM(_tiny())
    model.save_pretrained(tmp_path, dtype=dtype)
    weights = read_weights(tmp_path)
    assert {weights.stored(name) for name in weights} == {stored}
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == dtype
    # Half a unit in the last place: 2**-11 of the value in float16, 2**-8 in bfloat16; below float16's normal numbers
    # (2**-14) the spacing is 2**-24.
    rtol, atol = {"F16": (2**-11, 2**-25), "BF16": (2**-8, 0.0), "F64": (0.0, 0.0)}[stored]
    for name, array in model.state_dict().items():
        if name in weights:
            np.testing.assert_allclose(weights[name], array, rtol=rtol, atol=atol)


def test_a_float64_model_is_written_as_float64(tmp_path: Path) -> None:
    BertModel(_tiny()).to(dtype="float64").save_pretrained(tmp_path)
    assert read_weights(tmp_path).stored("pooler.dense.bias") == "F64"


def test_saving_over_the_folder_it_was_loaded_from(tmp_path: Path) -> None:
    """The loaded arrays lie in the old file; it stays alive beneath them until they are gone."""
    BertForMaskedLM(_tiny()).save_pretrained(tmp_path)
    model = BertForMaskedLM.from_pretrained(tmp_path)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    model.bert.embeddings.LayerNorm.weight.data += 1
    before["bert.embeddings.LayerNorm.weight"] += 1
    model.save_pretrained(tmp_path)
    again = BertForMaskedLM.from_pretrained(tmp_path)
    for name, array in before.items():
        np.testing.assert_array_equal(again.state_dict()[name], array)
        np.testing.assert_array_equal(model.state_dict()[name], array)


class _FullDisk:
    """A file that takes `room` bytes and then reports a full disk."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: Any) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 100, 50_000])
@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, existing: bool
) -> None:
    folder = tmp_path / "new" / "model"
    if existing:
        BertForMaskedLM(_tiny()).save_pretrained(folder)
    before = _files(folder) if existing else {}
    whole = Staging.open
    monkeypatch.setattr(Staging, "open", lambda stage, name: _FullDisk(whole(stage, name), room))
    with pytest.raises(CheckpointError, match=r"cannot write a checkpoint to .*: No space left on device"):
        BertForMaskedLM(_tiny()).save_pretrained(folder, max_shard_size="60KB")
    if existing:
        assert _files(folder) == before
    else:
        assert list(tmp_path.iterdir()) == []


def test_a_kill_on_the_way_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BertForMaskedLM(_tiny()).save_pretrained(tmp_path)
    before = _files(tmp_path)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(save_module, "_json", stop)  # the weights are written by then, the config is not
    with pytest.raises(KeyboardInterrupt):
        BertForMaskedLM(_tiny()).save_pretrained(tmp_path)
    assert _files(tmp_path) == before


def test_files_are_on_the_disk_before_they_get_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (steps.append("fsync"), fsync(number))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("rename"), replace(a, b))[1])
    BertModel(_tiny()).save_pretrained(tmp_path)
    assert steps.index("rename") >= 2, "both files before the first name"
    assert steps[-1] == "fsync", "the names too"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CheckpointError, match="cannot write a checkpoint to .*file") as caught:
            BertModel(_tiny()).save_pretrained(target)
        assert "\n" not in str(caught.value)
    assert _files(tmp_path) == {"file": b"here"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match="Permission denied"):
            BertModel(_tiny()).save_pretrained(tmp_path / "new")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "cannot write weights as 'int8'; expected one of float64, float32, float16, bfloat16"),
        ({"max_shard_size": "much"}, 'max_shard_size is .much.; expected a number of bytes, or a size like "200MB"'),
        ({"max_shard_size": 0}, "max_shard_size is 0"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        BertModel(_tiny()).save_pretrained(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_convert_brings_an_old_checkpoint_up_to_date(write: Write, state: MakeState, tmp_path: Path) -> None:
    weights = state("mlm")
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): array for name, array in weights.items()}
    old["cls.predictions.decoder.weight"] = old["bert.embeddings.word_embeddings.weight"]
    old["bert.embeddings.position_ids"] = np.arange(17)
    source = write(old, {"vocab_size": 99, "hidden_size": 39, "num_attention_heads": 3, "num_hidden_layers": 2})
    (source / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    (source / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    (source / "training_args.bin").write_bytes(b"pickle")
    done = convert(source, tmp_path / "target")
    assert set(done.left_out) == {"cls.predictions.decoder.weight", "bert.embeddings.position_ids"}
    assert done.tensors == len(weights)
    assert done.parameters == sum(array.size for array in weights.values())
    assert done.dtype == "float32"
    names = ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
    assert sorted(path.name for path in done.files) == sorted(_files(tmp_path / "target")) == names
    back = load_file(tmp_path / "target" / "model.safetensors")
    assert back.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(back[name], array)
    config = json.loads((tmp_path / "target" / "config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"]
    assert config["model_type"] == "bert"


def test_convert_within_a_folder(write: Write, state: MakeState) -> None:
    """Source and target may be the same: the vocabulary stays, the weights change their dtype."""
    folder = write(state("pooler", prefix=""))
    (folder / "vocab.txt").write_text("[PAD]\n")
    done = convert(folder, folder, dtype="bfloat16")
    assert done.dtype == "bfloat16"
    assert read_weights(folder).stored("pooler.dense.weight") == "BF16"
    assert (folder / "vocab.txt").read_text() == "[PAD]\n"


def test_convert_keeps_the_source_s_precision(write: Write, state: MakeState, tmp_path: Path) -> None:
    source = write({name: array.astype("f2") for name, array in state("pooler", prefix="").items()})
    assert convert(source, tmp_path / "target").dtype == "float16"
    assert (tmp_path / "target" / "model.safetensors").stat().st_size < 1.01 * (
        source / "model.safetensors"
    ).stat().st_size


def test_convert_refuses_what_is_no_checkpoint(tmp_path: Path, write: Write) -> None:
    with pytest.raises(CheckpointError, match="there is no folder"):
        convert(tmp_path / "nowhere", tmp_path / "target")
    with pytest.raises(CheckpointError, match="no floating-point weights"):
        convert(write({"ids": np.arange(3)}), tmp_path / "target")
    assert not (tmp_path / "target").exists()
