"""A vocabulary of ours, read by transformers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.oracle
transformers = pytest.importorskip("transformers", reason="transformers is the judge")
pytest.importorskip("tokenizers", reason="vocabularies are trained by the tokenizers library")


@pytest.mark.parametrize("cased", [True, False])
def test_transformers_reads_it(tmp_path: Path, cased: bool) -> None:
    from minibert.pretraining import train_vocabulary

    texts = ["The Café in Zürich was Closed, naturally.", "It isn't the end: a naïve question remains."] * 5
    ours = train_vocabulary(texts, 120, cased=cased)
    ours.save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in [*texts[:2], "Unseen WORDS, Ünd [MASK]!", ""]:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    assert theirs.get_vocab() == ours.get_vocab()
    assert theirs.model_max_length == 512
