"""The model that comes with the package: it is what its card says, and it answers without a download."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minibert
from minibert.models import MINI, MODELS, bundled
from minibert.pipelines import DEFAULT_MODELS

LIMIT = 16_000_000
"""Bytes that the models may add to the wheel."""


@pytest.fixture(scope="module")
def folder() -> Path:
    found = bundled(MINI)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def model(folder: Path) -> minibert.BertForPreTraining:
    return minibert.BertForPreTraining.from_pretrained(folder).eval()


def evaluation(folder: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found: dict[str, float] = [line["evaluation"] for line in lines if "evaluation" in line][-1]
    return found


def test_small_enough_for_the_wheel(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.parent.rglob("*") if path.is_file()) <= LIMIT


def test_weights_are_finite_and_half_precision(folder: Path, model: minibert.BertForPreTraining) -> None:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "np") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118 (not a dict)
    assert all(np.isfinite(parameter.numpy()).all() for parameter in model.parameters())


def test_names_lead_to_it(folder: Path) -> None:
    assert DEFAULT_MODELS["fill-mask"] == MINI
    assert bundled("bert-base-cased") is None
    for name in MODELS:
        tokenizer = minibert.BertTokenizer.from_pretrained(name)
        assert minibert.BertModel.from_pretrained(name).config.vocab_size == len(tokenizer)


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / MINI).mkdir()
    with pytest.raises(ValueError, match=r"config\.json"):
        minibert.BertModel.from_pretrained(MINI)


def test_it_is_the_default_of_fill_mask() -> None:
    words = minibert.pipeline("fill-mask")("He put his [MASK] in his pocket.")
    assert "hand" in [word["token_str"] for word in words]


def test_the_commands_first_answer() -> None:
    code = "import sys; sys.modules['torch'] = None; from minibert.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "fill-mask", "The [MASK] sat on the throne.", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "man" in [word["token_str"].lower() for word in json.loads(done.stdout)["predictions"]]


def test_recipe_and_metrics_are_those_of_the_card(folder: Path) -> None:
    from minibert.pretraining.recipe_file import read_recipe

    recipe, card, found = read_recipe(folder / "recipe.toml"), (folder / "README.md").read_text(), evaluation(folder)
    config = minibert.BertConfig.from_dict(json.loads((folder / "config.json").read_text()))
    assert (config.hidden_size, config.num_hidden_layers) == (
        recipe.model["hidden_size"],
        recipe.model["num_hidden_layers"],
    )
    for key in ("mlm_top1", "mlm_top5", "nsp_accuracy"):
        assert re.search(rf"\b{found[key]:.3f}\b", card), f"the card does not show {key} = {found[key]:.3f}"
