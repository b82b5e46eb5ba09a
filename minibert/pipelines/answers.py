"""What the answers of pipelines look like, for type checkers; at run time they are plain dictionaries."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["AnswerSpan", "FilledMask", "FollowsOrNot", "LabelScore", "NamedEntity"]


class FilledMask(TypedDict):
    """A word for a [MASK]: its probability, its id, itself, and the text with it."""

    score: float
    token: int
    token_str: str
    sequence: str


class LabelScore(TypedDict):
    """A label of a text and its score."""

    label: str
    score: float


class FollowsOrNot(TypedDict):
    """"IS_NEXT" or "NOT_NEXT", its probability, and both probabilities."""

    label: str
    score: float
    is_next: float
    not_next: float


class _Place(TypedDict):
    score: float
    word: str
    start: int
    end: int


class NamedEntity(_Place, total=False):
    """A token or an entity: `entity` and `index` without aggregation, `entity_group` with it."""

    entity: str
    index: int
    entity_group: str


class AnswerSpan(TypedDict):
    """An answer: its score, its characters in the context, and itself."""

    score: float
    start: int
    end: int
    answer: str
