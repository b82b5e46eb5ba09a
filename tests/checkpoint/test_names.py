"""The map from a file's names to a model's: every name of both sides is accounted for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minibert.checkpoint import CheckpointError, match_names, modern_name
from minibert.checkpoint.convert import guess_architecture
from minibert.checkpoint.names import TIED_BIAS

Shapes = Callable[..., dict[str, tuple[int, ...]]]
DECODER = ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"]


def _legacy(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def test_old_layer_norm_names() -> None:
    assert modern_name("bert.embeddings.LayerNorm.gamma") == "bert.embeddings.LayerNorm.weight"
    assert modern_name("LayerNorm.beta") == "LayerNorm.bias"
    assert modern_name("bert.gamma.dense.weight") == "bert.gamma.dense.weight"


def test_names_of_wrapped_models() -> None:
    assert modern_name("module.bert.embeddings.LayerNorm.gamma") == "bert.embeddings.LayerNorm.weight"
    assert modern_name("module._orig_mod.pooler.dense.bias") == "pooler.dense.bias"
    matched = match_names(["module.bert.pooler.dense.bias", "bert.pooler.dense.weight"], ["pooler.dense.bias"])
    assert matched.filled == {"pooler.dense.bias": "module.bert.pooler.dense.bias"}
    assert matched.unexpected == ["bert.pooler.dense.weight"]


@pytest.mark.parametrize("head", ["", "pooler", "mlm", "pretraining", "classifier"])
def test_the_same_model_is_the_identity(shapes: Shapes, head: str) -> None:
    names = list(shapes(head))
    result = match_names(names, names)
    assert result.filled == {name: name for name in names}
    assert not result.missing
    assert not result.unexpected
    assert not result.doubles


def test_every_old_name_finds_its_place(shapes: Shapes) -> None:
    names = list(shapes("pretraining"))
    result = match_names([_legacy(name) for name in names], names)
    assert result.filled == {name: _legacy(name) for name in names}


def test_a_bare_encoder_into_a_head_and_back(shapes: Shapes) -> None:
    bare, headed = list(shapes("pooler", prefix="")), list(shapes("classifier"))
    there = match_names(bare, headed)
    assert there.missing == ["classifier.weight", "classifier.bias"]
    assert there.filled["bert.pooler.dense.bias"] == "pooler.dense.bias"
    assert not there.unexpected
    back = match_names(headed, bare)
    assert back.unexpected == ["classifier.weight", "classifier.bias"]
    assert back.filled == {name: f"bert.{name}" for name in bare}
    assert not back.missing


def test_position_ids_are_no_weight(shapes: Shapes) -> None:
    names = list(shapes("pooler", prefix=""))
    result = match_names([*names, "embeddings.position_ids", "bert.embeddings.token_type_ids"], names)
    assert not result.unexpected


@pytest.mark.parametrize("written", [[], DECODER[:1], DECODER[1:], DECODER])
@pytest.mark.parametrize("wanted", [[], DECODER])
def test_the_tied_decoder_present_or_absent(shapes: Shapes, written: list[str], wanted: list[str]) -> None:
    names = list(shapes("mlm"))
    result = match_names([*names, *written], [*names, *wanted])
    assert not result.missing
    assert not result.unexpected
    if wanted:
        assert result.filled[DECODER[0]] == "bert.embeddings.word_embeddings.weight"
        assert result.filled[DECODER[1]] == "cls.predictions.bias"
    assert len(result.doubles) == len(written)


def test_the_bias_under_its_second_name_only(shapes: Shapes) -> None:
    names = list(shapes("mlm"))
    file = [name for name in names if name != "cls.predictions.bias"] + DECODER[1:]
    result = match_names(file, [*names, *DECODER])
    assert result.filled["cls.predictions.bias"] == DECODER[1]
    assert result.filled[DECODER[1]] == DECODER[1]
    assert not result.missing


def test_the_embeddings_under_the_decoder_s_name_only(shapes: Shapes) -> None:
    names = list(shapes("mlm"))
    file = [name for name in names if "word_embeddings" not in name] + DECODER[:1]
    result = match_names(file, names)
    assert result.filled["bert.embeddings.word_embeddings.weight"] == DECODER[0]


def test_an_untied_decoder_is_a_weight_of_its_own(shapes: Shapes) -> None:
    names = list(shapes("mlm"))
    result = match_names([*names, DECODER[0]], [*names, DECODER[0]], tied=TIED_BIAS)
    assert result.filled[DECODER[0]] == DECODER[0]
    assert not result.doubles
    assert match_names(names, [*names, DECODER[0]], tied=TIED_BIAS).missing == [DECODER[0]]


def test_the_masked_word_head_is_left_over_in_an_encoder(shapes: Shapes) -> None:
    result = match_names([*shapes("mlm"), *DECODER], shapes("", prefix=""))
    assert result.unexpected == [name for name in [*shapes("mlm"), *DECODER] if name.startswith("cls.")]


def test_two_tensors_for_one_place() -> None:
    names = ["embeddings.LayerNorm.weight"]
    with pytest.raises(CheckpointError, match=r"LayerNorm\.gamma and embeddings\.LayerNorm\.weight .* expected one"):
        match_names(["embeddings.LayerNorm.weight", "embeddings.LayerNorm.gamma"], names)


@pytest.mark.parametrize(
    ("head", "architecture"),
    [
        ("", "BertModel"),
        ("pooler", "BertModel"),
        ("mlm", "BertForMaskedLM"),
        ("pretraining", "BertForPreTraining"),
        ("classifier", "BertForSequenceClassification"),
    ],
)
def test_the_architecture_is_guessed_from_the_names(shapes: Shapes, head: str, architecture: str) -> None:
    assert guess_architecture(shapes(head)) == architecture
