"""A WordPiece vocabulary from a corpus, trained by the `tokenizers` library and written in every BERT tool's format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minibert.number_like import as_int
from minibert.pretraining.corpus import Paragraphs
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
        texts: read twice, so no generator; words are counted, texts are not kept.
        size: tokens wanted, special ones counted; fewer if the texts do not have so many.
        cased: keep case and accents; else lower-case and strip them.
        min_frequency: a pair that is rarer is not merged.
        alphabet: the most single characters; rarer ones will be written [UNK].
        max_length: the tokenizer's model_max_length.

    Raises:
        CorpusError: no text at all, a size too small for the characters, or texts that can be read only once.
        MissingLibrary: `tokenizers` is not installed.
    """
    size = as_int("the size of a vocabulary", size)
    if size < SMALLEST:
        raise CorpusError(f"a vocabulary has at least {SMALLEST} tokens, got {size}")
    min_frequency = as_int("min_frequency", min_frequency, least=0)
    alphabet = as_int("alphabet", alphabet, least=1)
    if iter(texts) is texts:
        raise CorpusError("texts are read twice: give a list or a Corpus, not a generator")
    options = {"min_frequency": min_frequency, "limit_alphabet": alphabet, "show_progress": progress}
    # The trainer decides between equally good merges by the ids of their parts, and gives ids to the characters inside
    # words as it meets them, in an order that changes from run to run. So these characters are found by a first,
    # empty training, and given to the second one in order, as if they were special: the result is always the same.
    letters = _train(texts, cased, list(SPECIAL_TOKENS), vocab_size=0, **options)
    inside = sorted(token for token in letters if token.startswith("##") and token != "##")
    trained = _train(texts, cased, [*SPECIAL_TOKENS, *inside], vocab_size=size, **options)
    if len(trained) <= len(SPECIAL_TOKENS):
        reason = texts.corpus.reason() if isinstance(texts, Paragraphs) else ""
        raise CorpusError(f"the corpus has no word to make a vocabulary of{reason}")
    if len(trained) > size:
        raise CorpusError(
            f"the corpus has {len(trained) - len(SPECIAL_TOKENS):,} characters, inside and at the beginning of words,"
            f" and a vocabulary of {size:,} does not hold them: give a larger size or a smaller alphabet"
        )
    return BertTokenizer(_in_order(trained), do_lower_case=not cased, model_max_length=max_length)


def _train(texts: Iterable[str], cased: bool, special: list[str], **options: Any) -> dict[str, int]:
    """token -> id of a WordPiece vocabulary."""
    try:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    except ImportError:
        raise MissingLibrary("tokenizers", "training a vocabulary") from None
    tokenizer = Tokenizer(models.WordPiece({}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not cased, strip_accents=None)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(special_tokens=special, continuing_subword_prefix="##", **options)
    tokenizer.train_from_iterator(texts, trainer)
    vocab: dict[str, int] = tokenizer.get_vocab()
    return vocab


def _in_order(vocab: dict[str, int]) -> list[str]:
    """Special tokens, then characters, then characters inside words, then what was merged, in the order it was."""

    def rank(token: str) -> tuple[int, int]:
        character = len(token.removeprefix("##")) == 1 or token == "##"
        group = 0 if token in SPECIAL_TOKENS else 1 + token.startswith("##") if character else 3
        return group, vocab[token]

    return sorted(vocab, key=rank)
