"""A model, by its name, on text that it has not seen: what `minibert evaluate` does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minibert.backend import check_device
from minibert.checkpoint import CheckpointError, CheckpointWarning
from minibert.checkpoint.hidden_folder import scratch_folder
from minibert.heads import BertForPreTraining
from minibert.pretraining.corpus import Corpus
from minibert.pretraining.data import PretrainingData
from minibert.pretraining.errors import DataError
from minibert.pretraining.evaluation import Evaluation, evaluate
from minibert.pretraining.prepare import prepare_corpus
from minibert.pretraining.shards import INDEX, prepared_inside
from minibert.tokenizer import BertTokenizer

__all__ = ["evaluate_model"]


def evaluate_model(
    name: str,
    path: Path,
    *,
    max_length: int | None = None,
    examples: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    whole_word_masking: bool = False,
    device: str = "cpu",
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Evaluate a checkpoint on prepared data, or on text, which is then prepared in a temporary folder.

    Args:
        name: a folder, or a name on the hub; a model without the next-sentence head is not asked for it.
        path: a folder that `minibert prepare` wrote, with the model's own vocabulary; or a text file, or a folder of
            them: then every file is a document. A single document has no negative pairs, so that there is no figure for
            next sentences.
        max_length: S, the most tokens of an example; None for as many as the model takes, but not above 512, the
            length of the paper's examples.
        seed: of pairs and masks.
        device: where the model computes, "cpu" or "cuda".
        on_batch, examples, batch_size: as `evaluate`.

    Raises:
        ValueError: a model or text that cannot be read, another vocabulary, a length that the model cannot take, a
            device that is not to be had.
    """
    check_device(device)
    model, has_sentences = _load(name)
    model.to(device=device)
    tokenizer = BertTokenizer.from_pretrained(name)
    longest = model.config.max_position_embeddings
    if max_length is None:
        max_length = min(longest, 512)
    if max_length > longest:
        raise CheckpointError(f"{name} takes at most {longest} tokens, and examples of {max_length} were asked for")
    with scratch_folder("evaluate") as scratch:
        folder = path
        if not (path / INDEX).is_file():
            if inside := prepared_inside(path):  # else their vocabularies would be taken for texts
                raise DataError(f"{path} holds prepared folders: name one of them, {' or '.join(map(str, inside))}")
            folder = scratch / "prepared"
            prepare_corpus(Corpus([path]), tokenizer, folder)
        made: dict[str, Any] = {"max_length": max_length, "seed": seed, "whole_word_masking": whole_word_masking}
        try:
            data = PretrainingData(folder, **made)
            several = True
        except DataError:
            data = PretrainingData(folder, **made, next_sentence=False)  # a single document; else it fails again
            several = False
        if data.tokenizer.get_vocab() != tokenizer.get_vocab():
            raise DataError(f"{path} was prepared with another vocabulary than that of {name}; prepare it with --vocab")
        return evaluate(
            model,
            data,
            examples=examples,
            batch_size=batch_size,
            next_sentence=has_sentences and several,
            on_batch=on_batch,
        )


def _load(name: str) -> tuple[BertForPreTraining, bool]:
    """The model, and whether it has a next-sentence head. Raises CheckpointError without a masked-word head."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        loaded: Any = BertForPreTraining.from_pretrained(name, output_loading_info=True)
    model, told = loaded
    missing = told["missing_keys"]
    if any(key.startswith("cls.predictions.transform") for key in missing):
        raise CheckpointError(f"{name} has no masked-word head, so there is nothing to evaluate")
    return model, not any(key.startswith(("cls.seq_relationship", "bert.pooler")) for key in missing)
