"""Labels of tokens into entities: pieces into words, words into names of several words.

Labels are read as B-X (begins an X), I-X (continues it) and O; a label without a letter in front counts as I-.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["STRATEGIES", "LabelledToken", "entities_of", "longest_of_overlapping"]

STRATEGIES = ("none", "simple", "first", "average", "max")
Entity = dict[str, Any]
Join = Callable[[list[str]], str]


@dataclass(frozen=True)
class LabelledToken:
    """A token of the text with its scores.

    Attributes:
        text: the token as the vocabulary writes it, or the characters it stands for if it is unknown.
        scores: (labels,) probabilities.
        index: its place in the row.
        start, end: its characters in the text.
        goes_on: whether it continues the word of the token before it.
    """

    text: str
    scores: np.ndarray
    index: int
    start: int
    end: int
    goes_on: bool


def entities_of(tokens: Sequence[LabelledToken], strategy: str, names: Mapping[int, str], join: Join) -> list[Entity]:
    """Entities of a row of tokens.

    Args:
        tokens: the row, without special tokens.
        strategy: "none": each token by itself. The others merge neighbours of one kind; before that, a word gets one
            label: "simple": it does not, "first": that of its first piece, "average": the best of the mean scores,
            "max": that of its surest piece.
        names: labels by number.
        join: makes a text of tokens.
    """
    if strategy == "none":
        return [
            {**_label(t.scores, names), "index": t.index, "word": t.text, "start": t.start, "end": t.end}
            for t in tokens
        ]
    words = [[t] for t in tokens] if strategy == "simple" else _words(tokens)
    labelled = [_labelled_word(word, strategy, names, join) for word in words]
    return [_merged(run, join) for run in _runs(labelled)]


def _label(scores: np.ndarray, names: Mapping[int, str]) -> Entity:
    best = int(scores.argmax())
    return {"entity": names[best], "score": float(scores[best])}


def _words(tokens: Iterable[LabelledToken]) -> list[list[LabelledToken]]:
    """Tokens grouped by words."""
    words: list[list[LabelledToken]] = []
    for token in tokens:
        if token.goes_on and words:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _labelled_word(word: list[LabelledToken], strategy: str, names: Mapping[int, str], join: Join) -> Entity:
    if strategy == "average":
        scores = np.mean([t.scores for t in word], axis=0)
    elif strategy == "max":
        scores = max(word, key=lambda t: float(t.scores.max())).scores
    else:
        scores = word[0].scores
    text = word[0].text if strategy == "simple" else join([t.text for t in word])
    return {**_label(scores, names), "word": text, "start": word[0].start, "end": word[-1].end}


def _kind(label: str) -> tuple[str, str]:
    """("B" or "I", the kind of entity)."""
    return (label[0], label[2:]) if label.startswith(("B-", "I-")) else ("I", label)


def _runs(words: Iterable[Entity]) -> list[list[Entity]]:
    """Neighbours of the same kind; a word labelled B- begins a new run."""
    runs: list[list[Entity]] = []
    for word in words:
        letter, kind = _kind(word["entity"])
        if runs and letter != "B" and _kind(runs[-1][-1]["entity"])[1] == kind:
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def _merged(run: list[Entity], join: Join) -> Entity:
    return {
        "entity_group": run[0]["entity"].split("-", 1)[-1],
        "score": float(np.mean([word["score"] for word in run])),
        "word": join([word["word"] for word in run]),
        "start": run[0]["start"],
        "end": run[-1]["end"],
    }


def longest_of_overlapping(entities: Iterable[Entity]) -> list[Entity]:
    """Entities of windows that share tokens: of those that overlap the longest, of equally long ones the surest."""
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda e: e["start"]):  # stable: of equals the first window's stays
        if not kept or entity["start"] >= kept[-1]["end"]:
            kept.append(entity)
        elif _weight(entity) > _weight(kept[-1]):
            kept[-1] = entity
    return kept


def _weight(entity: Entity) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]
