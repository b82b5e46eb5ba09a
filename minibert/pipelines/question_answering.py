"""question-answering: the words of a text that answer a question. (BERT, section 4.2)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minibert.pipelines.base import Options, Pipeline, check_count
from minibert.pipelines.batching import Row
from minibert.pipelines.scores import top

__all__ = ["QuestionAnsweringPipeline"]


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(Options):
    """Options of question-answering.

    Attributes:
        top_k: how many answers; one comes as a dictionary, several as a list.
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
        check_count("top_k", self.top_k)
        check_count("max_answer_len", self.max_answer_len)
        if self.max_seq_len is not None:
            check_count("max_seq_len", self.max_seq_len)
        if self.doc_stride is not None:
            check_count("doc_stride", self.doc_stride, least=0)


class Spans(NamedTuple):
    """The best spans of one window: first and last token, and score; and the score of there being no answer."""

    first: np.ndarray
    last: np.ndarray
    score: np.ndarray
    nothing: float


class QuestionAnsweringPipeline(Pipeline):
    """Answers to questions, out of a context.

    Called with `question=` and `context=` (or {"question": ..., "context": ...}), it gives {"score", "start", "end",
    "answer"}: characters `start` to `end` of the context. Lists of them give a list; several questions may share one
    context. A context that is too long for the model is read in windows, and the best answer of all counts.
    """

    task = "question-answering"
    architectures = ("BertForQuestionAnswering",)
    option_type = AnswerOptions

    def __call__(self, inputs: Any = None, *, question: Any = None, context: Any = None, **options: Any) -> Any:
        """See the class. Raises PipelineException for what is no question, ValueError for options that cannot be."""
        if (inputs is None) == (question is None and context is None):
            raise ValueError("give question=... and context=..., or dictionaries that hold both")
        return super().__call__(_questions(question, context) if inputs is None else inputs, **options)

    def prepare(self, item: Any, options: AnswerOptions) -> list[Row]:
        """The windows of the context, each behind the question."""
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
        return Row.all_of(rows)

    def forward(self, inputs: dict[str, np.ndarray], rows: Sequence[Row], options: AnswerOptions) -> list[Spans]:
        """The best spans of each window."""
        out = self.model(**inputs, return_dict=True)
        start, end = out.start_logits.numpy(), out.end_logits.numpy()  # (B, S)
        return [_best_spans(start[b, : len(row)], end[b, : len(row)], row, options) for b, row in enumerate(rows)]

    def finish(self, item: Any, rows: Sequence[Row], kept: Sequence[Any], options: AnswerOptions) -> Any:
        """The best answers of all windows. Spans that read as the same words count once, with the best score."""
        _, context = _checked(item)
        best: dict[tuple[int, int], float] = {}
        for row, spans in zip(rows, kept, strict=True):
            for first, last, score in zip(spans.first.tolist(), spans.last.tolist(), spans.score.tolist(), strict=True):
                place = _characters(row, first, last, options.align_to_words)
                best[place] = max(score, best.get(place, 0.0))
        answers: list[dict[str, Any]] = [
            {"score": score, "start": start, "end": end, "answer": context[start:end]}
            for (start, end), score in best.items()
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
    if not isinstance(item, Mapping) or item.keys() != {"question", "context"}:
        raise ValueError('expected {"question": ..., "context": ...}')
    for name in ("question", "context"):
        if not isinstance(item[name], str) or not item[name].strip():
            raise ValueError(f"the {name} must be a text that is not empty, got {item[name]!r:.80}")
    return item["question"], item["context"]


def _best_spans(start: np.ndarray, end: np.ndarray, row: Row, options: AnswerOptions) -> Spans:
    """The most likely spans of a window.

    Start and end are taken as independent, each a softmax over the tokens of the context and [CLS], which stands for
    "no answer here"; so the scores of windows that hold the answer and of those that do not can be compared.
    """
    context = np.array([index == 1 for index in row.encoding.sequence_ids(row.place)])  # (S,)
    open_to = context.copy()
    open_to[0] = True  # [CLS]
    p, q = (_softmax_over(logits, open_to) for logits in (start, end))  # (S,)
    joint = p[:, None] * q[None, :]  # (S, S): first token, last token
    length = np.arange(len(p))[None, :] - np.arange(len(p))[:, None]  # 0 for a single token
    joint[(length < 0) | (length >= options.max_answer_len) | ~context[:, None] | ~context[None, :]] = -1.0
    best = top(joint.ravel(), options.top_k)
    best = best[joint.ravel()[best] >= 0]
    first, last = np.divmod(best, len(p))
    return Spans(first, last, joint[first, last], float(p[0] * q[0]))


def _softmax_over(logits: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Softmax over some of (S,); zero elsewhere."""
    x = np.where(where, logits.astype(np.float64), -np.inf)
    e: np.ndarray = np.exp(x - x.max())
    e /= e.sum()
    return e


def _characters(row: Row, first: int, last: int, whole_words: bool) -> tuple[int, int]:
    """The characters of the context from one token to another."""
    offsets = row.encoding["offset_mapping"][row.place]
    if whole_words:
        same_word = list(_same_words(row, first, last))
        first, last = same_word[0], same_word[-1]
    return offsets[first][0], offsets[last][1]


def _same_words(row: Row, first: int, last: int) -> Iterator[int]:
    """The tokens of this window that belong to the words of the two tokens or stand between them."""
    words, texts = row.encoding.word_ids(row.place), row.encoding.sequence_ids(row.place)
    for i, (word, text) in enumerate(zip(words, texts, strict=True)):
        if text == 1 and words[first] <= word <= words[last]:
            yield i
