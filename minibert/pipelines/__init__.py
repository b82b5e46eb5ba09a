"""Text in, answers out: `pipeline(task, model=...)`.

    unmasker = pipeline("fill-mask", model="bert-base-cased")
    unmasker("Hello I'm a [MASK] model.")

factory, tasks, loading   from names to a pipeline
base                      what all pipelines share; options, inputs, batching, scores, pairs and pooling help it
fill_mask ...             one file a task
answers                   the types of the answers
"""

from __future__ import annotations

from minibert.pipelines.base import Options, Pipeline, PipelineException
from minibert.pipelines.factory import pipeline
from minibert.pipelines.feature_extraction import FeatureExtractionPipeline
from minibert.pipelines.fill_mask import FillMaskPipeline
from minibert.pipelines.next_sentence import NextSentencePipeline
from minibert.pipelines.question_answering import QuestionAnsweringPipeline
from minibert.pipelines.tasks import DEFAULT_MODELS, TASKS
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
