"""Biases and LayerNorms do not decay, whatever they are called, and tied weights appear once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minibert import nn
from minibert.autograd import Tensor
from minibert.optim import (
    AdamW,
    BertAdam,
    decay_groups,
)


def parameter(values: Any, grad: Any = None) -> Tensor:
    p = Tensor(np.array(values, np.float64), requires_grad=True)
    if grad is not None:
        p.grad = Tensor(np.array(grad, np.float64))
    return p


class Tied(nn.Module):
    """An embedding, and a decoder that shares its weight, with every kind of name that must not decay."""

    def __init__(self) -> None:
        self.embedding = nn.Embedding(5, 3)
        self.dense = nn.Linear(3, 3)
        self.LayerNorm = nn.LayerNorm(3)
        self.ln_1 = nn.LayerNorm(3)  # a LayerNorm by type only
        self.decoder = nn.Linear(3, 5)
        self.decoder.weight = self.embedding.weight


def test_a_tied_weight_is_listed_once_and_stepped_once() -> None:
    model = Tied().to(dtype="float64")
    groups = decay_groups(model)
    assert [name for group in groups for name in group["param_names"]].count("embedding.weight") == 1
    assert "decoder.weight" not in groups[0]["param_names"]
    weight = model.embedding.weight
    before = weight.data.copy()
    weight.grad = Tensor(np.ones(weight.shape))
    AdamW(groups, lr=0.1, weight_decay=0.0, eps=0.0).step()
    np.testing.assert_allclose(before * (1 - 0.1 * 0.01) - weight.data, 0.1, rtol=1e-12)  # once, not twice


def test_decay_groups_of_a_module() -> None:
    decay, plain = decay_groups(Tied(), weight_decay=0.3)
    assert decay["param_names"] == ["embedding.weight", "dense.weight"]
    assert plain["param_names"] == [
        "dense.bias", "LayerNorm.weight", "LayerNorm.bias", "ln_1.weight", "ln_1.bias", "decoder.bias",
    ]  # fmt: skip
    assert (decay["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)


@pytest.mark.parametrize(
    ("name", "decays"),
    [
        ("bert.embeddings.word_embeddings.weight", True),
        ("bert.embeddings.position_embeddings.weight", True),
        ("bert.encoder.layer.0.attention.self.query.weight", True),
        ("bert.encoder.layer.0.attention.self.query.bias", False),
        ("bert.encoder.layer.0.attention.output.LayerNorm.weight", False),
        ("bert.encoder.layer.0.output.LayerNorm.bias", False),
        ("bert.embeddings.LayerNorm.gamma", False),
        ("bert.embeddings.LayerNorm.beta", False),
        ("norm1.gamma", False),
        ("norm1.beta", False),
        ("encoder.layer_norm.weight", False),
        ("encoder.layernorm.weight", False),
        ("cls.predictions.bias", False),
        ("cls.predictions.transform.LayerNorm.weight", False),
        ("classifier.weight", True),
        ("bias_table.weight", True),
        ("gamma.weight", True),
        ("bias", False),
    ],
)
def test_decay_by_name(name: str, decays: bool) -> None:
    p = parameter([1.0])
    decay, plain = decay_groups([(name, p)])
    assert (decay if decays else plain)["params"] == [p]
    assert (plain if decays else decay)["params"] == []


def test_decay_groups_lists_each_parameter_once_and_no_frozen_one() -> None:
    p, frozen = parameter([1.0]), Tensor(np.ones(1))
    decay, plain = decay_groups([("a.weight", p), ("tied.weight", p), ("frozen.weight", frozen)])
    assert decay["param_names"] == ["a.weight"]
    assert plain["params"] == []
    AdamW([decay, plain])  # an empty group is fine


@pytest.mark.parametrize("make", [AdamW, BertAdam])
def test_layer_norms_and_biases_do_not_decay(make: Any) -> None:
    model = Tied().to(dtype="float64")
    for p in model.parameters():
        p.data = np.ones(p.shape)
        p.grad = Tensor(np.zeros(p.shape))
    make(decay_groups(model), lr=0.1).step()
    decayed = {name for name, p in model.named_parameters() if (p.data != 1.0).all()}
    unchanged = {name for name, p in model.named_parameters() if (p.data == 1.0).all()}
    assert decayed == {"embedding.weight", "dense.weight"}
    assert len(unchanged) == 6
    np.testing.assert_allclose(model.dense.weight.data, 1 - 0.1 * 0.01, rtol=1e-15)
