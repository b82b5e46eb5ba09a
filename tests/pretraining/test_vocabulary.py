"""A vocabulary from a corpus: its size, its files, and the same splitting as by the library that trained it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("tokenizers", reason="vocabularies are trained by the tokenizers library")

import tokenizers

from minibert import BertTokenizer
from minibert.pretraining import Corpus, CorpusError, train_vocabulary
from minibert.pretraining.vocabulary import SPECIAL_TOKENS


def texts(count: int = 400, seed: int = 0) -> list[str]:
    """Sentences of invented words, some with accents and capitals."""
    random.seed(seed)
    syllables = ["ba", "ko", "Ré", "ti", "su", "man", "ing", "Œ", "ño", "x", "-", "’s", "汉", "zu", "lo", "ver"]
    words = ["".join(random.choices(syllables, k=random.randint(1, 4))) for _ in range(300)]
    weights = [1 / (1 + k) for k in range(300)]
    return [" ".join(random.choices(words, weights, k=12)) + "." for _ in range(count)]


@pytest.mark.parametrize("cased", [True, False])
def test_size_order_and_case(cased: bool) -> None:
    tokenizer = train_vocabulary(texts(), 250, cased=cased, max_length=77)
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    assert len(tokens) == 250
    assert tuple(tokens[:5]) == SPECIAL_TOKENS
    assert tokenizer.basic.do_lower_case is not cased
    assert tokenizer.model_max_length == 77
    assert any("é" in token for token in tokens) == cased
    assert all(token == token.lower() for token in tokens[5:]) != cased


def test_the_same_corpus_gives_the_same_vocabulary() -> None:
    """The trainer by itself breaks ties by the order in which a hash table gives out the words."""
    first = train_vocabulary(texts(), 250, cased=True).get_vocab()
    assert all(train_vocabulary(texts(), 250, cased=True).get_vocab() == first for _ in range(4))


@pytest.mark.parametrize("cased", [True, False])
def test_the_library_splits_alike(tmp_path: Path, cased: bool) -> None:
    train_vocabulary(texts(), 300, cased=cased).save_pretrained(tmp_path)
    ours = BertTokenizer.from_pretrained(tmp_path)
    from_json = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    from_vocab = tokenizers.BertWordPieceTokenizer(str(tmp_path / "vocab.txt"), lowercase=not cased, strip_accents=None)
    unseen = [*texts(200, seed=1), "UNSEEN Ünseen 漢字 don’t [MASK] ∂x e\u0301", "", "ba" * 60]
    for text in unseen:
        ids = ours(text)["input_ids"]
        assert ids == from_json.encode(text).ids == from_vocab.encode(text).ids, text


def test_rare_characters_are_left_out() -> None:
    many = ["abc abd abe"] * 50 + ["ω"]
    assert "ω" not in train_vocabulary(many, 60, cased=True, alphabet=5).get_vocab()
    assert "ω" in train_vocabulary(many, 60, cased=True).get_vocab()


def test_from_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join(texts()))
    (tmp_path / "b.txt").write_text("only here: qqqq qqqq qqqq")
    tokenizer = train_vocabulary(Corpus(tmp_path, leave_out=["b.txt"]).paragraphs(), 250, cased=True)
    assert tokenizer.get_vocab() == train_vocabulary(texts(), 250, cased=True).get_vocab()


def test_what_makes_no_sense() -> None:
    with pytest.raises(CorpusError, match="at least 7 tokens"):
        train_vocabulary(texts(), 5, cased=True)
    with pytest.raises(CorpusError, match="not a generator"):
        train_vocabulary((text for text in texts()), 100, cased=True)
    with pytest.raises(CorpusError, match="no word"):
        train_vocabulary(["", " "], 100, cased=True)
    with pytest.raises(CorpusError, match="a vocabulary of 20 does not hold them"):
        train_vocabulary(texts(), 20, cased=True)
