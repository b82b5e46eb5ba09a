"""BertConfig: published files in, published files out, and nonsense refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minibert import BertConfig


def test_defaults_are_bert_base() -> None:
    config = BertConfig()
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (768, 12, 12)
    assert config.head_size == 64
    assert config.layer_norm_eps == 1e-12


def test_what_is_not_known_is_kept() -> None:
    values = {"vocab_size": 99, "gradient_checkpointing": False, "model_type": "bert", "transformers_version": "4.8.2"}
    config = BertConfig.from_dict(values)
    assert config.vocab_size == 99
    written = config.to_dict()
    assert written["gradient_checkpointing"] is False
    assert written["model_type"] == "bert"
    assert BertConfig.from_dict(written) == config


def test_labels() -> None:
    assert BertConfig.from_dict({"id2label": {"0": "bad", "1": "good", "2": "fine"}}).num_labels == 3
    config = BertConfig.from_dict({"id2label": {"0": "bad", "1": "good"}, "num_labels": 50})
    assert config.num_labels == 50  # what the weights were made with
    assert config.id2label[49] == "LABEL_49"
    config = BertConfig.from_dict({"id2label": {"0": "bad", "1": "good"}}, num_labels=3)
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert config.label2id["LABEL_2"] == 2


def test_labels_without_their_number() -> None:
    config = BertConfig(id2label={0: "bad", 1: "good", 2: "fine"})
    assert config.num_labels == 3
    assert config.label2id == {"bad": 0, "good": 1, "fine": 2}
    assert BertConfig().num_labels == 2
    assert BertConfig(num_labels=3).id2label[2] == "LABEL_2"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": 10, "num_attention_heads": 3}, "not a multiple"),
        ({"hidden_act": "swoosh"}, "unknown hidden_act 'swoosh'; expected one of gelu"),
        ({"vocab_size": 0}, "vocab_size must be an integer of at least 1, got 0"),
        ({"num_hidden_layers": "12"}, "num_hidden_layers must be an integer of at least 1, got '12'"),
        ({"hidden_dropout_prob": 1.0}, r"hidden_dropout_prob must lie in \[0, 1\)"),
        ({"position_embedding_type": "relative_key"}, "only 'absolute'"),
        ({"is_decoder": True}, "decoder"),
        ({"model_type": "roberta"}, "'roberta'"),
        ({"problem_type": "guessing"}, "unknown problem_type"),
        ({"id2label": {"a": "b"}}, "id2label"),
        ({"id2label": {"1": "bad", "2": "good"}}, r"labels 0 to 1, got the numbers \[1, 2\]"),
        ({"hidden_act": ["gelu"]}, r"unknown hidden_act \['gelu'\]"),
        ({"layer_norm_eps": "1e-12"}, "layer_norm_eps must be a finite number of at least 0, got '1e-12'"),
        ({"layer_norm_eps": -1e-12}, "layer_norm_eps must be"),
        ({"initializer_range": None}, "initializer_range must be"),
        ({"return_dict": None}, "return_dict must be true or false, got None"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false, got 'no'"),
    ],
)
def test_nonsense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BertConfig.from_dict(values)


def test_an_override_that_is_no_field() -> None:
    with pytest.raises(ValueError, match="BertConfig has no option 'hiden_size'; did you mean 'hidden_size'"):
        BertConfig.from_dict({}, hiden_size=3)


def test_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"vocab_size": 99, "hidden_size": 24, "torchscript": false}')
    config = BertConfig.from_pretrained(tmp_path, num_labels=5)
    assert (config.vocab_size, config.hidden_size, config.num_labels) == (99, 24, 5)
    assert config.extra == {"torchscript": False}
    with pytest.raises(ValueError, match="there is no folder"):
        BertConfig.from_pretrained(tmp_path / "elsewhere")


def test_only_unusual_outputs_are_written() -> None:
    assert not {"output_attentions", "output_hidden_states", "return_dict"} & BertConfig().to_dict().keys()
    written = BertConfig(output_attentions=True).to_dict()
    assert written["output_attentions"] is True
    assert BertConfig.from_dict(written).output_attentions


def test_written_alone(tmp_path: Path) -> None:
    config = BertConfig(hidden_size=24, id2label={0: "no", 1: "yes", 2: "perhaps"}, return_dict=False)
    config.save_pretrained(tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["config.json"]
    assert BertConfig.from_pretrained(tmp_path / "new") == config
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot write a configuration"):
        config.save_pretrained(tmp_path / "file")
