"""question-answering: the words of a text that answer a question. (BERT, section 4.2)

A candidate answer is a span of tokens of one window. Several candidates can be the same characters of the context:
spans inside one word when answers are aligned to words, and spans that two windows share. The answers of a pipeline are
the `top_k` best *distinct* ones, each with the score of its best candidate; so candidates are merged before the best
are chosen, in each window and again over all windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from minibert.pipelines.answers import AnswerSpan
from minibert.pipelines.base import Options, Pipeline
from minibert.pipelines.batching import Row
from minibert.pipelines.scores import top

__all__ = ["QuestionAnsweringPipeline"]


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(Options):
    """Options of question-answering.

    Attributes:
        top_k: how many answers; one comes as a dictionary, several as a list. The list is shorter only where the
            context does not have as many different answers.
        max_seq_len: the most tokens of a row: question, window of the context, special tokens. By default 384, or what
            the model takes if that is less.
        doc_stride: how many tokens neighbouring windows of a long context share. By default 128, or half a row.
        max_answer_len: the most tokens of an answer.
        handle_impossible_answer: the empty answer competes too, with the score of pointing at [CLS] (SQuAD 2).
        align_to_words: answers begin and end with whole words.
    """

    top_k: int = 1
    max_seq_len: int | None = None
    doc_stride: int | None = None
    max_answer_len: int = 15
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settle("top_k", "max_answer_len", "max_seq_len", least=1)
        self.settle("doc_stride", least=0)


@dataclass(kw_only=True)
class Window(Row):
    """A row of question and window of the context.

    Attributes:
        inside: (S,) whether a token belongs to the context.
        begins, ends: (S,) the characters of the context where an answer begins that has this token as its first, and
            ends that has it as its last. Both rise from token to token inside the context.
    """

    inside: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


class Spans(NamedTuple):
    """The best distinct answers of one window: characters and score; and the score of there being no answer."""

    begins: np.ndarray
    ends: np.ndarray
    scores: np.ndarray
    nothing: float


class QuestionAnsweringPipeline(Pipeline):
    """Answers to questions, out of a context.

    Called with a question and a context, in this order or by name (or with {"question": ..., "context": ...}), it gives
    {"score", "start", "end", "answer"}: characters `start` to `end` of the context. Lists of them give a list; several
    questions may share one context. A context that is too long for the model is read in windows, and the best answer of
    all counts.
    """

    task = "question-answering"
    architectures = ("BertForQuestionAnswering",)
    option_type = AnswerOptions
    pairs = True

    @overload
    def __call__(self, inputs: str, second: str, *, top_k: Literal[1] = 1, **options: Any) -> AnswerSpan: ...
    @overload
    def __call__(self, *, question: str, context: str, top_k: Literal[1] = 1, **options: Any) -> AnswerSpan: ...
    @overload
    def __call__(self, inputs: str, second: str, *, top_k: int, **options: Any) -> list[AnswerSpan]: ...
    @overload
    def __call__(self, *, question: str, context: str, top_k: int, **options: Any) -> list[AnswerSpan]: ...
    @overload
    def __call__(self, inputs: Any = None, second: Any = None, **options: Any) -> Any: ...
    def __call__(
        self, inputs: Any = None, second: Any = None, *, question: Any = None, context: Any = None, **options: Any
    ) -> Any:
        """See the class. Raises PipelineException for what is no question, ValueError for options that cannot be."""
        if second is not None:  # (question, context) in order
            if question is not None or context is not None:
                raise ValueError("question and context are given both in order and by name; give them once")
            question, context, inputs = inputs, second, None
        elif isinstance(inputs, str) and context is not None and question is None:
            question, inputs = inputs, None  # qa("Who?", context="...")
        if (inputs is None) == (question is None and context is None):
            raise ValueError("give question=... and context=..., or dictionaries that hold both")
        return super().__call__(_questions(question, context) if inputs is None else inputs, **options)

    def _list_of(self, inputs: Any, options: AnswerOptions) -> list[Any] | None:
        """A tuple of two texts is a question and its context; any other tuple is a list."""
        if isinstance(inputs, tuple) and not all(isinstance(one, str) for one in inputs):
            inputs = list(inputs)
        return super()._list_of(inputs, options)

    def prepare(self, item: Any, options: AnswerOptions) -> list[Row]:
        """The windows of the context, each after the question."""
        question, context = _checked(item)
        length = min(options.max_seq_len or 384, self.longest)
        asked = len(self.tokenizer(question, add_special_tokens=False, truncation=False, max_length=10**9)["input_ids"])
        room = length - asked - self.tokenizer.num_special_tokens_to_add(True)
        if room < 1:
            raise ValueError(
                f"the question has {asked} tokens, which leaves no room for the context in rows of {length}; shorten it"
            )
        stride = min(128, length // 2) if options.doc_stride is None else options.doc_stride
        if options.doc_stride is not None and options.doc_stride >= room:
            raise ValueError(f"doc_stride {stride} leaves nothing new in windows of {room} tokens; lower it")
        rows = self.tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=length,
            stride=min(stride, room - 1),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        return _windows(rows, options.align_to_words)

    def forward(self, inputs: dict[str, np.ndarray], rows: Sequence[Row], options: AnswerOptions) -> list[Spans]:
        """The best spans of each window."""
        out = self.model(**inputs, return_dict=True)
        start, end = out.start_logits.numpy(), out.end_logits.numpy()  # (B, S)
        return [_best_answers(start[b, : len(row)], end[b, : len(row)], row, options) for b, row in enumerate(rows)]

    def finish(self, item: Any, rows: Sequence[Row], kept: Sequence[Any], options: AnswerOptions) -> Any:
        """The best distinct answers of all windows, best first; equal scores in the order of the context."""
        _, context = _checked(item)
        best: dict[tuple[int, int], float] = {}
        for spans in kept:
            places = zip(spans.begins.tolist(), spans.ends.tolist(), strict=True)
            for (start, end), score in zip(places, spans.scores.tolist(), strict=True):
                best[start, end] = max(score, best.get((start, end), 0.0))
        answers: list[dict[str, Any]] = [
            {"score": score, "start": start, "end": end, "answer": context[start:end]}
            for (start, end), score in sorted(best.items())
        ]
        if options.handle_impossible_answer:
            nothing = min(spans.nothing for spans in kept)  # one window that has an answer is enough
            answers.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
        answers.sort(key=lambda answer: -answer["score"])
        if options.top_k > 1:
            return answers[: options.top_k]
        return answers[0] if answers else {"score": 0.0, "start": 0, "end": 0, "answer": ""}


def _questions(question: Any, context: Any) -> Any:
    """{"question", "context"}, or a list of them; one context may serve several questions."""
    if not isinstance(question, list | tuple) and not isinstance(context, list | tuple):
        return {"question": question, "context": context}
    if not isinstance(question, list | tuple):
        raise ValueError("several contexts need several questions: a list of the same length")
    contexts = [context] * len(question) if isinstance(context, str) else context
    if not isinstance(contexts, list | tuple) or len(contexts) != len(question):
        raise ValueError(f"{len(question)} questions need one context, or a list of {len(question)}")
    return [{"question": q, "context": c} for q, c in zip(question, contexts, strict=True)]


def _checked(item: Any) -> tuple[str, str]:
    if isinstance(item, tuple) and len(item) == 2:
        item = {"question": item[0], "context": item[1]}
    if not isinstance(item, Mapping) or item.keys() != {"question", "context"}:
        raise ValueError('expected {"question": ..., "context": ...}')
    for name in ("question", "context"):
        if not isinstance(item[name], str) or not item[name].strip():
            raise ValueError(f"the {name} must be a text that is not empty, got {item[name]!r:.80}")
    return item["question"], item["context"]


def _windows(encoding: Any, whole_words: bool) -> list[Row]:
    """The rows of a question and its context, with the characters that each token stands for.

    A window may begin or end inside a word; the word's characters are therefore collected over all windows.
    """
    rows = range(len(encoding["input_ids"]))
    texts = [encoding.sequence_ids(k) for k in rows]
    words = [encoding.word_ids(k) for k in rows]
    offsets = encoding["offset_mapping"]
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    if whole_words:
        for k in rows:
            for text, word, (start, end) in zip(texts[k], words[k], offsets[k], strict=True):
                if text == 1:
                    first[word] = min(start, first.get(word, start))
                    last[word] = max(end, last.get(word, end))
    windows: list[Row] = []
    for k, row in enumerate(Row.all_of(encoding)):
        inside = np.array([text == 1 for text in texts[k]])
        spans = [
            (first.get(word, start), last.get(word, end)) if text == 1 else (0, 0)
            for text, word, (start, end) in zip(texts[k], words[k], offsets[k], strict=True)
        ]
        begins, ends = np.array(spans, np.int64).reshape(-1, 2).T  # (S,) each
        windows.append(
            Window(
                row.input_ids, row.token_type_ids, row.attention_mask, encoding, k,
                inside=inside, begins=begins, ends=ends,
            )
        )  # fmt: skip
    return windows


def _best_answers(start: np.ndarray, end: np.ndarray, row: Any, options: AnswerOptions) -> Spans:
    """The `top_k` best distinct answers of a window, from its logits (S,).

    Start and end are taken as independent, each a softmax over the tokens of the context and [CLS], which stands for
    "no answer here"; so the scores of windows that hold the answer and of those that do not can be compared.
    """
    open_to = row.inside.copy()
    open_to[0] = True  # [CLS]
    p, q = (_softmax_over(logits, open_to) for logits in (start, end))  # (S,)
    nothing = float(p[0] * q[0])
    context = np.flatnonzero(row.inside)  # (C,)
    p, q, begins, ends = p[context], q[context], row.begins[context], row.ends[context]
    first, last = _pairs_within(len(context), options.max_answer_len)
    scores = p[first] * q[last]
    best = _distinct(begins[first], ends[last], scores)
    best = best[top(scores[best], options.top_k)]
    return Spans(begins[first[best]], ends[last[best]], scores[best], nothing)


def _pairs_within(count: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last token of every span of at most `longest` of `count` tokens."""
    first = np.arange(count)[:, None]
    last = first + np.arange(min(longest, count))[None, :]  # (count, longest)
    fits = last < count
    return np.broadcast_to(first, last.shape)[fits], last[fits]


def _distinct(begins: np.ndarray, ends: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Of every pair (begin, end) the place of its highest score, ordered by begin, then end."""
    order = np.lexsort((-scores, ends, begins))
    b, e = begins[order], ends[order]
    new = np.ones(len(order), bool)
    new[1:] = (b[1:] != b[:-1]) | (e[1:] != e[:-1])
    kept: np.ndarray = order[new]
    return kept


def _softmax_over(logits: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Softmax over some of (S,); zero elsewhere."""
    x = np.where(where, logits.astype(np.float64), -np.inf)
    e: np.ndarray = np.exp(x - x.max())
    e /= e.sum()
    return e
