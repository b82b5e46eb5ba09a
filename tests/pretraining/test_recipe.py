"""Recipes: what they say, what is refused and how, and the procedure of the model card in one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minibert.pretraining.recipe import Recipe, RecipeError, differences
from minibert.pretraining.recipe_file import bundled, read_recipe, write_recipe

MINIMAL: dict[str, Any] = {
    "schedule": {"steps": 10}, "phases": [{"share": 1.0, "max_length": 16, "batch_size": 4}],
}  # fmt: skip


def made(**changes: Any) -> Recipe:
    return Recipe.from_dict({**MINIMAL, **changes})


def test_the_card_to_the_letter() -> None:
    recipe = read_recipe("bert-base-cased")
    assert recipe.schedule.steps == 1_000_000
    assert recipe.schedule.warmup == 10_000
    assert recipe.schedule.decay == "linear"
    assert recipe.phase_steps() == [900_000, 100_000]
    assert [(p.max_length, p.batch_size) for p in recipe.phases] == [(128, 256), (512, 256)]
    assert (recipe.optimizer.lr, recipe.optimizer.betas, recipe.optimizer.weight_decay) == (1e-4, (0.9, 0.999), 0.01)
    assert recipe.data.masking_probability == 0.15
    assert recipe.data.vocabulary_size == 30_000
    assert recipe.start.initialisation == "normal"
    config = recipe.config(30_000)
    sizes = config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.intermediate_size
    assert sizes == (768, 12, 12, 3072)
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.1


def test_those_that_come_along() -> None:
    assert bundled() == ["bert-base-cased", "mini", "mini-deeper", "mini-longer"]
    for name in bundled():
        recipe = read_recipe(name)
        assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimiser": {}}, "unknown key optimiser; did you mean optimizer?"),
        ({"optimizer": {"learning_rate": 1e-3}}, "unknown key optimizer.learning_rate; the keys are betas, eps, lr"),
        ({"optimizer": {"weight_decays": 0.1}}, "did you mean optimizer.weight_decay?"),
        ({"optimizer": {"lr": "fast"}}, "optimizer.lr must be a number, got 'fast'"),
        ({"optimizer": {"lr": True}}, "optimizer.lr must be a number, got True"),
        ({"optimizer": {"lr": 0.0}}, "optimizer.lr must be above 0"),
        ({"optimizer": {"betas": [0.9]}}, "optimizer.betas must be a list of 2"),
        ({"optimizer": {"betas": [0.9, 1.0]}}, "optimizer.betas must be at least 0 and below 1"),
        ({"optimizer": {"name": "sgd"}}, "optimizer.name must be one of adamw, adam, bertadam, got 'sgd'"),
        ({"optimizer": 3}, "optimizer must be a table, got 3"),
        ({"schedule": {"steps": 10.5}}, "schedule.steps must be an integer, got 10.5"),
        ({"schedule": {}}, "schedule.steps is missing"),
        ({"schedule": {"steps": 10, "warmup": 11}}, "schedule.warmup must lie between 0 and 10"),
        ({"schedule": {"steps": 10, "decay": "cubic"}}, "schedule.decay must be one of linear, google"),
        ({"phases": []}, "needs at least one"),
        ({"phases": [{"max_length": 16, "batch_size": 4}]}, "either share or steps"),
        ({"phases": [{"max_length": 16, "batch_size": 4, "share": 0.5}]}, "shares must add up to 1"),
        ({"phases": [{"max_length": 16, "batch_size": 4, "steps": 9}]}, "the phases have 9 steps; expected .*= 10"),
        ({"phases": [{"max_length": 16, "batch_size": 4, "share": 1, "accumulation": 3}]}, "must divide batch_size 4"),
        ({"phases": [{"max_length": 600, "batch_size": 4, "share": 1}]}, "max_position_embeddings, 512, got 600"),
        ({"phases": {"share": 1}}, "phases must be a list"),
        ({"model": {"hidden_sise": 8}}, "unknown key model.hidden_sise; did you mean model.hidden_size?"),
        ({"model": {"hidden_size": 10, "num_attention_heads": 3}}, "model: hidden_size 10 is not a multiple"),
        ({"model": {"vocab_size": 5}}, "it is the size of the data's vocabulary"),
        ({"data": {"masking_probability": 1.5}}, "data.masking_probability must lie between 0 and 1"),
        ({"start": {"initialisation": "zeros"}}, "start.initialisation must be one of normal, cooccurrence"),
        ({"start": {"words": 1}}, "start.words must be true or false, got 1"),
        ({"seed": -1}, "seed must lie between"),
        ({"keep": 0}, "keep must be at least 1"),
        ({"evaluate_every": -1}, "evaluate_every must be 0"),
    ],
)  # fmt: skip
def test_what_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        made(**change)


def test_phases_share_the_steps_without_losing_any() -> None:
    phases = [{"share": 1 / 3, "max_length": 16, "batch_size": 4}] * 3
    recipe = made(phases=phases, schedule={"steps": 100})
    assert recipe.phase_steps() == [33, 34, 33]
    assert [recipe.phase_of(step) for step in (0, 32, 33, 66, 67, 99, 100)] == [0, 0, 1, 1, 2, 2, 2]


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    phase = "[[phases]]\nsteps = 7\nmax_length = 9\nbatch_size = 2\n"
    file.write_text(f'seed = 3\n[data]\nfolder = "here"\n[schedule]\nsteps = 7\n{phase}')
    settings = ["optimizer.lr=3e-4", "phases.0.batch_size=6", "data.held_out=/there", "seed=4"]
    recipe = read_recipe(file, settings=settings)
    assert recipe.data.folder == str(tmp_path / "here"), "meant from the file's folder"
    assert recipe.data.held_out == "/there"
    assert (recipe.optimizer.lr, recipe.phases[0].batch_size, recipe.seed) == (3e-4, 6, 4)
    write_recipe(tmp_path, recipe)
    assert read_recipe(tmp_path / "recipe.toml") == recipe


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.lr", "expected KEY=VALUE"),
        ("optimizer.rate=1", "unknown key optimizer.rate"),
        ("phases.3.batch_size=1", "expected a number from 0 to 2, got '3'"),
        ("seed.more=1", "seed is a value, and has no more"),
        ("seed.much.more=1", "nothing of that name"),
    ],
)
def test_settings_that_make_no_sense(setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_recipe("mini", settings=[setting])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no recipe nowhere; expected a TOML file, or one of bert-base"):
        read_recipe("nowhere")
    (tmp_path / "bad.toml").write_text("seed = = 3")
    with pytest.raises(RecipeError, match="bad.toml is not TOML"):
        read_recipe(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(RecipeError, match="is not TOML"):
        read_recipe(tmp_path / "latin.toml")
    with pytest.raises(RecipeError, match="the recipe .* cannot be read: it is a folder; expected a file"):
        read_recipe(tmp_path)


def test_differences_that_count() -> None:
    a, b = made(), made(optimizer={"lr": 2e-4}, keep=5, save_every=7, data={"folder": "/elsewhere"})
    assert differences(a.to_dict(), a.to_dict()) == []
    assert differences(a.to_dict(), b.to_dict()) == ["optimizer.lr is 0.0002, was 0.0001"]
    longer = made(schedule={"steps": 20})
    assert differences(a.to_dict(), longer.to_dict()) == ["schedule.steps is 20, was 10"]
