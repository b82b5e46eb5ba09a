"""Starting from a trained model: the same weights, or more layers that change nothing until they have learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import BertConfig, BertForPreTraining, BertTokenizer, manual_seed
from minibert.cli import main
from minibert.pretraining.continuation import start_from_checkpoint
from minibert.pretraining.errors import DataError
from minibert.pretraining.recipe import Recipe, RecipeError, StartPart
from minibert.pretraining.recipe_file import read_recipe, write_recipe
from tests.pretraining import toy

SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "max_position_embeddings": 32,
}  # fmt: skip


def made(**changes: Any) -> BertForPreTraining:
    return BertForPreTraining(BertConfig(vocab_size=len(toy.VOCAB), **{**SIZES, **changes}))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose LayerNorms have learned something: scale and shift are not 1 and 0."""
    folder = tmp_path_factory.mktemp("trained")
    manual_seed(3)
    model = made()
    rng = np.random.default_rng(0)
    for name, parameter in model.named_parameters():
        if "LayerNorm" in name:
            parameter.data = parameter.data + rng.normal(0, 0.3, parameter.shape).astype(np.float32)
    model.save_pretrained(folder)
    toy.tokenizer().save_pretrained(folder)
    return folder


def outputs(model: BertForPreTraining) -> list[np.ndarray]:
    ids = np.random.default_rng(1).integers(5, len(toy.VOCAB), (3, 9))
    out = model.eval()(input_ids=ids)
    return [out.prediction_logits.numpy(), out.seq_relationship_logits.numpy()]


@pytest.mark.parametrize("layers", [2, 3, 5])
def test_the_start_computes_what_the_checkpoint_does(checkpoint: Path, layers: int) -> None:
    expected = outputs(BertForPreTraining.from_pretrained(checkpoint))
    model = made(num_hidden_layers=layers)
    start_from_checkpoint(model, str(checkpoint), toy.tokenizer())
    for ours, theirs in zip(outputs(model), expected, strict=True):
        # Each LayerNorm that repeats another one rounds again: some float32 steps of numbers around 1.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6)


def test_new_layers_learn(checkpoint: Path) -> None:
    model = made(num_hidden_layers=4, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    start_from_checkpoint(model, str(checkpoint), toy.tokenizer())
    ids = np.random.default_rng(1).integers(5, len(toy.VOCAB), (3, 9))
    model.train()(input_ids=ids, labels=ids, next_sentence_label=np.array([0, 1, 0])).loss.backward()
    for layer in model.bert.encoder.layer[2:]:
        for part in (layer.attention.output, layer.output):
            assert part.dense.weight.grad is not None
            assert np.abs(np.asarray(part.dense.weight.grad)).max() > 1e-6


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_hidden_layers": 1}, "has 2 layers and the recipe 1"),
        ({"intermediate_size": 40}, "intermediate_size is 48 in .* and 40 in the recipe"),
    ],
)
def test_another_model_is_refused(checkpoint: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        start_from_checkpoint(made(**changes), str(checkpoint), toy.tokenizer())


def test_another_vocabulary_is_refused(checkpoint: Path) -> None:
    swapped = [*toy.VOCAB[:-2], toy.VOCAB[-1], toy.VOCAB[-2]]
    with pytest.raises(DataError, match="another vocabulary"):
        start_from_checkpoint(made(), str(checkpoint), BertTokenizer(swapped, do_lower_case=True))


def test_checkpoint_and_initialisation_go_together() -> None:
    with pytest.raises(RecipeError, match="start.checkpoint goes with"):
        StartPart(initialisation="checkpoint")
    with pytest.raises(RecipeError, match="start.checkpoint goes with"):
        StartPart(checkpoint="somewhere")


def test_a_run_goes_on_from_a_finished_one(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = toy.prepare(tmp_path / "data")
    start = StartPart(initialisation="checkpoint", checkpoint=str(checkpoint))
    recipe: Recipe = replace(toy.recipe(data), start=start)
    recipe = replace(recipe, model={**recipe.model, "num_hidden_layers": 3})
    write_recipe(tmp_path / "more", recipe)
    assert main(["pretrain", str(tmp_path / "more" / "recipe.toml"), "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert BertForPreTraining.from_pretrained(tmp_path / "run" / "model").config.num_hidden_layers == 3
    capsys.readouterr()
    beside = tmp_path / "beside"  # a path in a recipe counts from the recipe's folder
    write_recipe(beside, replace(recipe, start=replace(start, checkpoint="../run/model")))
    assert read_recipe(beside / "recipe.toml").start.checkpoint == str(beside / "../run/model")
    missing = replace(recipe, start=replace(start, checkpoint=str(tmp_path / "nowhere")))
    write_recipe(tmp_path / "missing", missing)
    command = ["pretrain", str(tmp_path / "missing" / "recipe.toml"), "--out", str(tmp_path / "other"), "--quiet"]
    told = []
    for _ in range(2):  # the second time it must not say that there is a run already
        assert main(command) == 2
        told.append(capsys.readouterr().err)
    assert len(told[0].splitlines()) == 1
    assert told[0] == told[1]
    assert [path.name for path in (tmp_path / "other").iterdir() if not path.name.startswith(".")] == []
