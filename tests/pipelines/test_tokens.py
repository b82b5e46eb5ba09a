"""token-classification: how tokens become entities, windows, words given one by one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import no_grad, pipeline
from minibert.pipelines.entities import LabelledToken, entities_of, longest_of_overlapping
from tests.pipelines.checkpoints import LABELS

TEXT = "Wolfgang lives in New York. Who sings?"
NAMES = {label: i for i, label in LABELS.items()}


def tokens(*labelled: tuple[str, dict[str, float]]) -> list[LabelledToken]:
    """Tokens of a text in which words have a space between, with scores by label."""
    made, end = [], -1
    for index, (text, scores) in enumerate(labelled, 1):
        start = end if text.startswith("##") else end + 1
        end = start + len(text.removeprefix("##"))
        row = np.zeros(len(LABELS))
        row[[NAMES[name] for name in scores]] = list(scores.values())
        made.append(LabelledToken(text, row, index, start, end, text.startswith("##")))
    return made


def join(pieces: list[str]) -> str:
    return " ".join(pieces).replace(" ##", "")


WORD = tokens(
    ("wolf", {"B-PER": 0.5, "O": 0.4, "B-LOC": 0.1}),
    ("##gang", {"B-LOC": 0.9, "O": 0.1}),
    ("##s", {"O": 0.7, "B-LOC": 0.3}),
)


@pytest.mark.parametrize(
    ("strategy", "kind", "score"),
    [("first", "PER", 0.5), ("max", "LOC", 0.9), ("average", "LOC", 1.3 / 3)],
)
def test_a_word_has_one_label(strategy: str, kind: str, score: float) -> None:
    (entity,) = entities_of(WORD, strategy, LABELS, join)
    assert list(entity) == ["entity_group", "score", "word", "start", "end"]
    assert (entity["entity_group"], entity["word"], entity["start"], entity["end"]) == (kind, "wolfgangs", 0, 9)
    assert entity["score"] == pytest.approx(score, rel=1e-12)  # a mean of at most three numbers


def test_simple_lets_a_word_have_several_labels() -> None:
    found = entities_of(WORD, "simple", LABELS, join)
    assert [e["entity_group"] for e in found] == ["PER", "LOC", "O"]


def test_runs_end_where_a_new_name_begins() -> None:
    run = tokens(
        ("ann", {"B-PER": 1.0}),
        ("lee", {"I-PER": 0.5}),
        ("bob", {"B-PER": 1.0}),
        ("rome", {"I-LOC": 1.0}),
        ("is", {"O": 1.0}),
        ("rome", {"I-LOC": 0.8}),
    )
    found = entities_of(run, "simple", LABELS, join)
    assert [(e["entity_group"], e["word"]) for e in found] == [
        ("PER", "ann lee"), ("PER", "bob"), ("LOC", "rome"), ("O", "is"), ("LOC", "rome")
    ]  # fmt: skip
    assert found[0]["score"] == 0.75
    assert (found[0]["start"], found[0]["end"]) == (0, 7)


def test_none_shows_tokens() -> None:
    assert list(entities_of(WORD, "none", LABELS, join)[1].items()) == [
        ("entity", "B-LOC"), ("score", 0.9), ("index", 2), ("word", "##gang"), ("start", 4), ("end", 8)
    ]  # fmt: skip


def test_of_overlapping_entities_the_longest_stays() -> None:
    def entity(start: int, end: int, score: float) -> dict[str, Any]:
        return {"start": start, "end": end, "score": score}

    found = [entity(0, 4, 0.5), entity(2, 9, 0.1), entity(9, 12, 0.2), entity(9, 12, 0.3), entity(20, 21, 0.9)]
    assert longest_of_overlapping(reversed(found)) == [found[1], found[3], found[4]]
    assert longest_of_overlapping([]) == []


@pytest.fixture
def ner(tiny_checkpoints: dict[str, Path]) -> Any:
    return pipeline("ner", tiny_checkpoints["tokens"], dtype="float64", ignore_labels=[])


def test_tokens_and_their_places(ner: Any) -> None:
    with no_grad():
        logits = ner.model(**ner.tokenizer(TEXT, return_tensors="np")).logits.numpy()[0]  # (S, labels)
    scores = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = ner(TEXT)
    names = ner.tokenizer.tokenize(TEXT)
    assert [e["word"] for e in found] == names
    for entity in found:
        assert list(entity) == ["entity", "score", "index", "word", "start", "end"]
        best = scores[entity["index"]].argmax()
        assert entity["entity"] == LABELS[int(best)]
        assert entity["score"] == pytest.approx(scores[entity["index"], best], rel=1e-12)  # float64 twice
        assert TEXT[entity["start"] : entity["end"]].lower() == entity["word"].removeprefix("##")


def test_ignored_labels(ner: Any) -> None:
    everything = ner(TEXT)
    kept = ner(TEXT, ignore_labels=["O", "B-PER"])
    assert kept == [e for e in everything if e["entity"] not in ("O", "B-PER")]
    with pytest.raises(ValueError, match="ignore_labels must be a list of labels"):
        ner(TEXT, ignore_labels="O")


def test_unknown_words_are_shown_as_written(ner: Any) -> None:
    found = ner("the Zebra sat")
    assert [e["word"] for e in found] == ["the", "Zebra", "sat"]


def test_words_given_one_by_one(ner: Any) -> None:
    words = ["Wolfgang", "lives", "in", "New", "York", "."]
    (found,) = ner(words, is_split_into_words=True)
    assert found == ner(" ".join(words))
    assert ner([words, ["a"]], is_split_into_words=True) == [found, ner("a")]
    (joined,) = ner(words, is_split_into_words=True, delimiter="--")
    assert [(e["start"], e["end"]) for e in joined][1:3] == [(10, 15), (17, 19)]
    with pytest.raises(ValueError, match="a text is a list of words"):
        ner("no list", is_split_into_words=True)


def test_long_texts(ner: Any) -> None:
    long = "wolfgang lives in new york . " * 20
    with pytest.raises(ValueError, match="122 tokens and the model takes 32.*stride="):
        ner(long)
    assert len(ner(long, truncation=True)) == 30
    with pytest.raises(ValueError, match="stride needs an aggregation_strategy"):
        ner(long, stride=5)
    with pytest.raises(ValueError, match="stride 30 leaves nothing new in windows of 30 tokens"):
        ner(long, stride=30, aggregation_strategy="simple")
    found = ner(long, stride=5, aggregation_strategy="first", ignore_labels=[])
    assert found[0]["start"] == 0
    assert found[-1]["end"] == len(long.rstrip())
    assert all(a["end"] <= b["start"] for a, b in pairwise(found))
    assert all(long[e["start"] : e["end"]].replace(" .", ".") == e["word"].replace(" .", ".") for e in found)
    short = {"aggregation_strategy": "first", "ignore_labels": []}
    assert ner(TEXT, stride=5, **short) == ner(TEXT, **short)  # one window


def test_nothing_to_find(ner: Any) -> None:
    assert ner("") == []
    assert ner(["", "a"])[0] == []
    with pytest.raises(ValueError, match="unknown aggregation_strategy 'best'; expected one of none, simple"):
        ner(TEXT, aggregation_strategy="best")
