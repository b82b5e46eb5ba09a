"""`from_pretrained`: what fills what, what is reported, what is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minibert
from minibert import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from minibert.checkpoint import CheckpointError, CheckpointWarning

State = dict[str, np.ndarray]
Write = Callable[..., Path]
MakeState = Callable[..., State]
DECODER = "cls.predictions.decoder.weight"
WORDS = "bert.embeddings.word_embeddings.weight"


def _old(state: State) -> State:
    return {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in state.items()
    }


def _holds(model: Any, state: State) -> None:
    """Every tensor of `state` is what the model computes with, bit for bit."""
    own = model.state_dict()
    for name, array in state.items():
        np.testing.assert_array_equal(own[name], array)


@pytest.mark.parametrize(
    ("cls", "head", "prefix"),
    [
        (BertModel, "pooler", ""),
        (BertForMaskedLM, "mlm", "bert."),
        (BertForPreTraining, "pretraining", "bert."),
        (BertForSequenceClassification, "classifier", "bert."),
    ],
)
def test_everything_arrives(write: Write, state: MakeState, cls: Any, head: str, prefix: str) -> None:
    weights = state(head, prefix=prefix)
    model, info = cls.from_pretrained(write(weights), output_loading_info=True)
    _holds(model, weights)
    assert info == {
        "missing_keys": set(),
        "unexpected_keys": set(),
        "mismatched_keys": set(),
        "error_msgs": [],
    }
    assert not model.training
    assert all(parameter.data.flags.writeable for parameter in model.parameters())


def test_old_names_position_ids_and_a_second_decoder(write: Write, state: MakeState) -> None:
    weights = state("mlm")
    second = {DECODER: weights[WORDS], "cls.predictions.decoder.bias": weights["cls.predictions.bias"]}
    folder = write(
        _old(weights) | second | {"bert.embeddings.position_ids": np.arange(17)[None]},
        {**_config(), "model_type": None},
    )
    model, info = BertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    _holds(model, weights | second)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight


def _config(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "vocab_size": 99,
        "hidden_size": 39,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 37,
        "max_position_embeddings": 17,
        **changes,
    }


@given(data=st.data())
def test_any_mixture_of_spellings(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Prefix or none, gamma or weight, decoder absent or present: each tensor on its own, and the model is the same."""
    from safetensors.numpy import save_file

    from minibert.nn import skip_init

    with skip_init():
        shapes = {
            name: array.shape for name, array in BertForMaskedLM(BertConfig.from_dict(_config())).state_dict().items()
        }
    generator = np.random.default_rng(7)
    weights = {name: generator.standard_normal(shape).astype("f4") for name, shape in shapes.items()}
    weights[DECODER], weights["cls.predictions.decoder.bias"] = weights[WORDS], weights["cls.predictions.bias"]
    prefixed, old = data.draw(st.booleans()), data.draw(st.booleans())
    left_out = data.draw(st.sampled_from([[], [DECODER], [WORDS], [DECODER, "cls.predictions.decoder.bias"],
                                          ["cls.predictions.bias"], [WORDS, "cls.predictions.bias"]]))  # fmt: skip
    written = {name: array for name, array in weights.items() if name not in left_out}
    written = _old(written) if old else written
    if not prefixed:
        written = {name.removeprefix("bert."): array for name, array in written.items()}
    folder = tmp_path_factory.mktemp("mixture")
    save_file(written, folder / "model.safetensors")
    model, info = BertForMaskedLM.from_pretrained(
        folder, config=BertConfig.from_dict(_config()), output_loading_info=True
    )
    _holds(model, weights)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


def test_a_decoder_of_its_own_is_kept(write: Write, state: MakeState) -> None:
    weights = state("mlm")
    weights[DECODER] = weights[WORDS] + 1
    folder = write(weights)
    with pytest.warns(CheckpointWarning, match="differs from the word embeddings"):
        model = BertForMaskedLM.from_pretrained(folder)
    _holds(model, weights)
    assert not model.config.tie_word_embeddings
    quiet = BertForMaskedLM.from_pretrained(folder, tie_word_embeddings=False)
    _holds(quiet, weights)


def test_left_over_heads_are_silent_and_listed(write: Write, state: MakeState) -> None:
    model, info = BertModel.from_pretrained(write(state("pretraining")), output_loading_info=True)
    assert info["unexpected_keys"] == {name for name in state("pretraining") if name.startswith("cls.")}
    _holds(model, {n.removeprefix("bert."): a for n, a in state("pretraining").items() if n.startswith("bert.")})


