"""Evaluation: its figures against plain ones from all logits, and the command on prepared data and on text."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel, BertTokenizer, manual_seed
from minibert.autograd import no_grad
from minibert.cli import main
from minibert.pretraining.data import PretrainingData
from minibert.pretraining.errors import DataError
from minibert.pretraining.evaluation import evaluate
from minibert.pretraining.held_out import evaluate_model
from tests.pretraining import toy

SIZES = {
    "vocab_size": len(toy.VOCAB), "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 32, "initializer_range": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def prepared(top: Path) -> Path:
    return toy.prepare(top, documents=5)


def save(folder: Path, kind: Any) -> Path:
    manual_seed(3)
    kind(BertConfig(**SIZES)).save_pretrained(folder)
    toy.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(top: Path) -> Path:
    return save(top / "model", BertForPreTraining)


def test_figures_against_all_logits(checkpoint: Path, prepared: Path) -> None:
    model = BertForPreTraining.from_pretrained(checkpoint)
    data = PretrainingData(prepared, max_length=32, seed=0)
    found = evaluate(model.train(), data, batch_size=7)
    assert model.training, "left as it was"
    ranks, losses, labels, right, relations = [], [], [], 0, []
    model.eval()
    for i in range(len(data.epoch(0))):
        one: Any = dict(data.epoch(0).batch(i, i + 1))
        relation, label = one.pop("next_sentence_label"), one.pop("labels")[0]
        with no_grad():
            out = model(**one)
        for logits, word in zip(out.prediction_logits.numpy()[0], label, strict=True):
            if word >= 0:
                ranks.append(int(np.flatnonzero(np.argsort(-logits) == word)[0]))
                losses.append(math.log(sum(math.exp(float(x) - float(logits[word])) for x in logits)))
                labels.append(int(word))
        two = out.seq_relationship_logits.numpy()[0].astype(float)
        right += int(two.argmax() == relation[0])
        relations.append(math.log(sum(math.exp(x - two[relation[0]]) for x in two)))
    assert found.masked == len(ranks) > 20
    assert found.examples == len(data.epoch(0))
    assert found.mlm_top1 == pytest.approx(np.mean(np.array(ranks) < 1))
    assert found.mlm_top5 == pytest.approx(np.mean(np.array(ranks) < 5))
    assert found.mlm_loss == pytest.approx(np.mean(losses), rel=1e-5)  # float32 logits, other batches
    assert found.nsp_accuracy == pytest.approx(right / found.examples)
    assert found.nsp_loss == pytest.approx(np.mean(relations), rel=1e-5)
    assert found.most_frequent_top1 == pytest.approx(max(map(labels.count, labels)) / len(labels))
    few = evaluate(model, data, examples=3)
    assert few.examples == 3


def test_the_command_on_prepared_data(checkpoint: Path, prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["evaluate", str(checkpoint), "--data", str(prepared), "--max-length", "32"]
    assert main([*options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    model = BertForPreTraining.from_pretrained(checkpoint)
    expected = evaluate(model, PretrainingData(prepared, max_length=32, seed=0)).to_dict()
    assert told == {"model": str(checkpoint), "data": str(prepared), **expected}
    assert main([*options, "--examples", "4"]) == 0
    table = capsys.readouterr().out
    for name in ("masked words, first", "masked words, among five", "the most frequent word alone", "next sentence"):
        assert f"  {name}  " in table
    assert "  examples                      4\n" in table


def test_text_is_prepared_on_the_way(checkpoint: Path, prepared: Path, top: Path) -> None:
    from_text = evaluate_model(str(checkpoint), top / "texts", max_length=32)
    assert from_text == evaluate_model(str(checkpoint), prepared, max_length=32)
    other = evaluate_model(str(checkpoint), top / "texts", max_length=32, seed=1)
    assert other != from_text


def test_a_single_document_has_no_negative_pairs(checkpoint: Path, top: Path, capsys: Any) -> None:
    book = top / "texts" / "000.txt"
    found = evaluate_model(str(checkpoint), book, max_length=32)
    assert found.nsp_accuracy is found.nsp_loss is None
    assert found.masked > 0
    assert main(["evaluate", str(checkpoint), "--data", str(book), "--max-length", "32"]) == 0
    assert "not asked (one document, or no such head)" in capsys.readouterr().out


def test_a_model_without_the_sentence_head(prepared: Path, checkpoint: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "words", BertForMaskedLM)
    found = evaluate_model(str(folder), prepared, max_length=32)
    assert found.nsp_accuracy is None
    with pytest.raises(ValueError, match="has no masked-word head, so there is nothing to evaluate"):
        evaluate_model(str(save(tmp_path / "bare", BertModel)), prepared, max_length=32)


def test_what_does_not_fit(checkpoint: Path, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes at most 32 tokens, and examples of 128 were asked for"):
        evaluate_model(str(checkpoint), prepared, max_length=128)
    assert evaluate_model(str(checkpoint), prepared) == evaluate_model(str(checkpoint), prepared, max_length=32)
    other = save(tmp_path / "other", BertForPreTraining)
    BertTokenizer([*toy.SPECIAL, *reversed(toy.VOCAB[5:])]).save_pretrained(other)
    with pytest.raises(DataError, match="prepared with another vocabulary than that of"):
        evaluate_model(str(other), prepared, max_length=32)
    # Not the vocabularies inside, taken for texts.
    with pytest.raises(DataError, match="holds prepared folders: name one of them, .*data"):
        evaluate_model(str(checkpoint), prepared.parent, max_length=32)
    with pytest.raises(ValueError, match="nowhere"):
        evaluate_model(str(checkpoint), tmp_path / "nowhere", max_length=32)
