"""fill-mask: forms, targets, several masks, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import no_grad, pipeline
from minibert.pipelines import PipelineException
from tests.pipelines.checkpoints import VOCAB


@pytest.fixture(params=["mlm", "pretraining"])
def fill(request: pytest.FixtureRequest, tiny_checkpoints: dict[str, Path]) -> Any:
    return pipeline("fill-mask", tiny_checkpoints[request.param], dtype="float64")


def probabilities(fill: Any, text: str) -> np.ndarray:
    """(S, V), by the plain way: all logits of a single text."""
    with no_grad():
        out = fill.model(**fill.tokenizer(text, return_tensors="np"))
    logits = (out.prediction_logits if "prediction_logits" in out else out.logits).numpy()[0]
    e: np.ndarray = np.exp(logits)
    return e / e.sum(axis=-1, keepdims=True)


def test_one_mask(fill: Any) -> None:
    words = fill("The cat [MASK] on it.")
    expected = probabilities(fill, "The cat [MASK] on it.")[3]
    assert [w["token"] for w in words] == np.argsort(-expected)[:5].tolist()
    for word in words:
        assert list(word) == ["score", "token", "token_str", "sequence"]
        # float64 against float64, through another order of sums
        assert word["score"] == pytest.approx(expected[word["token"]], rel=1e-12)
        assert word["token_str"] == VOCAB[word["token"]]
        assert type(word["score"]) is float
        assert type(word["token"]) is int
    plain = fill("the [MASK] sat", targets="dog")[0]
    assert plain["sequence"] == "the dog sat"


def test_forms(fill: Any) -> None:
    one = fill("the [MASK]", top_k=2)
    assert fill(["the [MASK]"], top_k=2) == one  # a list of one is not nested
    assert fill(("the [MASK]",), top_k=2) == one
    assert [len(words) for words in fill(["the [MASK]", "a [MASK] ran"], top_k=2)] == [2, 2]
    several = fill("the [MASK] and [MASK] sat", top_k=1)
    assert [len(words) for words in several] == [1, 1]
    assert several[0][0]["sequence"].startswith("[CLS] the")
    assert several[0][0]["sequence"].endswith("and [MASK] sat [SEP]")
    mixed = fill(["[MASK]", "[MASK] [MASK]"], top_k=1)
    assert isinstance(mixed[0][0], dict)
    assert isinstance(mixed[1][0], list)


def test_each_mask_of_each_text_gets_its_own_words(fill: Any) -> None:
    texts = ["[MASK] cat", "the [MASK] and the [MASK] sat on it", "a [MASK]", "[MASK] ran , [MASK] sat and it [MASK]"]
    for text, answer in zip(texts, fill(texts, top_k=3), strict=True):
        expected = probabilities(fill, text)
        places = [i for i, id in enumerate(fill.tokenizer(text)["input_ids"]) if id == 4]
        for place, words in zip(places, answer if len(places) > 1 else [answer], strict=True):
            assert [w["token"] for w in words] == np.argsort(-expected[place])[:3].tolist()


def test_the_head_runs_on_the_masks_only(fill: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    head = type(fill.model.cls.predictions)
    forward = head.forward
    monkeypatch.setattr(head, "forward", lambda self, x: rows.append(x.shape[0]) or forward(self, x))
    fill(["the cat and [MASK]", "[MASK] and the dog and [MASK] ran"])
    assert rows == [3]


def test_targets_keep_their_share_of_the_whole_vocabulary(fill: Any) -> None:
    expected = probabilities(fill, "the [MASK] sat")[2]
    words = fill("the [MASK] sat", targets=["dog", "cat", "dog"])
    assert len(words) == 2  # each once; top_k is 5
    assert {w["token_str"] for w in words} == {"cat", "dog"}
    for word in words:
        assert word["score"] == pytest.approx(expected[word["token"]], rel=1e-12)  # as above
    assert words[0]["score"] >= words[1]["score"]
    assert fill("the [MASK] sat", targets=["dog", "cat"], top_k=1) == words[:1]
    assert pipeline("fill-mask", fill.model, tokenizer=fill.tokenizer, targets="cat")("a [MASK]")[0]["token"] == 7


def test_a_target_that_is_no_token_becomes_its_first_piece(fill: Any) -> None:
    with pytest.warns(UserWarning, match="'unaffable' is no token of the vocabulary: 'un' is used instead") as told:
        words = fill("the [MASK] sat", targets=["unaffable", "cat"])
    assert told[0].filename == __file__
    assert {w["token_str"] for w in words} == {"un", "cat"}
    with (
        pytest.warns(UserWarning, match="has no piece that is one: skipped"),
        pytest.raises(ValueError, match="at least one target word"),
    ):
        fill("the [MASK] sat", targets=[" "])
    with pytest.raises(ValueError, match="at least one target word"):
        fill("the [MASK] sat", targets=[])
    with pytest.raises(ValueError, match="targets must be words"):
        fill("the [MASK] sat", targets=[3])


def test_no_mask(fill: Any) -> None:
    for text in ("the cat sat", ""):
        with pytest.raises(PipelineException, match=r"^No mask_token \(\[MASK\]\) found on the input"):
            fill(text)
    with pytest.raises(PipelineException, match=r"^input 1: No mask_token") as error:
        fill(["[MASK]", "the cat"])
    assert isinstance(error.value, ValueError)
    with pytest.raises(PipelineException, match="No mask_token"):  # cut away
        fill("cat " * 40 + "[MASK]", truncation=True)


def test_top_k(fill: Any) -> None:
    assert len(fill("[MASK]", top_k=10**6)) == len(VOCAB)
    assert len(fill("[MASK]", top_k=None)) == 5
    with pytest.raises(ValueError, match="top_k must be an integer of at least 1, got 0"):
        fill("[MASK]", top_k=0)
