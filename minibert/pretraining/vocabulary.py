"""A WordPiece vocabulary from a corpus, trained by the `tokenizers` library and written in every BERT tool's format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minibert.pretraining.errors import CorpusError, MissingLibrary
from minibert.tokenizer import BertTokenizer

__all__ = ["SPECIAL_TOKENS", "train_vocabulary"]

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4
SMALLEST = len(SPECIAL_TOKENS) + 2


def train_vocabulary(
    texts: Iterable[str],
    size: int = 30_000,
    *,
    cased: bool,
    min_frequency: int = 2,
    alphabet: int = 1000,
    max_length: int = 512,
    progress: bool = False,
) -> BertTokenizer:
    """A tokenizer whose vocabulary was trained on `texts`; its `save_pretrained` writes vocab.txt and the other files.

    Pieces come from merging neighbours that stand together most often, beginning with single characters (the 30,000
    pieces of BERT's were made by an unpublished trainer; this is the one that others use in its place).

    Args:
        texts: read once; words are counted, texts are not kept.
        size: tokens wanted, special ones counted; fewer if the texts do not have so many.
        cased: keep case and accents; else lower-case and strip them.
        min_frequency: a pair that is rarer is not merged.
        alphabet: the most single characters; rarer ones will be written [UNK].
        max_length: the tokenizer's model_max_length.

    Raises:
        CorpusError: no text at all, or a size that holds no more than the special tokens.
        MissingLibrary: `tokenizers` is not installed.
    """
    if size < SMALLEST:
        raise CorpusError(f"a vocabulary has at least {SMALLEST} tokens, got {size}")
    try:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    except ImportError:
        raise MissingLibrary("tokenizers", "training a vocabulary") from None
    trained = Tokenizer(models.WordPiece({}, unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=not cased, strip_accents=None)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        limit_alphabet=alphabet,
        special_tokens=list(SPECIAL_TOKENS),
        continuing_subword_prefix="##",
        show_progress=progress,
    )
    trained.train_from_iterator(texts, trainer)
    vocab: dict[str, Any] = trained.get_vocab()
    if len(vocab) <= len(SPECIAL_TOKENS):
        raise CorpusError("the corpus has no word to make a vocabulary of")
    in_order = sorted(vocab, key=vocab.__getitem__)
    return BertTokenizer(in_order, do_lower_case=not cased, model_max_length=max_length)


