"""fill-mask: which word stands behind [MASK]? (BERT, section 3.1, task 1)"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from minibert.number_like import as_int
from minibert.pipelines.answers import FilledMask
from minibert.pipelines.base import Options, Pipeline
from minibert.pipelines.batching import Row
from minibert.pipelines.scores import softmax, top

__all__ = ["FillMaskPipeline"]

Guess = tuple[np.ndarray, np.ndarray]  # ids and scores of the best words for one [MASK]


@dataclass(frozen=True, kw_only=True)
class FillMaskOptions(Options):
    """Options of fill-mask.

    Attributes:
        top_k: how many words for each [MASK].
        targets: choose among these words only; their scores remain probabilities over the whole vocabulary. A word that
            is no token is replaced by its first piece, with a warning.
        target_ids: the same by token ids.
    """

    top_k: int = 5
    targets: str | Sequence[str] | None = None
    target_ids: Sequence[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settle("top_k", least=1)


class FillMaskPipeline(Pipeline):
    """Words for the [MASK]s of texts.

    Called with a text, it gives a list of {"score", "token", "token_str", "sequence"}, best first; with several [MASK]s
    a list of such lists, one for each. A list of texts gives a list of these, a list with one text what the text alone
    gives.
    """

    task = "fill-mask"
    architectures = ("BertForMaskedLM", "BertForPreTraining")
    option_type = FillMaskOptions

    # Typed as for texts with one [MASK] each.
    @overload
    def __call__(self, inputs: str, **options: Any) -> list[FilledMask]: ...
    @overload
    def __call__(self, inputs: list[str] | tuple[str, ...], **options: Any) -> list[list[FilledMask]]: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """See the class. Raises PipelineException for a text without [MASK], ValueError for options that cannot be."""
        answers = super().__call__(inputs, **options)
        return answers[0] if isinstance(inputs, list | tuple) and len(inputs) == 1 else answers

    def options(self, given: Any) -> Any:
        """As for any pipeline, with the target words turned into ids, each once, and the ids checked."""
        chosen = super().options(given)
        if chosen.targets is None and chosen.target_ids is None:
            return chosen
        if chosen.targets is not None and chosen.target_ids is not None:
            raise ValueError("targets and target_ids are two ways to say the same; give one of them")
        ids = list(chosen.target_ids) if chosen.targets is None else self.ids_of(chosen.targets)
        most = self.model.config.vocab_size - 1
        ids = list(dict.fromkeys(as_int("a target's id", id, least=0, most=most) for id in ids))
        if not ids:
            raise ValueError("at least one target id is needed")
        return replace(chosen, target_ids=ids)

    def ids_of(self, targets: str | Sequence[str]) -> list[int]:
        """Ids of the target words, each once.

        Raises:
            ValueError: not words, or none that has an id.
        """
        words = [targets] if isinstance(targets, str) else list(targets)
        for word in words:
            if not isinstance(word, str):
                raise ValueError(f"targets must be words (str), got {word!r}")
        vocabulary = self.tokenizer.get_vocab()
        ids = [vocabulary[word] if word in vocabulary else self._first_piece(word) for word in words]
        found = list(dict.fromkeys(id for id in ids if id is not None))
        if not found:
            raise ValueError(f"at least one target word is needed that has a token, got {words}")
        return found

    def _first_piece(self, word: str) -> int | None:
        pieces = self.tokenizer(word, add_special_tokens=False)["input_ids"]
        if not pieces:
            warnings.warn(f"the target {word!r} is no token and has no piece that is one: skipped", stacklevel=7)
            return None
        piece = self.tokenizer.convert_ids_to_tokens([pieces[0]])[0]
        warnings.warn(f"the target {word!r} is no token of the vocabulary: {piece!r} is used instead", stacklevel=7)
        return int(pieces[0])

    def prepare(self, item: Any, options: FillMaskOptions) -> list[Row]:
        """One row, with a [MASK] in it."""
        if self.tokenizer.mask_token_id is None:
            raise self.wrong("the tokenizer has no mask token")
        row = self.encode(item, options=options)
        if self.tokenizer.mask_token_id not in row.input_ids:
            mask = self.tokenizer.mask_token
            raise self.wrong(f"No mask_token ({mask}) found on the input; write {mask} where a word is to be filled in")
        return [row]

    def forward(
        self, inputs: dict[str, np.ndarray], rows: Sequence[Row], options: FillMaskOptions
    ) -> list[list[Guess]]:
        """The best words of each [MASK] of each row; the head runs on the [MASK]s only."""
        masked = inputs["input_ids"] == self.tokenizer.mask_token_id  # (B, S)
        masked &= inputs["attention_mask"] == 1
        out = self.model(**inputs, rows=masked, return_dict=True)
        logits = out.prediction_logits if hasattr(out, "prediction_logits") else out.logits
        among = None if options.target_ids is None else np.asarray(options.target_ids)
        # One (V,) at a time: a text may be nothing but [MASK]s, and (M, V) in float64 would be gigabytes.
        guesses = iter([_best(softmax(row), among, options.top_k) for row in logits.numpy()])  # of (M, V)
        return [[next(guesses) for _ in range(count)] for count in masked.sum(axis=1).tolist()]

    def finish(self, item: Any, rows: Sequence[Row], kept: Sequence[Any], options: FillMaskOptions) -> Any:
        """Words and the texts that they make."""
        ids = np.asarray(rows[0].input_ids)
        places = np.flatnonzero((ids == self.tokenizer.mask_token_id) & (np.asarray(rows[0].attention_mask) == 1))
        # With other [MASK]s left in the text, special tokens stay: without them it would read as if it were complete.
        alone = len(places) == 1
        answers = [self._words(ids, place, guess, alone) for place, guess in zip(places.tolist(), kept[0], strict=True)]
        return answers[0] if alone else answers

    def _words(self, ids: np.ndarray, place: int, guess: Guess, alone: bool) -> list[dict[str, Any]]:
        words = []
        for token, score in zip(guess[0].tolist(), guess[1].tolist(), strict=True):
            filled = ids.copy()
            filled[place] = token
            filled = filled[filled != self.tokenizer.pad_token_id]
            words.append(
                {
                    "score": score,
                    "token": token,
                    "token_str": self.tokenizer.decode([token]),
                    "sequence": self.tokenizer.decode(filled.tolist(), skip_special_tokens=alone),
                }
            )
        return words


def _best(scores: np.ndarray, among: np.ndarray | None, k: int) -> Guess:
    """The k best words of scores (V,), of all or of some."""
    if among is None:
        ids = top(scores, k)
        return ids, scores[ids]
    places = top(scores[among], k)
    return among[places], scores[among[places]]
