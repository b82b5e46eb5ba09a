"""token-classification: names and other marked words in texts. (BERT, figure 4 d)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from minibert.number_like import as_int
from minibert.pipelines.answers import NamedEntity
from minibert.pipelines.base import Options, Pipeline
from minibert.pipelines.batching import Row
from minibert.pipelines.entities import STRATEGIES, LabelledToken, entities_of, longest_of_overlapping
from minibert.pipelines.scores import softmax

__all__ = ["TokenClassificationPipeline"]


@dataclass(frozen=True, kw_only=True)
class TokenOptions(Options):
    """Options of token-classification.

    Attributes:
        aggregation_strategy: how tokens are merged, see `minibert.pipelines.entities.entities_of`.
        ignore_labels: entities with these labels are skipped.
        stride: read a text that is too long in windows; how many tokens neighbouring windows share.
        offset_mapping: where each token of the text begins and ends, special ones counted, in place of the tokenizer's
            own answer.
        is_split_into_words: texts come as lists of words; offsets are those in the words joined by `delimiter`.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Sequence[str] = ("O",)
    stride: int | None = None
    offset_mapping: Sequence[tuple[int, int]] | None = None
    is_split_into_words: bool = False
    delimiter: str = " "

    def __post_init__(self) -> None:
        super().__post_init__()
        strategy = str(self.aggregation_strategy).lower()
        if strategy not in STRATEGIES:
            expected = ", ".join(STRATEGIES)
            raise ValueError(f"unknown aggregation_strategy {self.aggregation_strategy!r}; expected one of {expected}")
        object.__setattr__(self, "aggregation_strategy", strategy)
        if isinstance(self.ignore_labels, str):
            raise ValueError(f"ignore_labels must be a list of labels, got {self.ignore_labels!r}")
        if self.stride is not None:
            self.settle("stride", least=0)
            if strategy == "none":
                raise ValueError("stride needs an aggregation_strategy: shared tokens would come twice without")
        if self.offset_mapping is not None:
            if self.stride is not None or self.is_split_into_words:
                raise ValueError("offset_mapping is for a text as it is: not with stride, not with is_split_into_words")
            object.__setattr__(self, "offset_mapping", _checked_offsets(self.offset_mapping))


def _checked_offsets(offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """`offsets` as pairs of Python integers. Raises ValueError for anything else."""
    try:
        pairs = [tuple(pair) for pair in offsets]
    except TypeError:
        pairs = [()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"offset_mapping must be a list of (start, end), one for each token, got {offsets!r:.80}")
    return [(as_int("an offset", start, least=0), as_int("an offset", end, least=0)) for start, end in pairs]


class TokenClassificationPipeline(Pipeline):
    """Labels for the tokens of texts, or entities.

    Called with a text, it gives a list of {"entity", "score", "index", "word", "start", "end"}; with an
    `aggregation_strategy`, of {"entity_group", "score", "word", "start", "end"}. `start` and `end` are characters of
    the text. A list of texts gives a list of such lists.
    """

    task = "token-classification"
    architectures = ("BertForTokenClassification",)
    option_type = TokenOptions
    how_to_cut: str = "with truncation=True, or read in windows with stride=... and an aggregation_strategy"

    @overload
    def __call__(self, inputs: str, **options: Any) -> list[NamedEntity]: ...
    @overload
    def __call__(self, inputs: list[str], **options: Any) -> list[list[NamedEntity]]: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """See the class. Raises PipelineException for what is no text, ValueError for options that cannot be."""
        return super().__call__(inputs, **options)

    def _list_of(self, inputs: Any, options: TokenOptions) -> list[Any] | None:
        items = super()._list_of(inputs, options)
        if options.is_split_into_words and items and all(isinstance(item, str) for item in items):
            return [items]  # the words of a single text
        return items

    def prepare(self, item: Any, options: TokenOptions) -> list[Row]:
        """One row, or the windows of a long text."""
        text: Any = item
        more: dict[str, Any] = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
        if options.is_split_into_words:
            if not isinstance(item, list | tuple) or not all(isinstance(word, str) for word in item):
                raise ValueError("with is_split_into_words=True a text is a list of words (str)")
            text, more["is_split_into_words"] = list(item), True
        if options.stride is None or not isinstance(text, str | list):
            row = self.encode(text, options=options, **more)
            if options.offset_mapping is not None and len(options.offset_mapping) != len(row):
                raise ValueError(
                    f"offset_mapping has {len(options.offset_mapping)} pairs and the text {len(row)} tokens; give one "
                    "pair for each token, special ones counted"
                )
            return [row]
        given = {"max_length": self.longest, **options.for_tokenizer(), "truncation": True, "padding": False}
        room = given["max_length"] - self.tokenizer.num_special_tokens_to_add()
        if options.stride >= room:
            raise ValueError(f"stride {options.stride} leaves nothing new in windows of {room} tokens; lower it")
        rows = self.tokenizer(text, stride=options.stride, return_overflowing_tokens=True, **given, **more)
        return Row.all_of(rows)

    def forward(self, inputs: dict[str, np.ndarray], rows: Sequence[Row], options: TokenOptions) -> list[np.ndarray]:
        """(S, labels) of each row."""
        scores = softmax(self.model(**inputs, return_dict=True).logits.numpy())  # (B, S, labels)
        return [one[: len(row)] for one, row in zip(scores, rows, strict=True)]

    def finish(self, item: Any, rows: Sequence[Row], kept: Sequence[Any], options: TokenOptions) -> list[Any]:
        """Entities, without those of `ignore_labels`."""
        text, word_starts = item, None
        if options.is_split_into_words:
            text = options.delimiter.join(item)
            word_starts = [0, *np.cumsum([len(word) + len(options.delimiter) for word in item]).tolist()]
        found: list[dict[str, Any]] = []
        for row, scores in zip(rows, kept, strict=True):
            found += entities_of(
                self._tokens(text, word_starts, row, scores, options),
                options.aggregation_strategy,
                self.model.config.id2label,
                self.tokenizer.convert_tokens_to_string,
            )
        found = [e for e in found if e.get("entity", e.get("entity_group")) not in options.ignore_labels]
        return found if len(rows) == 1 else longest_of_overlapping(found)

    def _tokens(
        self, text: str, word_starts: list[int] | None, row: Row, scores: np.ndarray, options: TokenOptions
    ) -> list[LabelledToken]:
        """The tokens of a row, without special ones; `word_starts`: where each word of a split text begins."""
        offsets, special = (
            row.encoding[name][row.place] if options.stride is not None else row.encoding[name]
            for name in ("offset_mapping", "special_tokens_mask")
        )
        offsets = options.offset_mapping or offsets
        words = row.encoding.word_ids(row.place)
        names = self.tokenizer.convert_ids_to_tokens(row.input_ids)
        tokens = []
        for i, (start, end) in enumerate(offsets):
            if special[i]:
                continue
            shift = 0 if word_starts is None else word_starts[words[i]]
            start, end = start + shift, end + shift
            unknown = row.input_ids[i] == self.tokenizer.unk_token_id
            tokens.append(
                LabelledToken(
                    text=text[start:end] if unknown else names[i],
                    scores=scores[i],
                    index=i,
                    start=start,
                    end=end,
                    goes_on=i > 0 and words[i] is not None and words[i] == words[i - 1] and not unknown,
                )
            )
        return tokens
