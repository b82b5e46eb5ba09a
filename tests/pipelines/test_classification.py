"""next-sentence and text-classification: forms and functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import no_grad, pipeline
from tests.pipelines import checkpoints

PAIRS = [("the cat sat", "it ran"), ("who", "a dog in new york is on the mat"), ("a", "")]


@pytest.fixture(params=["next", "pretraining"])
def follows(request: pytest.FixtureRequest, tiny_checkpoints: dict[str, Path]) -> Any:
    return pipeline("next-sentence", tiny_checkpoints[request.param], dtype="float64")


def test_next_sentence(follows: Any) -> None:
    answers = follows(PAIRS)
    for (text, pair), answer in zip(PAIRS, answers, strict=True):
        with no_grad():
            out = follows.model(**follows.tokenizer([(text, pair)], return_tensors="np"))
        logits = (out.seq_relationship_logits if "seq_relationship_logits" in out else out.logits).numpy()[0]
        is_next = 1 / (1 + np.exp(logits[1] - logits[0]))
        assert list(answer) == ["label", "score", "is_next", "not_next"]
        # float64 twice, another order of sums
        assert answer["is_next"] == pytest.approx(is_next, rel=1e-12)
        assert answer["not_next"] == pytest.approx(1 - is_next, rel=1e-9)
        assert answer["label"] == ("IS_NEXT" if is_next > 0.5 else "NOT_NEXT")
        assert answer["score"] == max(answer["is_next"], answer["not_next"])
    assert follows(PAIRS[0])["label"] == answers[0]["label"]
    assert follows({"text": "the cat sat", "text_pair": "it ran"}) == follows(PAIRS[0])


@pytest.mark.parametrize("wrong", ["the cat", ("a", "b", "c"), {"text": "a"}, {"first": "a"}, 3, ["a", "b"]])
def test_what_is_no_pair(follows: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match="pair"):
        follows(wrong)


def test_text_classification_forms(tiny_checkpoints: dict[str, Path]) -> None:
    classify = pipeline("text-classification", tiny_checkpoints["classes"])
    best = classify("the cat sat")
    assert len(best) == 1
    assert list(best[0]) == ["label", "score"]
    assert classify(["the cat sat"]) == best
    assert classify(["the cat sat", "who ?"])[0]["label"] == best[0]["label"]
    every = classify("the cat sat", top_k=None)
    assert [one["label"] for one in every] == sorted(
        ["LABEL_0", "LABEL_1"], key=lambda name: -next(o["score"] for o in every if o["label"] == name)
    )
    assert sum(one["score"] for one in every) == pytest.approx(1.0, rel=1e-12)  # a softmax in float64
    assert classify("the cat sat", top_k=1) == every[:1]
    first, second = classify(["the cat sat", "a"], top_k=2)
    assert [one["label"] for one in first] == [one["label"] for one in every]
    assert len(second) == 2
    assert np.shape(pipeline("sentiment-analysis", classify.model, tokenizer=classify.tokenizer, top_k=2)("a")) == (
        1,
        2,
    )
    pair = classify({"text": "a cat", "text_pair": "it ran"})
    assert classify(("a cat", "it ran")) == pair
    assert classify([("a cat", "it ran")]) == [pair]
    assert classify([[["a cat", "it ran"]]]) == [pair]
    with pytest.raises(ValueError, match="input 0: a pair of texts is written as a tuple"):
        classify([["a cat", "it ran"]])


def test_functions() -> None:
    tokenizer = checkpoints.tokenizer()
    one = pipeline("text-classification", checkpoints.model("classes", num_labels=1), tokenizer=tokenizer)
    raw = one("a cat", function_to_apply="none")[0]["score"]
    assert one("a cat")[0]["score"] == pytest.approx(1 / (1 + np.exp(-raw)), rel=1e-12)  # float64 of the same logit
    assert one("a cat", function_to_apply="softmax")[0]["score"] == 1.0
    several = {"num_labels": 4, "problem_type": "multi_label_classification"}
    multi = pipeline("text-classification", checkpoints.model("classes", **several), tokenizer=tokenizer, top_k=None)
    (scores,) = multi("a cat")
    (raws,) = multi("a cat", function_to_apply="NONE")
    for score, logit in zip(scores, raws, strict=True):
        assert score["score"] == pytest.approx(1 / (1 + np.exp(-logit["score"])), rel=1e-12)  # as above
    number = pipeline(
        "text-classification",
        checkpoints.model("classes", num_labels=1, problem_type="regression"),
        tokenizer=tokenizer,
    )
    assert number("a cat")[0]["score"] == raw
    with pytest.raises(ValueError, match="unknown function_to_apply 'relu'"):
        number("a cat", function_to_apply="relu")
    with pytest.raises(ValueError, match="top_k must be an integer of at least 1, got -1"):
        number("a cat", top_k=-1)
