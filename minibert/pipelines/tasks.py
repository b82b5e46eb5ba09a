"""Which tasks there are, and which one a model was made for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from minibert.bert import BertPreTrainedModel
from minibert.checkpoint.config_file import read_config
from minibert.checkpoint.convert import guess_architecture
from minibert.checkpoint.hub import CONFIG_FILES, WEIGHT_FILES, resolve
from minibert.checkpoint.names import modern_name
from minibert.checkpoint.weights import read_weights
from minibert.models import MINI
from minibert.options import nearest
from minibert.pipelines.base import Pipeline
from minibert.pipelines.feature_extraction import FeatureExtractionPipeline
from minibert.pipelines.fill_mask import FillMaskPipeline
from minibert.pipelines.loading import no_model
from minibert.pipelines.next_sentence import NextSentencePipeline
from minibert.pipelines.question_answering import QuestionAnsweringPipeline
from minibert.pipelines.text_classification import TextClassificationPipeline
from minibert.pipelines.token_classification import TokenClassificationPipeline

__all__ = ["ALIASES", "DEFAULT_MODELS", "TASKS", "class_of", "task_of"]

TASKS: dict[str, type[Pipeline]] = {
    "fill-mask": FillMaskPipeline,
    "feature-extraction": FeatureExtractionPipeline,
    "next-sentence": NextSentencePipeline,
    "text-classification": TextClassificationPipeline,
    "token-classification": TokenClassificationPipeline,
    "question-answering": QuestionAnsweringPipeline,
}
ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}

DEFAULT_MODELS: dict[str, str] = {"fill-mask": MINI, "feature-extraction": MINI, "next-sentence": MINI}
"""The model of a task when none is named: the one that comes with the package, for the tasks that it has heads for."""

_TASK_OF = {
    "BertForPreTraining": "fill-mask",
    "BertForMaskedLM": "fill-mask",
    "BertModel": "feature-extraction",
    "BertForNextSentencePrediction": "next-sentence",
    "BertForSequenceClassification": "text-classification",
    "BertForTokenClassification": "token-classification",
    "BertForQuestionAnswering": "question-answering",
}

# Tasks of transformers that are not built here; the nearest name would be another task.
_NOT_HERE = frozenset((
    "summarization", "table-question-answering", "text-generation", "text2text-generation", "translation",
    "zero-shot-classification",
))  # fmt: skip


def class_of(task: str) -> type[Pipeline]:
    """The pipeline class of a task, by its name or an alias.

    Raises:
        ValueError: no task has this name; the message names the nearest one, and says how a folder is given.
    """
    name = str(task)
    found = TASKS.get(ALIASES.get(name, name))
    if found is not None:
        return found
    close = None if name in _NOT_HERE else nearest(name, [*TASKS, *ALIASES])
    hint = f"did you mean {close!r}? Expected" if close else "expected"
    if os.path.isdir(os.path.expanduser(name)):
        hint = f"for the folder of a model say pipeline(model={name!r}); expected"
    raise ValueError(f"unknown task {task!r}; {hint} one of {', '.join([*TASKS, *ALIASES])}")


def task_of(model: Any, **source: Any) -> str:
    """The task that a model was made for: read off its class, or off the checkpoint.

    Of a checkpoint config.json's `architectures` decides; where it has none, the names of the weights.

    Args:
        model: a model, a folder, or a name on the hub.
        source: options of `minibert.checkpoint.HubOptions`.

    Raises:
        ValueError: nothing there, or its task cannot be determined; the message lists the choices.
    """
    if isinstance(model, BertPreTrainedModel):
        architectures: Iterable[Any] = [kind.__name__ for kind in type(model).__mro__]
        return _task_for(type(model).__name__, architectures, TASKS)
    if not isinstance(model, str | os.PathLike):
        raise no_model(model)
    folder = resolve(model, files=CONFIG_FILES, **source)
    config: Mapping[str, Any] = read_config(folder)
    architectures = config.get("architectures") or ()
    if isinstance(architectures, list) and architectures:
        return _task_for(f"{model} (architectures: {', '.join(map(str, architectures))})", architectures, TASKS)
    weights = read_weights(resolve(model, files=CONFIG_FILES + WEIGHT_FILES, **source))
    guess = guess_architecture(map(modern_name, weights))
    # A classifier's weights have the same names whatever they classify.
    if guess == "BertForSequenceClassification":
        choices = ["text-classification", "token-classification"]
        return _task_for(f"{model} (its config.json names no architecture)", (), choices)
    return _task_for(str(model), [guess], TASKS)


def _task_for(what: str, architectures: Iterable[Any], choices: Iterable[str]) -> str:
    for name in architectures:
        if name in _TASK_OF:
            return _TASK_OF[name]
    raise ValueError(
        f"the task of {what} cannot be determined; name it: pipeline(task, model=...), one of {', '.join(choices)}"
    )
