"""Another size of the vocabulary: what remains, what is new, what is tied, and that it can be saved and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import (
    AdamW,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    no_grad,
)
from minibert.nn import Embedding, Linear
from tests import tiny


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("head", [BertForMaskedLM, BertForPreTraining])
def test_growing(head: Any, tied: bool, tmp_path: Path) -> None:
    model, batch = tiny.model(head, tie_word_embeddings=tied, dtype="float32"), tiny.batch()
    config, name = model.config, "prediction_logits" if head is BertForPreTraining else "logits"
    old = {name: array.copy() for name, array in model.state_dict().items()}
    before = model(**batch.inputs)[name].numpy()
    parameters = [id(one) for one in model.parameters()]
    table = model.resize_token_embeddings(40)
    decoder = model.get_output_embeddings()
    assert table is model.get_input_embeddings()
    assert [id(one) for one in model.parameters()] == parameters
    assert (table.weight is decoder.weight) == tied
    assert decoder.bias is model.cls.predictions.bias
    assert model.config.vocab_size == model.bert.config.vocab_size == 40
    assert config.vocab_size == 37  # other models may share it
    after = model(**batch.inputs)[name].numpy()
    # The same products; with more columns another kernel may sum in another order.
    np.testing.assert_allclose(after[..., :37], before, rtol=1e-5, atol=1e-5)
    for parameter, name in ((table.weight, "bert.embeddings.word_embeddings.weight"),
                            (decoder.weight, "cls.predictions.decoder.weight"),
                            (decoder.bias, "cls.predictions.bias")):  # fmt: skip
        np.testing.assert_array_equal(parameter.numpy()[:37], old[name])
        mean = old[name].astype(np.float64).mean(axis=0).astype(np.float32)
        np.testing.assert_array_equal(parameter.numpy()[37:], np.stack([mean] * 3))
    model.save_pretrained(tmp_path)
    back = head.from_pretrained(tmp_path)
    np.testing.assert_array_equal(back(batch.ids)[0], model(batch.ids)[0])
    loss = model(np.full((1, 3), 39), labels=np.full((1, 3), 38)).loss
    loss.backward()
    AdamW(model.parameters()).step()


def test_shrinking_and_new_rows_that_are_drawn() -> None:
    model = tiny.model(BertForMaskedLM, dtype="float64")
    old = model.get_input_embeddings().weight.numpy().copy()
    model.resize_token_embeddings(30)
    np.testing.assert_array_equal(model.get_input_embeddings().weight, old[:30])
    model.resize_token_embeddings(33, mean_resizing=False)
    new = model.get_input_embeddings().weight
    assert new.dtype == np.float64
    assert len(np.unique(new.numpy()[30:])) == 3 * 12
    assert np.abs(new.numpy()[30:]).max() <= 2 * model.config.initializer_range * (1 + 1e-6)  # drawn in float32
    np.testing.assert_array_equal(model.get_output_embeddings().bias.numpy()[30:], 0)
    with pytest.raises(ValueError, match=r"input_ids must lie in 0\.\.32"):
        model([[33]])


def test_sizes() -> None:
    model = tiny.model(BertForSequenceClassification)
    assert model.get_output_embeddings() is None
    assert model.base_model is model.bert
    assert model.bert.base_model is model.bert
    same = model.get_input_embeddings().weight.data
    assert model.resize_token_embeddings().weight.data is same
    assert model.resize_token_embeddings(np.int64(37)).weight.data is same
    assert model.resize_token_embeddings(pad_to_multiple_of=8).weight.shape == (40, 12)
    assert model.resize_token_embeddings(41, pad_to_multiple_of=np.int64(8)).weight.shape == (48, 12)
    for wrong in (0, -1, 3.0, True, "3"):
        with pytest.raises(ValueError, match="new_num_tokens must be an integer of at least 1"):
            model.resize_token_embeddings(wrong)
    with pytest.raises(ValueError, match="pad_to_multiple_of must be an integer of at least 1"):
        model.resize_token_embeddings(3, pad_to_multiple_of=0)
    padded = tiny.model(BertModel, pad_token_id=36)
    with pytest.raises(ValueError, match="a vocabulary of 36 has no place for the pad token, 36"):
        padded.resize_token_embeddings(36)
    assert padded.get_input_embeddings().weight.shape == (37, 12)


@pytest.mark.parametrize("tied", [True, False])
def test_another_table(tied: bool) -> None:
    model = tiny.model(BertForMaskedLM, dtype="float32", tie_word_embeddings=tied)
    table = Embedding(39, 12)
    model.set_input_embeddings(table)
    assert model.get_input_embeddings() is table
    assert (model.get_output_embeddings().weight is table.weight) == tied
    assert model.config.vocab_size == 39
    assert model([[38]]).logits.shape == (1, 1, 39)
    with pytest.raises(ValueError, match="expected an Embedding"):
        model.set_input_embeddings(Linear(12, 39))
    with pytest.raises(ValueError, match=r"shape \(39, 11\); expected \(V, 12\)"):
        model.set_input_embeddings(Embedding(39, 11))


def test_an_optimiser_of_the_old_size_says_so() -> None:
    model = tiny.model(BertForMaskedLM)
    optimizer = AdamW(model.parameters())
    for size in (None, 40):
        model.resize_token_embeddings(size)
        model([[1, 2]], labels=[[1, 2]]).loss.backward()
        if size is None:
            optimizer.step()
    with pytest.raises(ValueError, match="convert a model before building its optimiser"):
        optimizer.step()


def test_tokens_that_were_added() -> None:
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    model = BertForMaskedLM(tiny.config(vocab_size=len(tokenizer))).eval()
    assert tokenizer.add_tokens(["newword", "another"]) == 2
    batch = tokenizer("a newword b another", return_tensors="np")
    with pytest.raises(ValueError, match=r"input_ids must lie in 0\.\.6"):
        model(**batch)
    model.resize_token_embeddings(len(tokenizer))
    with no_grad():
        assert model(**batch).logits.shape == (1, 6, 9)


def test_parts_of_somebody_s_own_are_saved(tmp_path: Path) -> None:
    model = tiny.model(BertModel, dtype="float32")
    model.probe = Linear(12, 2)
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"2 tensors were not used: probe\.weight"):
        BertModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_labels", 5, r"classifier\.weight has shape \(2, 12\), and the configuration now says \(5, 12\)"),
        ("hidden_size", 6, "has shape .* and the configuration now says"),
        ("num_hidden_layers", 1, "there are 2 layers, and the configuration now says 1"),
        ("vocab_size", 40, "the configuration no longer fits the weights: .*resize_token_embeddings"),
    ],
)
def test_a_configuration_that_left_its_model(name: str, value: Any, message: str, tmp_path: Path) -> None:
    model = tiny.model(BertForSequenceClassification)
    setattr(model.config, name, value)
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()
