"""Text in, answers out: `pipeline(task, model=...)`.

    unmasker = pipeline("fill-mask", model="bert-base-cased")
    unmasker("Hello I'm a [MASK] model.")

base                 what all pipelines share; batching, scores, pairs and loading help it
fill_mask ...        one file a task
"""

from __future__ import annotations

import os
from typing import Any

from minibert.bert import BertPreTrainedModel
from minibert.models import MINI
from minibert.pipelines.base import Options, Pipeline, PipelineException
from minibert.pipelines.feature_extraction import FeatureExtractionPipeline
from minibert.pipelines.fill_mask import FillMaskPipeline
from minibert.pipelines.loading import load
from minibert.pipelines.next_sentence import NextSentencePipeline
from minibert.pipelines.question_answering import QuestionAnsweringPipeline
from minibert.pipelines.text_classification import TextClassificationPipeline
from minibert.pipelines.token_classification import TokenClassificationPipeline

__all__ = [
    "DEFAULT_MODELS",
    "TASKS",
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "NextSentencePipeline",
    "Options",
    "Pipeline",
    "PipelineException",
    "QuestionAnsweringPipeline",
    "TextClassificationPipeline",
    "TokenClassificationPipeline",
    "pipeline",
]

TASKS: dict[str, type[Pipeline]] = {
    "fill-mask": FillMaskPipeline,
    "feature-extraction": FeatureExtractionPipeline,
    "next-sentence": NextSentencePipeline,
    "text-classification": TextClassificationPipeline,
    "token-classification": TokenClassificationPipeline,
    "question-answering": QuestionAnsweringPipeline,
}
ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}

DEFAULT_MODELS: dict[str, str] = {"fill-mask": MINI}
"""The model of a task when none is named: the one that comes with the package, for what it can do by itself."""


def pipeline(
    task: str,
    model: str | os.PathLike[str] | BertPreTrainedModel | None = None,
    *,
    tokenizer: Any = None,
    device: str | int | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    batch_size: int = 32,
    **options: Any,
) -> Any:
    """A function from texts to answers; it keeps its `.model` and `.tokenizer`.

    Args:
        task: a key of `TASKS`, or "sentiment-analysis" (text-classification), "ner" (token-classification).
        model: a folder, a name on the hub, or a model object, which is used as it is (and put into evaluation mode).
            None is the task's default of `DEFAULT_MODELS`: for fill-mask the small model that comes with the package.
        tokenizer: a folder, a name, or an object; by default the one beside the model.
        device: "cpu" or "cuda"; by default the CPU, or where a given model is.
        dtype: "float32" or "float64"; by default float32, or what a given model has.
        revision, cache_dir, local_files_only: for names on the hub.
        batch_size: the most rows that run through the model at once.
        options: defaults for the task's options; the class of the task lists them.

    Raises:
        ValueError: an unknown task or option, no model, or one that cannot be loaded or cannot do the task.
    """
    kind = TASKS.get(ALIASES.get(str(task), str(task)))
    if kind is None:
        raise ValueError(f"unknown task {task!r}; expected one of {', '.join([*TASKS, *ALIASES])}")
    if model is None:
        if kind.task not in DEFAULT_MODELS:
            raise ValueError(f"no model is named and {task} has no default one: pipeline({task!r}, model=...)")
        model = DEFAULT_MODELS[kind.task]
    source = {"revision": revision, "cache_dir": cache_dir, "local_files_only": local_files_only}
    ready, tokenizer = load(kind, model, tokenizer, device=device, dtype=dtype, **source)
    return kind(ready, tokenizer, batch_size=batch_size, **options)
