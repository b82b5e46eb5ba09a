"""A script of a user, as mypy sees it (`make types`): each task's pipeline and its answers have types of their own.

A line with `type: ignore` is a mistake that mypy must find; where it does not, the ignore is unused, which is an error.
"""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np

from minibert import BertForMaskedLM, BertTokenizer, pipeline
from minibert.pipelines import (
    FeatureExtractionPipeline,
    FillMaskPipeline,
    NextSentencePipeline,
    Pipeline,
    QuestionAnsweringPipeline,
    TextClassificationPipeline,
    TokenClassificationPipeline,
)
from minibert.pipelines.answers import AnswerSpan, FilledMask, FollowsOrNot, LabelScore, NamedEntity


def fill_mask(model: BertForMaskedLM, tokenizer: BertTokenizer) -> str:
    unmasker = pipeline("fill-mask", model, tokenizer=tokenizer, top_k=3)
    assert_type(unmasker, FillMaskPipeline)
    assert_type(unmasker("The [MASK] sat."), list[FilledMask])
    assert_type(unmasker(["The [MASK] sat.", "A [MASK]."]), list[list[FilledMask]])
    unmasker("The [MASK] sat.")[0]["token_string"]  # type: ignore[typeddict-item]
    return unmasker("The [MASK] sat.")[0]["token_str"]


def classify() -> float:
    classifier = pipeline("sentiment-analysis", "folder")
    assert_type(classifier, TextClassificationPipeline)
    assert_type(classifier("fine"), list[LabelScore])
    assert_type(classifier(["fine", "bad"]), list[LabelScore])
    assert_type(classifier(["fine", "bad"], top_k=None), list[list[LabelScore]])
    return classifier("fine")[0]["score"]


def tokens() -> list[str]:
    tagger = pipeline("ner", "folder", aggregation_strategy="simple")
    assert_type(tagger, TokenClassificationPipeline)
    assert_type(tagger(["a", "b"]), list[list[NamedEntity]])
    return [entity["entity_group"] for entity in tagger("Ann lives in Rome")]


def answer() -> str:
    qa = pipeline("question-answering", "folder")
    assert_type(qa, QuestionAnsweringPipeline)
    assert_type(qa("Who?", "Ann."), AnswerSpan)
    assert_type(qa(question="Who?", context="Ann.", top_k=3), list[AnswerSpan])
    return qa(question="Who?", context="Ann.")["answer"]


def pairs() -> float:
    follows = pipeline("next-sentence")
    assert_type(follows, NextSentencePipeline)
    assert_type(follows([("a", "b")]), list[FollowsOrNot])
    return follows(("It rains.", "Take an umbrella."))["is_next"]


def features() -> np.ndarray:
    encoder = pipeline("feature-extraction", "folder")
    assert_type(encoder, FeatureExtractionPipeline)
    return encoder("text", return_tensors=True)


def task_of_the_checkpoint(folder: str) -> Any:
    pipe = pipeline(model=folder)
    assert_type(pipe, Pipeline)
    return pipe("text")