def test_tensors_of_no_bert_are_a_warning(write: Write, state: MakeState) -> None:
    folder = write(state("mlm") | {"bert.encoder.layer.2.output.dense.bias": np.zeros(39, "f4")})
    with pytest.warns(CheckpointWarning, match=r"1 tensors were not used: bert\.encoder\.layer\.2"):
        BertForMaskedLM.from_pretrained(folder)


def test_a_new_head_is_a_warning_by_name(write: Write, state: MakeState) -> None:
    weights = state("pooler", prefix="")
    folder = write(weights)
    with pytest.warns(CheckpointWarning, match=r"newly initialised.*: classifier\.weight, classifier\.bias; train"):
        model, info = BertForTokenClassification.from_pretrained(folder, num_labels=5, output_loading_info=True)
    assert info["missing_keys"] == {"classifier.weight", "classifier.bias"}
    assert model.config.num_labels == 5
    assert model.classifier.weight.shape == (5, 39)
    spread = float(np.std(model.classifier.weight.numpy()))
    # 195 draws of a normal(0, 0.02) cut at two deviations have 0.0176 +- 0.001; 0.01 .. 0.03 is ten of those away.
    assert 0.01 < spread < 0.03
    assert not model.classifier.bias.numpy().any()
    _holds(model.bert, {name: array for name, array in weights.items() if not name.startswith("pooler")})


def test_a_new_pooler_is_a_warning(write: Write, state: MakeState) -> None:
    with pytest.warns(CheckpointWarning, match=r"BertModel .*: pooler\.dense\.weight, pooler\.dense\.bias"):
        BertModel.from_pretrained(write(state("mlm")))


def test_a_hole_in_the_encoder_is_an_error(write: Write, state: MakeState) -> None:
    weights = state("mlm")
    hole = "bert.encoder.layer.1.output.dense.weight"
    folder = write({name: array for name, array in weights.items() if name != hole})
    with pytest.raises(CheckpointError, match=rf"lacks 1 weights of the encoder: {hole}; check num_hidden_layers"):
        BertForMaskedLM.from_pretrained(folder)
    with pytest.warns(CheckpointWarning, match=hole):
        model = BertForMaskedLM.from_pretrained(folder, strict=False)
    assert model.state_dict()[hole].any()


def test_wrong_shapes_name_the_tensor_and_both_shapes(write: Write, state: MakeState) -> None:
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    folder = write(state("mlm") | {name: np.zeros((39, 37), "f4")})  # turned
    message = rf"{name} has shape \(39, 37\), the model expects \(37, 39\)"
    with pytest.raises(CheckpointError, match=message):
        BertForMaskedLM.from_pretrained(folder)
    with pytest.raises(CheckpointError, match=message):  # ignoring is for heads only
        BertForMaskedLM.from_pretrained(folder, ignore_mismatched_sizes=True)


def test_another_number_of_labels(write: Write, state: MakeState) -> None:
    weights = state("classifier", labels=2)
    folder = write(weights)
    with pytest.raises(CheckpointError, match=r"classifier\.weight has shape \(2, 39\), the model expects \(7, 39\).*"):
        BertForSequenceClassification.from_pretrained(folder, num_labels=7)
    with pytest.warns(CheckpointWarning, match="newly initialised"):
        model, info = BertForSequenceClassification.from_pretrained(
            folder, num_labels=7, ignore_mismatched_sizes=True, output_loading_info=True
        )
    assert info["mismatched_keys"] == {
        ("classifier.weight", (2, 39), (7, 39)),
        ("classifier.bias", (2,), (7,)),
    }
    assert model.classifier.weight.shape == (7, 39)


@pytest.mark.parametrize(("number", "names", "labels"), [(50, 2, 50), (2, 50, 50), (None, 50, 50), (50, None, 50)])
def test_the_weights_settle_the_number_of_labels(
    write: Write, state: MakeState, number: int | None, names: int | None, labels: int
) -> None:
    config = _config()
    if number is not None:
        config["num_labels"] = number
    if names is not None:
        config["id2label"] = {str(i): f"name {i}" for i in range(names)}
    folder = write(state("classifier", labels=labels), config)
    model = BertForSequenceClassification.from_pretrained(folder)
    assert model.config.num_labels == len(model.config.id2label) == 50
    assert model.config.id2label[49] == ("name 49" if names == 50 else "LABEL_49")


