"""feature-extraction: forms, pooling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import BertModel, no_grad, pipeline


@pytest.fixture
def features(tiny_checkpoints: dict[str, Path]) -> Any:
    return pipeline("feature-extraction", tiny_checkpoints["encoder"], dtype="float64")


def hidden(features: Any, text: str) -> np.ndarray:
    """(S, H)."""
    with no_grad():
        out: np.ndarray = features.model(**features.tokenizer(text, return_tensors="np")).last_hidden_state.numpy()[0]
    return out


def test_forms(features: Any) -> None:
    expected = hidden(features, "the cat sat")
    lists = features("the cat sat")
    assert isinstance(lists[0][0][0], float)
    assert np.shape(lists) == (1, 5, 12)
    array = features("the cat sat", return_tensors=True)
    assert array.shape == (1, 5, 12)
    np.testing.assert_array_equal(array[0], expected)
    assert [np.shape(one) for one in features(["a", "the cat sat"])] == [(1, 3, 12), (1, 5, 12)]
    assert [one.shape for one in features(["a"], return_tensors=True)] == [(1, 3, 12)]  # a list of one stays a list
    assert np.shape(features("")) == (1, 2, 12)


def test_pads_that_were_asked_for_are_zero(features: Any) -> None:
    out = features("the cat", tokenizer_kwargs={"padding": "max_length", "max_length": 9, "truncation": True})
    assert np.shape(out) == (1, 9, 12)
    assert not np.any(np.array(out)[0, 4:])


def test_pooling(features: Any) -> None:
    texts = ["the cat sat", "a", "who sings ?"]
    for text, mean, cls in zip(texts, features(texts, pool="mean"), features(texts, pool="cls"), strict=True):
        states = hidden(features, text)
        np.testing.assert_allclose(mean, states.mean(axis=0), rtol=1e-12)  # float64, another order of sums
        np.testing.assert_allclose(cls, states[0], rtol=1e-12)
    unit = features(texts, pool="mean", normalize=True, return_tensors=True)
    assert [one.shape for one in unit] == [(12,)] * 3
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1.0, rtol=1e-15)
    with pytest.raises(ValueError, match="unknown pool 'sum'; expected one or several of 'cls', 'max', 'mean'"):
        features("a", pool="sum")


def test_the_first_token_of_a_text_padded_on_the_left(features: Any) -> None:
    features.tokenizer.padding_side = "left"
    padded = {"padding": "max_length", "max_length": 9, "truncation": True}
    texts = ["the cat sat", "a"]
    for text, vector in zip(texts, features(texts, pool="cls", tokenizer_kwargs=padded), strict=True):
        np.testing.assert_allclose(vector, hidden(features, text)[0], rtol=1e-12)  # float64, another order of sums


def test_padding_does_not_count_in_the_mean(features: Any) -> None:
    padded = {"padding": "max_length", "max_length": 20}
    np.testing.assert_allclose(
        features("the cat", pool="mean", tokenizer_kwargs=padded), features("the cat", pool="mean"), rtol=1e-12
    )


def test_a_model_with_a_head_lends_its_encoder(tiny_checkpoints: dict[str, Path]) -> None:
    whole = pipeline("fill-mask", tiny_checkpoints["mlm"])
    lent = pipeline("feature-extraction", whole.model, tokenizer=whole.tokenizer)
    loaded = pipeline("feature-extraction", tiny_checkpoints["mlm"])
    assert isinstance(loaded.model, BertModel)
    assert loaded.model.pooler is None  # the checkpoint has none, and none is made up
    assert lent("the cat") == loaded("the cat")
