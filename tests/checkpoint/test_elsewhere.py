"""Options of other libraries: accepted where they ask for what is done anyway, refused in words where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minibert import BertConfig, BertModel
from minibert.checkpoint import CheckpointError
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    BertModel(tiny.config()).save_pretrained(tmp_path, safe_serialization=True, push_to_hub=False, max_shard_size="5GB")
    return tmp_path


def test_what_changes_nothing(folder: Path) -> None:
    options: dict[str, Any] = {"attn_implementation": "sdpa", "device_map": "cpu", "low_cpu_mem_usage": True}
    model = BertModel.from_pretrained(folder, **options, trust_remote_code=False, use_safetensors=True)
    assert model.config == BertModel.from_pretrained(folder).config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device_map": "auto"}, "device_map='auto' is not supported; a model runs on one device"),
        ({"state_dict": {}}, "call load_state_dict"),
        ({"from_tf": True}, "reads safetensors and PyTorch files"),
        ({"config": 3}, "config must be minibert's BertConfig, a folder or a name, got a int"),
    ],
)
def test_loading_what_is_not_built(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        BertModel.from_pretrained(folder, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"safe_serialization": False}, "safe_serialization=False is not supported; minibert writes safetensors"),
        ({"push_to_hub": True}, "upload it"),
        ({"max_shard_sise": 3}, "save_pretrained has no option 'max_shard_sise'; did you mean 'max_shard_size'"),
    ],
)
def test_saving_what_is_not_built(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        BertModel(tiny.config()).save_pretrained(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_configuration_by_its_folder(folder: Path, tmp_path: Path) -> None:
    tiny.config(hidden_dropout_prob=0.5).save_pretrained(tmp_path / "other")
    for config in (tmp_path / "other", str(tmp_path / "other")):
        assert BertModel.from_pretrained(folder, config=config).config.hidden_dropout_prob == 0.5


def test_another_librarys_configuration_is_named() -> None:
    class Foreign:
        def to_dict(self) -> dict[str, Any]:
            return {}

    given: Any = Foreign()
    with pytest.raises(ValueError, match=r"test_elsewhere\.Foreign: convert it with BertConfig\(\*\*config.to_dict"):
        BertModel(given)
    assert BertConfig(**given.to_dict()) == BertConfig()


def test_frozen_parameters_are_not_trainable() -> None:
    model = BertModel(tiny.config())
    table = model.embeddings.word_embeddings.weight
    table.requires_grad = False
    assert model.num_parameters() - model.num_parameters(only_trainable=True) == table.size


def test_the_option_is_blamed_and_not_the_file(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="^is_decoder is True"):
        BertModel.from_pretrained(folder, is_decoder=True)
    assert BertModel.from_pretrained(folder, use_cache=False).config.use_cache is False
    file = folder / "config.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"gelu"', '"swoosh"'), encoding="utf-8")
    with pytest.raises(CheckpointError, match="config.json: unknown hidden_act 'swoosh'"):
        BertModel.from_pretrained(folder, hidden_dropout_prob=0.2)
    assert BertModel.from_pretrained(folder, hidden_act="gelu").config.hidden_act == "gelu"
