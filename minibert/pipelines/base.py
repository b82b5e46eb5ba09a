"""What all pipelines share: texts are tokenized, sorted by length, run in batches, and answered in the order they came.

A pipeline is three small functions of its own around this: `prepare` makes rows of an input, `forward` runs the model
on a batch of rows and keeps what is needed of it, `finish` makes the answer.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from minibert.autograd import no_grad
from minibert.bert import BertPreTrainedModel
from minibert.paths import StrPath
from minibert.pipelines.batching import Row, pad_rows, plan_batches, progress
from minibert.pipelines.inputs import Answers, stream_of, take_window
from minibert.pipelines.options import Options, option_error

__all__ = ["Options", "Pipeline", "PipelineException"]

NO_LIMIT = 10**9
"""A `max_length` that no text reaches: the tokenizer then leaves it to the pipeline to complain."""

WINDOW_BATCHES = 16
"""How many batches of a stream of inputs are read ahead, to be sorted by length."""


class PipelineException(ValueError):
    """An input that a pipeline cannot answer.

    Attributes:
        task: the pipeline's task.
        model: what the model calls itself, "bert".
        reason: what is wrong with the input.
        index: which input of a list it was, from 0; None for a single input.
    """

    def __init__(self, task: str, model: str, reason: str) -> None:
        super().__init__(reason)
        self.task, self.model, self.reason = task, model, reason
        self.index: int | None = None

    def at(self, index: int) -> PipelineException:
        """The same error, with the number of the input in its message."""
        located = type(self)(self.task, self.model, self.reason)
        located.args, located.index = (f"input {index}: {self.reason}",), index
        return located


class Pipeline(ABC):
    """A model and its tokenizer, put to a task.

    Args:
        model: one of `architectures`; it is put into evaluation mode.
        tokenizer: a `BertTokenizer`, or anything that is called the same way.
        options: defaults for the options of a call.

    Raises:
        ValueError: a model of another kind, no tokenizer, an unknown or impossible option.
    """

    task: ClassVar[str]
    architectures: ClassVar[tuple[str, ...]]
    """Names of the model classes that can do the task; the first is what a checkpoint is loaded as."""
    option_type: ClassVar[type[Options]] = Options
    pairs: ClassVar[bool] = False
    """Whether a tuple is one input (a pair of texts) rather than a list of inputs."""
    keeps_none: ClassVar[frozenset[str]] = frozenset()
    """Options for which None means something other than "not given"."""

    def __init__(self, model: BertPreTrainedModel, tokenizer: Any, **options: Any) -> None:
        names = {kind.__name__ for kind in type(model).__mro__}
        if self.architectures and not names.intersection(self.architectures):
            expected = " or ".join(self.architectures)
            raise ValueError(f"{self.task} needs a {expected}, got a {type(model).__name__}")
        if not callable(tokenizer):
            raise ValueError(f"{self.task} needs a tokenizer, got {tokenizer!r}")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.defaults: dict[str, Any] = {}
        self.defaults = self._given(options)
        self.options({})  # invalid defaults are reported now

    # ---- options

    @classmethod
    def option_names(cls) -> list[str]:
        """Names of the options that the task has."""
        return [field.name for field in dataclasses.fields(cls.option_type)]

    def _given(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """`options` without those that were not given after all."""
        for name in options:
            if name not in self.option_names():
                raise option_error(self.task, name, self.option_names())
        return {name: value for name, value in options.items() if value is not None or name in self.keeps_none}

    def options(self, given: Mapping[str, Any]) -> Any:
        """The options of a call: given there, or when the pipeline was made, or the task's defaults."""
        return self.option_type(**(self.defaults | self._given(given)))

    # ---- what a task defines

    @abstractmethod
    def prepare(self, item: Any, options: Any) -> list[Row]:
        """The rows of one input. Raises ValueError for what is no input of this task."""

    @abstractmethod
    def forward(self, inputs: dict[str, np.ndarray], rows: Sequence[Row], options: Any) -> Iterable[Any]:
        """Runs the model on a batch of rows, given as padded arrays (B, S); what to keep of each row.

        Whatever is large (a score for each word of the vocabulary) is reduced here, so that a long list of texts does
        not pile it up.
        """

    @abstractmethod
    def finish(self, item: Any, rows: Sequence[Row], kept: Sequence[Any], options: Any) -> Any:
        """The answer for one input."""

    # ---- running

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """The answer for one input, a list of answers for a list, an iterator of answers for anything else.

        A list, a tuple or an array is a list of inputs. An iterator, an iterable or a dataset (`__len__` and
        `__getitem__`) is read as its answers are asked for: the iterator of answers keeps a bounded number of inputs
        in memory, and gives the answers in their order.

        Raises:
            PipelineException: an input that is no text, or is longer than the model takes (not with errors="return").
            ValueError: unknown or impossible options.
        """
        chosen = self.options(options)
        if (stream := stream_of(inputs)) is not None:
            items, length = stream
            return Answers(self._stream(items, chosen), length)
        listed = self._list_of(inputs, chosen)
        return self.run([inputs], chosen, located=False)[0] if listed is None else self.run(listed, chosen)

    def predict(self, inputs: Any, **options: Any) -> Any:
        """The same as a call, by the name that scikit-learn's estimators have."""
        return self(inputs, **options)

    def transform(self, inputs: Any, **options: Any) -> Any:
        """The same as a call, by the name that scikit-learn's transformers have."""
        return self(inputs, **options)

    def save_pretrained(self, folder: StrPath) -> None:
        """Write the model and its tokenizer into `folder`, from which `pipeline(model=folder)` makes this task again.

        Raises:
            ValueError: the folder cannot be written.
        """
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _list_of(self, inputs: Any, options: Any) -> list[Any] | None:
        """A list of inputs as a list; None for a single input."""
        if isinstance(inputs, np.ndarray):
            inputs = inputs.tolist()
        if isinstance(inputs, list) or (isinstance(inputs, tuple) and not self.pairs):
            return list(inputs)
        return None

    def _stream(self, inputs: Iterator[Any], options: Any) -> Iterator[Any]:
        """Answers as they become known; a window of the inputs at a time is sorted by length and run.

        Windows grow from one input, so that the first answers do not wait for hundreds of inputs; with a batch size of
        one nothing is read ahead. An input that fails does so in its place, after the answers before it.
        """
        done, size, most = 0, 1, options.batch_size * WINDOW_BATCHES if options.batch_size > 1 else 1
        while window := take_window(inputs, size):
            for answer in self._attempt(window, options, first=done):
                if isinstance(answer, PipelineException) and options.errors == "raise":
                    raise answer
                yield answer
            done += len(window)
            size = min(2 * size, most)

    def run(self, items: Sequence[Any], options: Any, *, first: int = 0, located: bool = True) -> list[Any]:
        """Answers for `items`, in their order.

        Args:
            items: inputs.
            options: what `self.options({...})` returns. With errors="return", an input that fails has its
                PipelineException in the place of its answer.
            first: the number of the first item in messages.
            located: whether messages say which input they are about.

        Raises:
            PipelineException: with errors="raise", the first input that fails.
        """
        return self._attempt(items, options, first=first, located=located, raises=options.errors == "raise")

    def _attempt(
        self, items: Sequence[Any], options: Any, *, first: int, located: bool = True, raises: bool = False
    ) -> list[Any]:
        """An answer or a PipelineException for each item; with `raises`, the first exception is raised at once."""

        def failed(k: int, error: ValueError) -> PipelineException:
            wrong = error if isinstance(error, PipelineException) else self.wrong(str(error))
            shown = wrong.at(first + k) if located else wrong
            shown.__cause__ = error if shown is not error else None
            if raises:
                raise shown
            return shown

        jobs: list[list[Row] | PipelineException] = []
        for k, item in enumerate(items):
            try:
                jobs.append(self.prepare(item, options))
            except ValueError as error:
                jobs.append(failed(k, error))
        kept = iter(self._run_rows([row for job in jobs if isinstance(job, list) for row in job], options))
        answers: list[Any] = []
        for k, (item, job) in enumerate(zip(items, jobs, strict=True)):
            if isinstance(job, PipelineException):
                answers.append(job)
                continue
            mine = list(islice(kept, len(job)))
            wrong = next((one for one in mine if isinstance(one, ValueError)), None)
            answers.append(self.finish(item, job, mine, options) if wrong is None else failed(k, wrong))
        return answers

    def _run_rows(self, rows: list[Row], options: Any) -> list[Any]:
        """What `forward` keeps of each row, in the order of the rows; a ValueError for a row that the model refuses."""
        kept: list[Any] = [None] * len(rows)
        with no_grad(), progress(len(rows), self.task, options.show_progress) as advance:
            for batch in plan_batches([len(row) for row in rows], options.batch_size):
                for k, one in zip(batch, self._run_batch([rows[k] for k in batch], options), strict=True):
                    kept[k] = one
                advance(len(batch))
        return kept

    def _run_batch(self, rows: Sequence[Row], options: Any) -> list[Any]:
        """What `forward` keeps of each row; if the model refuses the batch, its rows run alone to find which it is."""
        try:
            return list(self.forward(pad_rows(rows), rows, options))
        except ValueError as error:
            if len(rows) == 1:
                return [error]
            return [self._run_batch([row], options)[0] for row in rows]

    @property
    def device(self) -> str:
        """Where the model computes, "cpu" or "cuda"."""
        return str(self.model.device)

    # ---- help for tasks

    def wrong(self, reason: str) -> PipelineException:
        """An error that says what is wrong with an input."""
        return PipelineException(self.task, self.model.base_model_prefix, reason)

    @property
    def longest(self) -> int:
        """The most tokens a row may have: what both the model and the tokenizer take."""
        positions = self.model.config.max_position_embeddings
        return min(positions, getattr(self.tokenizer, "model_max_length", None) or positions)

    def encode(self, text: Any, pair: Any = None, *, options: Options, **more: Any) -> Row:
        """One row for a text or a pair. It is cut only where the options say so.

        Raises:
            PipelineException: not text, or too long for the model.
        """
        for one in (text,) if pair is None else (text, pair):
            if not isinstance(one, str) and not more.get("is_split_into_words"):
                raise self.wrong(f"expected text (a str), got {_describe(one)}")
        given = {**options.for_tokenizer(), **more}
        if given.get("padding") != "max_length":
            given["padding"] = False  # a single row has nothing to be padded to; batches are padded later
        if given.get("truncation") in (None, False, "do_not_truncate") and "max_length" not in given:
            if not given["padding"]:
                given |= {"truncation": False, "max_length": NO_LIMIT}
        elif given.get("max_length") is None:
            given["max_length"] = self.longest
        if pair == "":  # a tokenizer takes an empty second text for none, except in a batch
            row = Row.all_of(self.tokenizer([(text, pair)], **given))[0]
        else:
            row = Row.of(self.tokenizer(text, pair, **given))
        self.check_length(len(row), given.get("max_length"))
        return row

    def check_length(self, length: int, asked: int | None = None) -> None:
        """Raise PipelineException for a row that is longer than the model's table of positions.

        `asked` is the `max_length` of the call, None or NO_LIMIT without one.
        """
        positions = self.model.config.max_position_embeddings
        if length > positions and asked is not None and positions < asked < NO_LIMIT:
            raise self.wrong(f"max_length is {asked}, the row has {length} tokens, and the model takes {positions}")
        if length > positions:
            raise self.wrong(
                f"the text has {length} tokens and the model takes {positions}; shorten it, or let it be cut "
                f"{self.how_to_cut}"
            )

    how_to_cut: str = "with truncation=True"


def _describe(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, bytes):
        return "bytes (decode them first: data.decode('utf-8'))"
    return f"{value!r:.40} ({type(value).__name__})"
