"""BertConfig: published files in, published files out, and nonsense refused."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import BertConfig, BertForSequenceClassification
from tests import tiny


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
        ({"vocab_size": 0}, "vocab_size must be an integer from 1 to .*, got 0"),
        ({"num_hidden_layers": "12"}, "num_hidden_layers must be an integer from 1 to .*, got '12'"),
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


# --- what is set later ------------------------------------------------------------------------------------------------


def test_labels_stay_together_whichever_is_set() -> None:
    config = tiny.config()
    config.num_labels = 3
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    config.id2label = {0: "a", 1: "b"}
    assert (config.num_labels, config.label2id) == (2, {"a": 0, "b": 1})
    config.label2id = {"x": 1, "y": 0, "z": 2}
    assert (config.num_labels, config.id2label) == (3, {0: "y", 1: "x", 2: "z"})
    config.num_labels = np.int64(3)  # as many as there are: their names stay
    assert config.id2label[0] == "y"
    assert BertForSequenceClassification(config).classifier.weight.shape == (3, 12)
    assert BertConfig(label2id={"b": 1, "a": 0}).id2label == {0: "a", 1: "b"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_labels", 0, "num_labels must be an integer from 1 to 4194304, got 0"),
        ("num_labels", True, "num_labels must be an integer"),
        ("id2label", {}, "id2label must name the labels"),
        ("id2label", ["a"], "id2label must map numbers to names"),
        ("label2id", {"a": 0, "b": 0}, "label2id gives one number to several names"),
        ("label2id", {"a": 0, "b": 2}, "label2id must name the labels 0 to 1"),
        ("label2id", 3, "label2id must map names to numbers"),
        ("hidden_size", "12", "hidden_size must be an integer"),
        ("hidden_act", "swoosh", "unknown hidden_act 'swoosh'"),
        ("hidden_dropout_prob", True, "hidden_dropout_prob must lie in"),
        ("hidden_dropout_prob", float("nan"), "hidden_dropout_prob must lie in"),
        ("layer_norm_eps", float("inf"), "layer_norm_eps must be a finite number"),
        ("pad_token_id", 0.5, "pad_token_id must be an integer"),
        ("is_decoder", True, "no decoder"),
        ("problem_type", "guessing", "unknown problem_type 'guessing'; expected one of regression"),
        ("extra", [1], "extra must map names to values"),
    ],
)
def test_what_is_assigned_is_checked_at_once(name: str, value: Any, message: str) -> None:
    config = tiny.config()
    before = config.to_dict()
    with pytest.raises(ValueError, match=message):
        setattr(config, name, value)
    assert config.to_dict() == before


def test_a_misspelt_setting_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="BertConfig has no option 'hiden_size'; did you mean 'hidden_size'"):
        tiny.config().hiden_size = 3  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="no option 'num_lables'; did you mean 'num_labels'"):
        BertConfig(num_lables=3)


def test_what_does_not_fit_together_is_neither_built_nor_saved(tmp_path: Path) -> None:
    config = tiny.config()
    config.hidden_size = 10  # on the way to num_attention_heads = 5
    with pytest.raises(ValueError, match="not a multiple of num_attention_heads"):
        BertForSequenceClassification(config)
    with pytest.raises(ValueError, match="not a multiple of num_attention_heads"):
        config.save_pretrained(tmp_path)
    config.num_attention_heads = 5
    BertForSequenceClassification(config)
    config.id2label[5] = "a gap"  # a dict can be changed in place
    with pytest.raises(ValueError, match=r"labels 0 to 2, got the numbers \[0, 1, 5\]"):
        BertForSequenceClassification(config)
    with pytest.raises(ValueError, match="labels 0 to 2"):
        config.save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy() -> None:
    config = BertConfig(
        vocab_size=np.int32(99), num_labels=np.int64(3), hidden_dropout_prob=np.float32(0.25), return_dict=np.True_,
        initializer_range=np.array(0.5),
    )  # fmt: skip
    assert config == BertConfig(
        vocab_size=99, num_labels=3, hidden_dropout_prob=0.25, return_dict=True, initializer_range=0.5
    )
    assert json.loads(config.to_json_string())["hidden_dropout_prob"] == 0.25


def test_several_values_at_once_or_none() -> None:
    config = tiny.config()
    config.update({"hidden_size": 20, "num_attention_heads": 5})
    assert config.head_size == 4
    with pytest.raises(ValueError, match="not a multiple"):
        config.update({"vocab_size": 7, "num_attention_heads": 3})
    assert config.vocab_size == 37
    with pytest.raises(ValueError, match="did you mean 'vocab_size'"):
        config.update({"vocab_sise": 7})


# --- dictionaries, JSON, copies ---------------------------------------------------------------------------------------


def test_its_own_dictionary_makes_it_again() -> None:
    values = {"id2label": {"0": "no", "1": "yes"}, "architectures": ["BertModel"], "pooler_num_fc_layers": 3}
    config = BertConfig.from_dict({**values, "num_hidden_layers": 3})
    assert BertConfig(**config.to_dict()) == config
    assert BertConfig(use_cache=False).extra == {"use_cache": False}
    assert copy.copy(config) == copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config
    copy.copy(config).id2label[0] = "another"
    assert config.id2label[0] == "no"
    assert config != BertConfig.from_dict(values)
    assert "num_hidden_layers=3" in repr(config)


def test_what_a_file_brought_along_is_an_attribute() -> None:
    config = BertConfig.from_dict({"architectures": ["BertModel"], "self": 1, "extra": 2, "cls": 3})
    assert config.extra == {"architectures": ["BertModel"], "self": 1, "extra": 2, "cls": 3}
    assert config.architectures == ["BertModel"]
    config.use_cache = False
    assert config.use_cache is False
    assert config.to_dict()["use_cache"] is False
    assert getattr(config, "use_cash", None) is None
    with pytest.raises(AttributeError, match="BertConfig has no option 'hiden_size'; did you mean 'hidden_size'"):
        config.hiden_size  # noqa: B018


STRANGE: list[Any] = [
    None, True, -1, 0, 2.5, 10**400, "", "x", [], [1], {}, {"a": 1}, {"0": None}, {"0": "a", "00": "b"}, float("inf")
]  # fmt: skip


@pytest.mark.parametrize("name", sorted({*BertConfig.setting_names(), "model_type", "extra", "is_decoder", "dtype"}))
def test_any_value_of_any_setting_is_taken_or_refused_in_words(name: str) -> None:
    for value in STRANGE:
        said, config = "", None
        try:
            config = BertConfig.from_dict({name: value})
        except ValueError as error:
            said = str(error)
        assert "\n" not in said
        assert len(said) < 500
        if config is not None:
            assert BertConfig.from_dict(json.loads(config.to_json_string())) == config


def test_json(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=99, id2label={0: "nein", 1: "möglich"}, use_cache=True)
    assert config.to_diff_dict() == {
        "model_type": "bert", "vocab_size": 99, "id2label": {"0": "nein", "1": "möglich"},
        "label2id": {"nein": 0, "möglich": 1}, "use_cache": True,
    }  # fmt: skip
    assert json.loads(config.to_json_string()) == config.to_diff_dict()
    assert json.loads(config.to_json_string(use_diff=False)) == config.to_dict()
    for use_diff in (True, False):
        config.to_json_file(tmp_path / "some.json", use_diff=use_diff)
        assert BertConfig.from_json_file(tmp_path / "some.json") == config
    assert BertConfig.from_pretrained(tmp_path / "some.json", num_labels=5).num_labels == 5
    with pytest.raises(ValueError, match="is a folder; expected the name of a file"):
        config.to_json_file(tmp_path)


GOOGLE = """{
  "attention_probs_dropout_prob": 0.1, "directionality": "bidi", "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
  "hidden_size": 48, "initializer_range": 0.02, "intermediate_size": 64, "max_position_embeddings": 32,
  "num_attention_heads": 3, "num_hidden_layers": 2, "pooler_fc_size": 768, "pooler_type": "first_token_transform",
  "type_vocab_size": 2, "vocab_size": 99
}"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOGLE.encode(), None),
        (b"\xef\xbb\xbf" + GOOGLE.encode(), None),  # with a byte order mark
        (b'{"model_type": "", "torch_dtype": "float32", "num_labels": null, "id2label": null}', None),
        (b'{"initializer_range": NaN}', "is not JSON: it holds NaN, which is no number of JSON"),
        (b'{// a comment\n"vocab_size": 3}', "is not JSON: Expecting property name"),
        (b"", "it is empty; download it again"),
        (b"[1]", "holds a JSON list"),
        (b"[" * 100_000, "is not JSON: it is nested too deeply"),
        (b'{"a": "\xff"}', "is not UTF-8: byte 7"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"Entry not found", "is a server's error message"),
        (b'{"error": "Repository not found"}', "is a server's error message"),
        (b'{"model_type": "roberta"}', "has model_type 'roberta'; minibert reads BERT only"),
    ],
)
def test_files_of_every_age(tmp_path: Path, content: bytes, message: str | None) -> None:
    (tmp_path / "config.json").write_bytes(content)
    if message is None:
        config = BertConfig.from_pretrained(tmp_path)
        assert BertConfig(**config.to_dict()) == config == BertConfig.from_json_file(tmp_path / "config.json")
        return
    with pytest.raises(ValueError, match=message) as caught:
        BertConfig.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_where_else_a_configuration_may_be(tmp_path: Path) -> None:
    tiny.config().save_pretrained(tmp_path / "inner")
    with pytest.raises(ValueError, match="there is one in 'inner': pass subfolder='inner'"):
        BertConfig.from_pretrained(tmp_path)
    assert BertConfig.from_pretrained(tmp_path, subfolder="inner") == tiny.config()
    (tmp_path / "google").mkdir()
    (tmp_path / "google" / "bert_config.json").write_text(GOOGLE)
    with pytest.raises(ValueError, match=r"bert_config\.json is Google's name for it: copy it to config\.json"):
        BertConfig.from_pretrained(tmp_path / "google")


