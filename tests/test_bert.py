"""The model against the reference, and what packing, modes and beginnings promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    gradcheck,
    manual_seed,
    no_grad,
)
from minibert.autograd import Tensor
from tests import reference, tiny

# The same sums in another order, on numbers of size one, through two layers: a few hundred roundings of 1e-16.
EXACT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture(scope="module")
def pretraining() -> BertForPreTraining:
    return tiny.model(BertForPreTraining)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(3, 6), st.integers(4, 11))
def test_equals_the_reference(seed: int, B: int, S: int) -> None:
    model, batch = tiny.model(BertForPreTraining, seed=seed), tiny.batch(seed, B, S)
    out = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation, output_attentions=True)
    expected = reference.run(model.config, model.state_dict(), batch.ids, batch.mask, batch.types)
    real = batch.mask == 1
    np.testing.assert_allclose(out.prediction_logits.numpy()[real], expected.words[real], **EXACT)
    np.testing.assert_allclose(out.seq_relationship_logits, expected.relation, **EXACT)
    loss = reference.mean_loss(expected.words, batch.labels) + reference.mean_loss(expected.relation, batch.relation)
    assert out.loss.item() == pytest.approx(loss, rel=1e-12)
    for ours, theirs in zip(out.attentions, expected.maps, strict=True):
        both = batch.mask[:, None, :, None] * batch.mask[:, None, None, :]
        np.testing.assert_allclose(ours, theirs * both, **EXACT)


def test_base_model_equals_the_reference(pretraining: BertForPreTraining) -> None:
    batch = tiny.batch()
    out = pretraining.bert(**batch.inputs, output_hidden_states=True)
    expected = reference.run(pretraining.config, pretraining.state_dict(), batch.ids, batch.mask, batch.types)
    real = batch.mask == 1
    np.testing.assert_allclose(out.last_hidden_state.numpy()[real], expected.hidden[real], **EXACT)
    np.testing.assert_allclose(out.pooler_output, expected.pooled, **EXACT)
    assert (out.last_hidden_state.numpy()[~real] == 0).all()
    assert len(out.hidden_states) == 3
    np.testing.assert_array_equal(out.hidden_states[-1], out.last_hidden_state)


def test_every_gradient_of_the_pretraining_loss() -> None:
    """gradcheck by one random direction a parameter, through packing, both heads, the tied decoder and dropout."""
    model, batch = tiny.model(BertForPreTraining), tiny.batch()
    model.train()
    names, parameters = zip(*model.named_parameters(), strict=True)

    def loss(*_: Tensor) -> Tensor:
        manual_seed(5)  # the same dropout at each evaluation
        out = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation)
        return out.loss

    assert gradcheck(loss, parameters, fast_mode=True), names


# --- packing ----------------------------------------------------------------------------------------------------------


def test_pads_do_not_matter(pretraining: BertForPreTraining) -> None:
    batch = tiny.batch()
    ids, types = batch.ids.copy(), batch.types.copy()
    ids[batch.mask == 0], types[batch.mask == 0] = 36, 2
    first = pretraining(**batch.inputs)
    second = pretraining(ids, attention_mask=batch.mask, token_type_ids=types)
    np.testing.assert_array_equal(first.prediction_logits, second.prediction_logits)


def test_a_sequence_does_not_see_its_neighbours(pretraining: BertForPreTraining) -> None:
    batch = tiny.batch()
    together = pretraining(**batch.inputs).prediction_logits.numpy()
    for b in range(4):
        alone = pretraining(batch.ids[[b]], attention_mask=batch.mask[[b]], token_type_ids=batch.types[[b]])
        np.testing.assert_allclose(alone.prediction_logits.numpy()[0], together[b], **EXACT)


def test_order_of_the_batch_does_not_matter(pretraining: BertForPreTraining) -> None:
    batch, order = tiny.batch(), [2, 0, 3, 1]
    straight = pretraining(**batch.inputs).prediction_logits.numpy()
    turned = pretraining(**{name: x[order] for name, x in batch.inputs.items()}).prediction_logits.numpy()
    np.testing.assert_allclose(turned, straight[order], **EXACT)


def test_a_row_of_pads_gives_zeros_and_no_nan(pretraining: BertForPreTraining) -> None:
    batch = tiny.batch()
    batch.mask[1] = 0
    out = pretraining.bert(**batch.inputs)
    assert (out.last_hidden_state.numpy()[1] == 0).all()
    np.testing.assert_allclose(out.pooler_output.numpy()[1], np.tanh(pretraining.bert.pooler.dense.bias.data))
    nothing = pretraining.bert(batch.ids, attention_mask=np.zeros_like(batch.mask))
    assert (nothing.last_hidden_state.numpy() == 0).all()


def test_gradient_runs_through_packing_and_back() -> None:
    model, batch = tiny.model(BertModel), tiny.batch()
    rng = np.random.default_rng(0)
    embeds = Tensor(rng.standard_normal((4, 7, 12)), requires_grad=True)

    def states(x: Tensor) -> tuple[Tensor, Tensor]:
        out = model(inputs_embeds=x, attention_mask=batch.mask)
        return out.last_hidden_state, out.pooler_output

    assert gradcheck(states, [embeds], fast_mode=True)


def test_position_ids(pretraining: BertForPreTraining) -> None:
    batch = tiny.batch()
    counted = pretraining(**batch.inputs).prediction_logits
    given_rows = pretraining(**batch.inputs, position_ids=np.tile(np.arange(7), (4, 1))).prediction_logits
    given_once = pretraining(**batch.inputs, position_ids=np.arange(7)[None]).prediction_logits
    shifted = pretraining(**batch.inputs, position_ids=np.arange(1, 8)[None]).prediction_logits
    np.testing.assert_array_equal(counted, given_rows)
    np.testing.assert_array_equal(counted, given_once)
    assert np.abs(counted.numpy() - shifted.numpy()).max() > 0.1


# --- modes, dtypes, beginnings ----------------------------------------------------------------------------------------


def test_dropout_only_in_training() -> None:
    model, batch = tiny.model(BertModel), tiny.batch()
    quiet = [model(**batch.inputs).last_hidden_state.numpy() for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    model.train()
    noisy = [model(**batch.inputs).last_hidden_state.numpy() for _ in range(2)]
    assert np.abs(noisy[0] - noisy[1]).max() > 0.01


def test_float32_stays_float32() -> None:
    model, batch = tiny.model(BertForPreTraining, dtype="float32"), tiny.batch()
    out = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation)
    out.loss.backward()
    assert out.loss.dtype == out.prediction_logits.dtype == np.float32
    assert all(p.grad.dtype == np.float32 for p in model.parameters())


def test_weights_begin_as_in_the_release() -> None:
    manual_seed(0)
    model = BertForPreTraining(BertConfig(vocab_size=500, hidden_size=64, num_hidden_layers=1, num_attention_heads=4))
    for name, parameter in model.named_parameters():
        values = parameter.numpy()
        if name.endswith("bias"):
            assert (values == 0).all(), name
        elif "LayerNorm" in name:
            assert (values == 1).all(), name
        else:
            assert np.abs(values).max() <= 0.04, name  # cut at two standard deviations
            # which leaves 0.88 of the deviation; a hundred numbers or more settle it to a tenth
            assert values.std() == pytest.approx(0.88 * 0.02, rel=0.15), name


def test_the_same_seed_begins_the_same_model() -> None:
    models = []
    for seed in (1, 1, 2):
        manual_seed(seed)
        models.append(BertModel(tiny.config()).state_dict())
    name = "encoder.layer.1.output.dense.weight"
    np.testing.assert_array_equal(models[0][name], models[1][name])
    assert (models[0][name] != models[2][name]).any()


def test_the_tied_decoder_is_one_parameter() -> None:
    tied = tiny.model(BertForMaskedLM)
    assert tied.cls.predictions.decoder.weight is tied.bert.embeddings.word_embeddings.weight
    assert {"cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"} <= tied.state_dict().keys()
    assert "cls.predictions.decoder.weight" not in dict(tied.named_parameters())
    untied = tiny.model(BertForMaskedLM, tie_word_embeddings=False)
    assert untied.num_parameters() == tied.num_parameters() + 37 * 12


def test_numbers_of_parameters() -> None:
    """110M in the paper for BERT-base; counted by hand for the cased vocabulary."""
    with_zeros = BertConfig(vocab_size=28996)
    from minibert.nn import skip_init

    with skip_init():
        model = BertModel(with_zeros)
    H, F = 768, 3072
    layer = 4 * (H * H + H) + 2 * H + (H * F + F) + (F * H + H) + 2 * H
    assert model.num_parameters() == (28996 + 512 + 2) * H + 2 * H + 12 * layer + H * H + H == 108_310_272


# --- wrong inputs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_ids": [[1, 37]]}, r"input_ids must lie in 0\.\.36.*got 37"),
        ({"input_ids": [[1, -1]]}, "got -1"),
        ({"input_ids": [[0.5, 1.0]]}, "must be integers"),
        ({"input_ids": [[1], [1, 2]]}, "different lengths"),
        ({"input_ids": [1, 2]}, r"expected input_ids \(B, S\)"),
        ({"input_ids": np.zeros((0, 5), int)}, "empty batch"),
        ({"input_ids": np.zeros((2, 0), int)}, "empty batch"),
        ({"input_ids": np.zeros((1, 12), int)}, "12 tokens are longer than the model's 11 positions"),
        ({"input_ids": None}, "either input_ids or inputs_embeds"),
        ({"input_ids": [[1, 2]], "attention_mask": [[1, 1, 1]]}, r"attention_mask has shape \(1, 3\)"),
        ({"input_ids": [[1, 2]], "attention_mask": [[1, 7]]}, "1 for tokens and 0 for pads"),
        ({"input_ids": [[1, 2]], "token_type_ids": [[0, 3]]}, r"token_type_ids must lie in 0\.\.2"),
        ({"input_ids": [[1, 2]], "token_type_ids": [[0]]}, r"token_type_ids has shape \(1, 1\)"),
        ({"input_ids": [[1, 2]], "position_ids": [[0, 11]]}, r"position_ids must lie in 0\.\.10"),
        ({"input_ids": None, "inputs_embeds": np.zeros((1, 2, 5))}, "H = 12"),
    ],
)
def test_wrong_inputs(pretraining: BertForPreTraining, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message), no_grad():
        pretraining(**changes)


def test_masks_and_types_go_by_name_only(pretraining: BertForPreTraining) -> None:
    batch = tiny.batch()
    with pytest.raises(TypeError):
        pretraining(batch.ids, batch.mask)


def test_wrong_labels(pretraining: BertForPreTraining) -> None:
    batch = tiny.batch()
    with pytest.raises(ValueError, match=r"labels has shape \(4, 6\), expected \(4, 7\)"):
        pretraining(**batch.inputs, labels=batch.labels[:, 1:])
    with pytest.raises(ValueError, match=r"0\.\.1, got 2"):
        pretraining(**batch.inputs, next_sentence_label=[0, 1, 2, 0])


def test_outputs_as_tuples_and_by_default() -> None:
    model, batch = tiny.model(BertForMaskedLM, output_attentions=True), tiny.batch()
    out = model(**batch.inputs)
    assert out.keys() == ["logits", "attentions"]
    assert out.get("loss") is None
    assert out.get("loss", 3) == 3
    assert out.get("logits") is out.logits
    assert model(**batch.inputs, output_attentions=False, output_hidden_states=True).keys() == [
        "logits",
        "hidden_states",
    ]
    plain = model(**batch.inputs, return_dict=False)
    assert isinstance(plain, tuple)
    np.testing.assert_array_equal(plain[0], out.logits)
    model.config.return_dict = False
    assert isinstance(model(**batch.inputs), tuple)
    assert model(**batch.inputs, return_dict=True).logits is not None
