"""Estimates against what is counted elsewhere: parameters of the model, products of the bench, memory as traced."""

from __future__ import annotations

import gc
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import minibert
from minibert import BertForPreTraining
from minibert.bench import inputs, products, workloads
from minibert.cli import main
from minibert.pretraining.estimate import _batch, activation_bytes, estimate, step_flop
from minibert.pretraining.recipe import DataPart, Phase, Recipe, RecipeError
from minibert.pretraining.recipe_file import read_recipe
from tests.pretraining import toy


def test_bert_base() -> None:
    found = estimate(read_recipe("bert-base-cased"), measure=False)
    H, F, V = 768, 3072, 30_000
    layers = 12 * (4 * (H * H + H) + 2 * H * F + F + H + 4 * H)
    embeddings, pooler = (V + 512 + 2 + 2) * H, H * H + H  # with their LayerNorm
    heads = (H * H + H) + 2 * H + V + (2 * H + 2)
    assert found.parameters == layers + embeddings + pooler + heads
    assert found.optimizer_bytes == 8 * found.parameters
    assert found.memory_bytes > 16 * found.parameters
    assert found.tokens == 256 * (900_000 * 128 + 100_000 * 512)
    # 6 FLOP for each parameter and token is the usual guess; the head works on 15 % of the tokens, attention is extra.
    assert found.flop == pytest.approx(6 * 90e6 * found.tokens, rel=0.1)
    assert found.seconds_here is found.flops_here is found.seconds_there is found.epochs is None


def test_arithmetic_is_the_bench_s() -> None:
    phase = Phase(max_length=128, batch_size=32, steps=1)
    workload, config = workloads.by_name("mini-step"), inputs.config_of("mini")
    labels = inputs.batch(workload, config).labels
    share = float((labels >= 0).mean())
    pooler = 6 * phase.batch_size * config.hidden_size**2
    assert step_flop(config, phase, share) == pytest.approx(products.gflop(workload, config) * 1e9 + pooler, rel=1e-6)


@pytest.mark.parametrize(("B", "S"), [(16, 64), (2, 256)])
def test_memory_of_a_step(B: int, S: int) -> None:
    """Within a third of what NumPy asks the system for: enough to know whether a recipe fits."""
    sizes = {
        "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 512,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    phase = Phase(max_length=S, batch_size=B, steps=1)
    config = Recipe.from_dict(
        {"schedule": {"steps": 1}, "phases": [{"max_length": S, "batch_size": B, "steps": 1}], "model": sizes}
    ).config(1000)
    model: Any = BertForPreTraining(config)
    batch = _batch(config, B, S, 0.15)
    model(**batch, return_logits=False).loss.backward()  # compiles, and fetches what stays
    model.zero_grad()
    gc.collect()
    tracemalloc.start()
    model(**batch, return_logits=False).loss.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    traced = peak - 4 * model.num_parameters()
    assert activation_bytes(config, phase, 0.15) == pytest.approx(traced, rel=0.33)


def test_time_here_and_elsewhere(tmp_path: Path) -> None:
    data = toy.prepare(tmp_path, documents=6)
    recipe = toy.recipe(data)
    found = estimate(recipe, ranks=4, flops=1e6)
    assert found.seconds_here is not None
    assert found.flops_here is not None
    assert found.seconds_here * found.flops_here == pytest.approx(found.flop)
    assert found.seconds_there == pytest.approx(found.flop / 4e6)
    assert found.epochs is not None
    with_ranks = estimate(recipe, ranks=2)
    assert with_ranks.seconds_there == pytest.approx((with_ranks.seconds_here or 0.0) / 2)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["estimate", "bert-base-cased", "--no-measure", "--ranks", "8", "--flops", "5e13"]
    assert main(options) == 0
    table = capsys.readouterr().out
    for name in ("parameters", "gradients", "Adam's moments", "activations", "steps", "tokens", "arithmetic"):
        assert name in table
    assert "8 ranks of 5e+13 FLOP/s" in table
    assert main([*options, "--json", "--set", "schedule.steps=2_000_000"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 2_000_000
    assert told["seconds_there"] == pytest.approx(told["flop"] / 4e14)
    assert main([*options, "--flops", "-1"]) == 2
    assert "argument --flops: expected a number above 0" in capsys.readouterr().err
    assert main(["estimate", "mini", "--no-measure", "--ranks", "8"]) == 2
    assert "what do the 8 ranks reach? Give --flops" in capsys.readouterr().err


def test_examples_are_timed_where_there_is_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minibert.pretraining.estimate.SECONDS_OF_EXAMPLES", 0.01)
    monkeypatch.setattr("minibert.pretraining.estimate.PATIENCE", 0.01)
    found = estimate(replace(toy.recipe(toy.prepare(tmp_path)), matmul_precision="medium"))
    assert found.examples_here is not None
    assert found.examples_here > 0
    assert ("examples", f"one core makes {found.examples_here:,.0f} tokens/s of them") in found.facts()
    assert minibert.get_float32_matmul_precision() == "highest"


def test_a_run_may_bear_the_name_of_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini").mkdir()
    assert main(["estimate", "mini", "--no-measure", "--json"]) == 0


def test_a_recipe_that_does_not_say_its_vocabulary() -> None:
    recipe = replace(read_recipe("mini"), data=DataPart())
    with pytest.raises(RecipeError, match="how large is the vocabulary?"):
        estimate(recipe, measure=False)