def test_configurations_of_every_era_are_read_by_name() -> None:
    """Those of 2019 name no model_type, and hold settings of text generation."""
    old = {"output_past": True, "do_sample": False, "pruned_heads": {}, "num_beams": 1, "prefix": None, "top_k": 50}
    config = BertConfig(vocab_size=99, directionality="bidi", pooler_type="first_token_transform", **old)
    assert config.do_sample is False
    assert BertConfig(**json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({0: "a", "0": "b"}, "id2label gives one number twice"),
        ({0: "a", 0.5: "b"}, "id2label must map numbers to names"),
        ({float("inf"): "a"}, "id2label must map numbers to names"),
    ],
)
def test_no_label_is_lost(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BertConfig(id2label=labels)


def test_settings_of_transformers_can_be_changed_anywhere(tmp_path: Path) -> None:
    config = tiny.config()
    config.update({"architectures": ["BertModel"], "use_cache": False})
    config.save_pretrained(tmp_path)
    assert BertConfig.from_pretrained(tmp_path).architectures == ["BertModel"]
    assert BertConfig.from_pretrained(tmp_path, use_cache=True).use_cache is True
    with pytest.raises(ValueError, match="is_decoder is True, and only False is built"):
        BertConfig.from_pretrained(tmp_path, is_decoder=True)
    nothing: Any = None
    with pytest.raises(ValueError, match="expected the contents of a config.json, a dictionary, got a NoneType"):
        BertConfig.from_dict(nothing)