def test_half_precision_and_double(write: Write, state: MakeState) -> None:
    weights = state("mlm")
    half = write({name: array.astype("f2") for name, array in weights.items()}, name="half")
    _holds(BertForMaskedLM.from_pretrained(half), {n: a.astype("f2").astype("f4") for n, a in weights.items()})
    double = BertForMaskedLM.from_pretrained(half, dtype="float64")
    assert {str(parameter.dtype) for parameter in double.parameters()} == {"float64"}
    wide = write({name: array.astype("f8") for name, array in weights.items()}, name="wide")
    assert str(next(BertForMaskedLM.from_pretrained(wide).parameters()).dtype) == "float32"
    assert str(next(BertForMaskedLM.from_pretrained(wide, dtype="auto").parameters()).dtype) == "float64"
    assert str(next(BertForMaskedLM.from_pretrained(half, dtype="auto").parameters()).dtype) == "float32"


def test_a_loaded_model_can_be_trained_and_the_file_stays(write: Write, state: MakeState) -> None:
    folder = write(state("mlm"))
    before = (folder / "model.safetensors").read_bytes()
    model = BertForMaskedLM.from_pretrained(folder)
    ids = np.array([[2, 5, 7, 11]])
    model(ids, labels=ids).loss.backward()
    for parameter in model.parameters():
        parameter.data -= 0.1 * parameter.grad.data
    assert (folder / "model.safetensors").read_bytes() == before


def test_nothing_is_drawn_when_everything_arrives(
    write: Write, state: MakeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("random numbers were drawn for weights that the file has")

    monkeypatch.setattr(minibert.nn, "truncated_normal", fail)
    BertForMaskedLM.from_pretrained(write(state("mlm")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, 'expected "float32", "float64" or "auto"'),
        ({"dtype": "real"}, 'expected "float32", "float64" or "auto"'),
        ({"device_map": "auto"}, "device_map='auto' is not supported"),
        ({"hidden_act": "swish-ish"}, "unknown hidden_act 'swish-ish'"),
        ({"num_labels": -1}, "num_labels must be an integer from 1 to 4194304"),
        ({"num_labels": "many"}, "num_labels must be an integer from 1 to 4194304"),
    ],
)
def test_options_that_cannot_be(write: Write, state: MakeState, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        BertForMaskedLM.from_pretrained(write(state("mlm")), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float64", "torch.float64", np.float64, np.dtype("float64")])
def test_the_dtype_by_either_name(write: Write, state: MakeState, config: dict[str, Any], dtype: Any) -> None:
    """Configurations hold a torch_dtype, but as an option it is no setting of theirs that changes nothing."""
    folder = write(state("mlm"), config | {"torch_dtype": "float32"})
    assert BertForMaskedLM.from_pretrained(folder, torch_dtype=dtype).dtype == np.float64
    assert BertForMaskedLM.from_pretrained(folder, dtype=dtype).dtype == np.float64
    assert BertForMaskedLM.from_pretrained(folder, torch_dtype=None).dtype == np.float32
    with pytest.raises(CheckpointError, match="two names for one thing"):
        BertForMaskedLM.from_pretrained(folder, dtype=dtype, torch_dtype=dtype)


def test_a_checkpoint_of_something_else(write: Write) -> None:
    with pytest.raises(CheckpointError, match="none of its 1 tensors belongs to BertModel; it has transformer"):
        BertModel.from_pretrained(write({"transformer.wte.weight": np.ones((3, 2), "f4")}))


def test_quantised_weights_are_refused(write: Write, state: MakeState) -> None:
    weights: dict[str, Any] = dict(state("mlm"))
    weights["bert.encoder.layer.0.output.dense.weight"] = np.ones((39, 37), "i1")
    with pytest.raises(CheckpointError, match=r"output\.dense\.weight is stored as I8; expected floating-point"):
        BertForMaskedLM.from_pretrained(write(weights))


def test_no_warning_when_all_is_well(write: Write, state: MakeState) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BertForPreTraining.from_pretrained(write(state("pretraining")))


def test_without_the_pooler_it_has(write: Write, state: MakeState) -> None:
    folder = write(state("pooler"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = BertModel.from_pretrained(folder, add_pooling_layer=False, output_hidden_states=True)
    assert model.pooler is None
    out = model([[1, 2, 3]])
    assert out.keys() == ["last_hidden_state", "hidden_states"]
    with pytest.raises(CheckpointError, match="'add_pooling_layer'"):
        BertForMaskedLM.from_pretrained(folder, add_pooling_layer=False)
