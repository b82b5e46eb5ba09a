"""What is measured: sizes, names, inputs, arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from minibert import BertConfig
from minibert.bench import inputs, peers, products, workloads
from minibert.bench.vocabulary import TEXT, tokenizer, words
from minibert.pretraining.recipe_file import read_recipe


def test_sizes() -> None:
    lengths = {w.name: w.lengths for w in workloads.WORKLOADS}
    assert lengths["dense"] == (128,) * 8
    assert lengths["long"] == (512, 512)
    assert lengths["single"] == (16,)
    assert lengths["pretrain-step"] == (128,) * 16
    assert lengths["mini-step"] == (128,) * 32
    assert len(lengths["ragged"]) == 64
    assert (min(lengths["ragged"]), max(lengths["ragged"])) == (4, 120)
    assert len(lengths["finetune-step"]) == 16


def test_the_small_model_is_the_one_of_its_recipe() -> None:
    mini, dense = workloads.by_name("mini-step"), workloads.by_name("dense")
    sizes = [workloads.size_for(w, wanted) for w in (mini, dense) for wanted in ("base", "tiny")]
    assert sizes == ["mini", "tiny", "base", "tiny"]
    recipe = read_recipe("mini")
    assert inputs.config_of("mini") == recipe.config(recipe.data.vocabulary_size or 0)
    assert mini.lengths in [(phase.max_length,) * phase.batch_size for phase in recipe.phases]


def test_names_and_groups() -> None:
    usual = [w.name for w in workloads.chosen([])]
    assert "attention-2048-backward" in usual
    assert not any("memory" in name for name in usual)
    assert len(workloads.chosen(["attention"])) == 6
    assert [w.name for w in workloads.chosen(["cold", "dense"])] == ["dense", "cold"]
    with pytest.raises(ValueError, match="unknown workload 'sparse'; expected one of dense, long"):
        workloads.chosen(["sparse"])
    with pytest.raises(ValueError, match="unknown peer 'jax'; expected one of torch-sdpa"):
        peers.chosen(["jax"])


def test_peers_get_a_ragged_batch_in_two_ways() -> None:
    every = peers.chosen(None)
    labels = [c.label for c in peers.contenders(workloads.by_name("ragged"), every)]
    assert {"torch-sdpa padded", "torch-sdpa sorted", "openvino padded", "explicit", "limit"} <= set(labels)
    assert "torch-sdpa" in [c.label for c in peers.contenders(workloads.by_name("dense"), every)]
    assert [c.label for c in peers.contenders(workloads.by_name("cold"), every)] == ["transformers", "explicit"]


def test_batches() -> None:
    ragged = workloads.by_name("ragged")
    batch = inputs.batch(ragged, BertConfig())
    assert batch.mask.sum(axis=1).tolist() == list(ragged.lengths)
    assert not batch.ids[batch.mask == 0].any()
    assert (batch.labels[batch.mask == 0] == -100).all()
    share = (batch.labels >= 0).sum() / batch.mask.sum()
    assert 0.12 < share < 0.2  # 15 %, and one in each of 64 short sentences
    assert np.array_equal(batch.ids, inputs.batch(ragged, BertConfig()).ids), "every process draws the same"
    groups = inputs.sorted_batches(ragged.lengths)
    assert [len(group) for group in groups] == [16] * 4
    assert sorted(np.concatenate(groups).tolist()) == list(range(64))
    longest = [max(ragged.lengths[i] for i in group) for group in groups]
    assert longest == sorted(longest)
    assert sum(16 * n for n in longest) < 0.5 * batch.mask.size


def test_arithmetic_of_a_forward_pass() -> None:
    """Against the usual formula: 24 T H^2 + 4 T S H in each layer, where F = 4 H."""
    T, H, S, layers = 8 * 128, 768, 128, 12
    expected = layers * (24 * T * H * H + 4 * T * S * H) / 1e9
    assert products.gflop(workloads.by_name("dense"), BertConfig()) == pytest.approx(expected)


def test_backward_is_twice_forward() -> None:
    forward, backward = (workloads.by_name(f"attention-512-{phase}") for phase in ("forward", "backward"))
    config = BertConfig()
    assert products.gflop(backward, config) == pytest.approx(2 * products.gflop(forward, config))
    assert products.gflop(workloads.by_name("cold"), config) == 0


@pytest.mark.parametrize("size", [300, 30522])
def test_vocabulary(size: int) -> None:
    assert len(set(words(size))) == size
    tokens = tokenizer(size).tokenize(TEXT)
    assert "[MASK]" in tokens
    assert "[UNK]" not in tokens
