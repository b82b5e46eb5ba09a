"""`pipeline(task, model=...)`: from names to a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, overload

from minibert.bert import BertPreTrainedModel
from minibert.checkpoint import HubOptions
from minibert.paths import StrPath
from minibert.pipelines.base import Pipeline
from minibert.pipelines.feature_extraction import FeatureExtractionPipeline
from minibert.pipelines.fill_mask import FillMaskPipeline
from minibert.pipelines.loading import load
from minibert.pipelines.next_sentence import NextSentencePipeline
from minibert.pipelines.options import option_error, without_unset
from minibert.pipelines.question_answering import QuestionAnsweringPipeline
from minibert.pipelines.tasks import DEFAULT_MODELS, TASKS, class_of, task_of
from minibert.pipelines.text_classification import TextClassificationPipeline
from minibert.pipelines.token_classification import TokenClassificationPipeline

__all__ = ["pipeline"]

Model = StrPath | BertPreTrainedModel | None


@overload
def pipeline(task: Literal["fill-mask"], model: Model = None, **options: Any) -> FillMaskPipeline: ...
@overload
def pipeline(task: Literal["feature-extraction"], model: Model = None, **options: Any) -> FeatureExtractionPipeline: ...
@overload
def pipeline(task: Literal["next-sentence"], model: Model = None, **options: Any) -> NextSentencePipeline: ...
@overload
def pipeline(
    task: Literal["text-classification", "sentiment-analysis"], model: Model = None, **options: Any
) -> TextClassificationPipeline: ...
@overload
def pipeline(
    task: Literal["token-classification", "ner"], model: Model = None, **options: Any
) -> TokenClassificationPipeline: ...
@overload
def pipeline(task: Literal["question-answering"], model: Model = None, **options: Any) -> QuestionAnsweringPipeline: ...
@overload
def pipeline(task: str | None = None, model: Model = None, **options: Any) -> Pipeline: ...
def pipeline(
    task: str | None = None,
    model: Model = None,
    *,
    tokenizer: Any = None,
    config: Any = None,
    device: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    model_kwargs: Mapping[str, Any] | None = None,
    framework: str | None = None,
    use_fast: bool = True,
    trust_remote_code: bool | None = None,
    batch_size: int = 32,
    **options: Any,
) -> Pipeline:
    """A function from texts to answers; it keeps its `.model` and `.tokenizer`.

    Args:
        task: a key of `TASKS`, or "sentiment-analysis" (text-classification), "ner" (token-classification). None: the
            one that the model was made for, as its class or its config.json says.
        model: a folder, a name on the hub, or a model object, which is used as it is (and put into evaluation mode).
            None is the task's default of `DEFAULT_MODELS`: the small model that comes with the package.
        tokenizer: a folder, a name, or an object; by default the one beside the model.
        config: a `BertConfig`, or its folder or name, in place of the checkpoint's own.
        device: "cpu" (or -1) or "cuda" (or 0); by default the CPU, or where a given model is.
        dtype, torch_dtype: "float32", "float64" or "auto", by name or as a dtype of NumPy or torch; by default float32,
            or what a given model has. Two names for one thing.
        model_kwargs: more arguments for the model's `from_pretrained`.
        framework: None or "np".
        use_fast, trust_remote_code: accepted and without meaning here: there is one tokenizer, and a checkpoint's code
            is never run.
        batch_size: the most rows that run through the model at once.
        options: those of `minibert.checkpoint.HubOptions` (revision, token, subfolder, ...); all others are defaults
            for the task's options, which the class of the task lists.

    Raises:
        ValueError: an unknown task or option, no model, or one that cannot be loaded or cannot do the task.
    """
    if task is None and model is None:
        raise ValueError(f"give a task, a model, or both: pipeline(task, model=...), one of {', '.join(TASKS)}")
    if task is not None and not isinstance(task, str):
        raise ValueError(f"the task must be its name, got a {type(task).__name__}; a model is given as model=...")
    if framework not in (None, "np"):
        raise ValueError(f"framework {framework!r}: minibert computes with NumPy alone; leave it out")
    if dtype is not None and torch_dtype is not None:
        raise ValueError("dtype and torch_dtype are two names for one thing; give one of them")
    source, options = HubOptions.split(without_unset(options))
    kind = class_of(task_of(model, **source) if task is None else task)
    for name in options:
        if name not in kind.option_names():  # said before anything large is loaded
            raise option_error(kind.task, name, kind.option_names())
    if model is None:
        if kind.task not in DEFAULT_MODELS:
            raise ValueError(f"no model is named and {kind.task} has no default one: pipeline({task!r}, model=...)")
        model = DEFAULT_MODELS[kind.task]
    ready, tokenizer = load(
        kind,
        model,
        tokenizer,
        config=config,
        device=device,
        dtype=torch_dtype if dtype is None else dtype,
        model_kwargs=model_kwargs,
        **source,
    )
    return kind(ready, tokenizer, batch_size=batch_size, **options)
