"""What all pipelines share: texts are tokenized, sorted by length, run in batches, and answered in the order they came.

A pipeline is three small functions of its own around this: `prepare` makes rows of an input, `forward` runs the model
on a batch of rows and keeps what is needed of it, `finish` makes the answer.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from minibert.autograd import no_grad
from minibert.bert import BertPreTrainedModel
from minibert.pipelines.batching import Row, pad_rows, plan_batches, progress

__all__ = ["Options", "Pipeline", "PipelineException"]

NO_LIMIT = 10**9
"""A `max_length` that no text reaches: the tokenizer then leaves it to the pipeline to complain."""

# The pipeline decides on these itself.
_NOT_FOR_THE_TOKENIZER = ("return_tensors", "return_overflowing_tokens", "is_split_into_words")


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
        """The same error, told of input `index` of a list."""
        located = type(self)(self.task, self.model, self.reason)
        located.args, located.index = (f"input {index}: {self.reason}",), index
        return located


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every pipeline may be told, when it is made or when it is called.

    Attributes:
        tokenizer_kwargs, tokenize_kwargs: more arguments for the tokenizer (two names for one thing).
        truncation, max_length, padding: the tokenizer's, spelled out because they are asked for most.
        batch_size: the most rows that run through the model at once.
    """

    tokenizer_kwargs: Mapping[str, Any] | None = None
    tokenize_kwargs: Mapping[str, Any] | None = None
    truncation: bool | str | None = None
    max_length: int | None = None
    padding: bool | str | None = None
    batch_size: int = 32

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)
        spelled = {name: getattr(self, name) for name in ("truncation", "max_length", "padding")}
        given = {**(self.tokenizer_kwargs or {}), **(self.tokenize_kwargs or {})}
        for name, value in spelled.items():
            if value is not None and name in given:
                raise ValueError(f"{name} is given twice: by itself and in tokenizer_kwargs; give it once")
        for name in _NOT_FOR_THE_TOKENIZER:
            if name in given:
                raise ValueError(f"tokenizer_kwargs cannot hold {name}: the pipeline decides on it")

    def for_tokenizer(self) -> dict[str, Any]:
        """All that the tokenizer is to be told."""
        given = {**(self.tokenizer_kwargs or {}), **(self.tokenize_kwargs or {})}
        spelled = {name: getattr(self, name) for name in ("truncation", "max_length", "padding")}
        return given | {name: value for name, value in spelled.items() if value is not None}


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raise ValueError unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


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
        self.options({})  # what is wrong with the defaults is told now

    # ---- options

    def _given(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """`options` without those that were not given after all."""
        known = [field.name for field in dataclasses.fields(self.option_type)]
        for name in options:
            if name not in known:
                raise ValueError(f"{self.task} has no option {name!r}; it has {', '.join(known)}")
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
        """The answer for one input, a list of answers for a list, or an iterator of answers for an iterator.

        Raises:
            PipelineException: an input that is no text, or is longer than the model takes.
            ValueError: unknown or impossible options.
        """
        chosen = self.options(options)
        if isinstance(inputs, Iterator):
            return self._stream(inputs, chosen)
        items = self._list_of(inputs, chosen)
        return self.run([inputs], chosen, located=False)[0] if items is None else self.run(items, chosen)

    def _list_of(self, inputs: Any, options: Any) -> list[Any] | None:
        """A list of inputs as a list; None for a single input."""
        if isinstance(inputs, np.ndarray):
            inputs = inputs.tolist()
        if isinstance(inputs, list) or (isinstance(inputs, tuple) and not self.pairs):
            return list(inputs)
        return None

    def _stream(self, inputs: Iterator[Any], options: Any) -> Iterator[Any]:
        """Answers as they become known; a stretch of the inputs at a time is sorted and run."""
        done = 0
        while stretch := list(islice(inputs, 16 * options.batch_size)):
            yield from self.run(stretch, options, first=done)
            done += len(stretch)

    def run(self, items: Sequence[Any], options: Any, *, first: int = 0, located: bool = True) -> list[Any]:
        """Answers for `items`, in their order; `first` is the number of the first in messages."""
        rows: list[list[Row]] = []
        for k, item in enumerate(items):
            try:
                rows.append(self.prepare(item, options))
            except ValueError as error:
                wrong = error if isinstance(error, PipelineException) else self.wrong(str(error))
                raise (wrong.at(first + k) if located else wrong) from error
        kept = iter(self._run_rows([row for several in rows for row in several], options))
        return [
            self.finish(item, several, list(islice(kept, len(several))), options)
            for item, several in zip(items, rows, strict=True)
        ]

    def _run_rows(self, rows: list[Row], options: Any) -> list[Any]:
        """What `forward` keeps of each row, in the order of the rows."""
        kept: list[Any] = [None] * len(rows)
        with no_grad(), progress(len(rows), self.task) as advance:
            for batch in plan_batches([len(row) for row in rows], options.batch_size):
                chosen = [rows[k] for k in batch]
                for k, one in zip(batch, self.forward(pad_rows(chosen), chosen, options), strict=True):
                    kept[k] = one
                advance(len(batch))
        return kept

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
        self.check_length(len(row))
        return row

    def check_length(self, length: int) -> None:
        """Raise PipelineException for a row that is longer than the model's table of positions."""
        positions = self.model.config.max_position_embeddings
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
