"""The heads: scores of chosen rows only, what each loss is, and how outputs are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minibert import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    NextSentence,
    Tensor,
)
from tests import reference, tiny

# The same sums in another order, on numbers of size one, through two layers: a few hundred roundings of 1e-16.
EXACT = {"rtol": 1e-12, "atol": 1e-12}

# --- chosen rows ------------------------------------------------------------------------------------------------------


def test_rows_with_a_label_are_enough() -> None:
    model, batch = tiny.model(BertForMaskedLM), tiny.batch()
    every = model(**batch.inputs, labels=batch.labels)
    chosen = model(**batch.inputs, labels=batch.labels, rows="labels")
    np.testing.assert_allclose(chosen.logits, every.logits.numpy()[batch.labels != -100], **EXACT)
    assert chosen.loss.item() == pytest.approx(every.loss.item(), rel=1e-13)
    gradients = []
    for out in (every, chosen):
        model.zero_grad()
        out.loss.backward()
        gradients.append({name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], expected, err_msg=name, **EXACT)


def test_the_loss_alone() -> None:
    model, batch = tiny.model(BertForPreTraining), tiny.batch()
    every = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation)
    alone = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation, return_logits=False)
    assert alone.prediction_logits is None
    assert alone.keys() == ["loss", "seq_relationship_logits"]
    assert alone.loss.item() == pytest.approx(every.loss.item(), rel=1e-13)
    gradients = []
    for out in (every, alone):
        model.zero_grad()
        out.loss.backward()
        gradients.append({name: p.grad.numpy() for name, p in model.named_parameters()})
    for name, expected in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], expected, err_msg=name, **EXACT)
    with pytest.raises(ValueError, match="needs labels"):
        model(**batch.inputs, return_logits=False)


def test_rows_by_a_boolean_array() -> None:
    model, batch = tiny.model(BertForMaskedLM), tiny.batch()
    rows = np.zeros((4, 7), bool)
    rows[2, 4] = rows[0, 1] = rows[0, 0] = True
    logits = model(**batch.inputs, rows=rows).logits
    np.testing.assert_allclose(logits, model(**batch.inputs).logits.numpy()[rows], **EXACT)


def test_labels_at_pads_never_count() -> None:
    model, batch = tiny.model(BertForMaskedLM), tiny.batch()
    labels = np.where(batch.mask == 0, 0, batch.labels)  # as if pads had been labelled with the pad's id
    assert model(**batch.inputs, labels=labels).loss.item() == model(**batch.inputs, labels=batch.labels).loss.item()


def test_rows_that_make_no_sense() -> None:
    model, batch = tiny.model(BertForMaskedLM), tiny.batch()
    with pytest.raises(ValueError, match="rows is None, 'labels'"):
        model(**batch.inputs, rows="labels")
    with pytest.raises(ValueError, match="boolean of shape"):
        model(**batch.inputs, rows=np.ones((4, 7), int))
    with pytest.raises(ValueError, match="hides"):
        model(**batch.inputs, rows=batch.mask == 0)


# --- heads and losses -------------------------------------------------------------------------------------------------


def test_next_sentence_labels() -> None:
    assert NextSentence.IS_NEXT == 0
    assert NextSentence.NOT_NEXT == 1
    model, batch = tiny.model(BertForNextSentencePrediction), tiny.batch()
    out = model(**batch.inputs, labels=[NextSentence.IS_NEXT] * 4)
    logits = out.logits.numpy()
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[:, 0]
    assert out.loss.item() == pytest.approx(expected.mean(), rel=1e-12)


def test_sequence_classification_losses() -> None:
    batch = tiny.batch()
    classes = tiny.model(BertForSequenceClassification, num_labels=5)
    out = classes(**batch.inputs, labels=[4, 0, 1, 2])
    assert out.logits.shape == (4, 5)
    assert out.loss.item() == pytest.approx(reference.mean_loss(out.logits.numpy(), np.array([4, 0, 1, 2])), rel=1e-12)

    number = tiny.model(BertForSequenceClassification, num_labels=1)
    y = np.array([0.5, -1.0, 2.0, 0.0])
    out = number(**batch.inputs, labels=y)
    assert out.loss.item() == pytest.approx(((out.logits.numpy()[:, 0] - y) ** 2).mean(), rel=1e-12)

    y = np.array([[1.0, 0.0, 1.0]] * 4)
    several = tiny.model(BertForSequenceClassification, num_labels=3)
    out = several(**batch.inputs, labels=y)
    s = 1 / (1 + np.exp(-out.logits.numpy()))
    assert out.loss.item() == pytest.approx(-(y * np.log(s) + (1 - y) * np.log(1 - s)).mean(), rel=1e-12)
    forced = tiny.model(BertForSequenceClassification, num_labels=3, problem_type="regression")
    out = forced(**batch.inputs, labels=y)
    assert out.loss.item() == pytest.approx(((out.logits.numpy() - y) ** 2).mean(), rel=1e-12)


def test_token_classification_loss() -> None:
    model, batch = tiny.model(BertForTokenClassification, num_labels=4), tiny.batch()
    labels = np.where(batch.labels == -100, -100, batch.labels % 4)
    out = model(**batch.inputs, labels=labels)
    assert out.logits.shape == (4, 7, 4)
    assert out.loss.item() == pytest.approx(reference.mean_loss(out.logits.numpy(), labels), rel=1e-12)


def test_question_answering() -> None:
    model, batch = tiny.model(BertForQuestionAnswering), tiny.batch()
    out = model(**batch.inputs, start_positions=[1, 0, 2, 99], end_positions=[3, 4, 2, -1])
    assert (out.start_logits.numpy()[batch.mask == 0] == np.finfo(np.float64).min).all()
    assert batch.mask[np.arange(4), out.end_logits.numpy().argmax(axis=1)].all()
    start = reference.mean_loss(out.start_logits.numpy()[:3], np.array([1, 0, 2]))  # row 3: outside the window
    end = reference.mean_loss(out.end_logits.numpy()[:3], np.array([3, 4, 2]))
    assert out.loss.item() == pytest.approx((start + end) / 2, rel=1e-12)
    with pytest.raises(ValueError, match="hides, in row 2"):
        model(**batch.inputs, start_positions=[0, 0, 3, 0], end_positions=[0, 0, 0, 0])


def test_multiple_choice() -> None:
    model, batch = tiny.model(BertForMultipleChoice), tiny.batch()
    inputs = {name: np.stack([x, x[::-1], x], axis=1) for name, x in batch.inputs.items()}
    out = model(**inputs, labels=[0, 1, 2, 1])
    assert out.logits.shape == (4, 3)
    np.testing.assert_allclose(out.logits.numpy()[:, 0], out.logits.numpy()[:, 2], **EXACT)
    np.testing.assert_allclose(out.logits.numpy()[:, 1], out.logits.numpy()[::-1, 0], **EXACT)
    assert out.loss.item() == pytest.approx(reference.mean_loss(out.logits.numpy(), np.array([0, 1, 2, 1])), rel=1e-12)
    with pytest.raises(ValueError, match=r"\(B, C, S\)"):
        model(**batch.inputs)


def test_outputs_answer_three_ways() -> None:
    model, batch = tiny.model(BertForMaskedLM), tiny.batch()
    out = model(**batch.inputs)
    assert out.keys() == ["logits"]
    assert out.logits is out["logits"] is out[0]
    out = model(**batch.inputs, labels=batch.labels)
    assert list(out) == ["loss", "logits"]
    assert out[0] is out.loss
    assert out[:2] == (out.loss, out.logits)
    with pytest.raises(KeyError, match="it has loss, logits"):
        out["words"]


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({"num_labels": 3}, [0.5, 1.0], r"labels \(real numbers mean several labels at once\) has shape \(2,\)"),
        ({"num_labels": 3}, [[0, 1, 5.0], [0, 0, 1]], "must lie in 0..1"),
        ({"num_labels": 3}, [0, 3], "3"),
        ({"num_labels": 3}, [[0], [1, 2]], "rows of different lengths"),
        ({"num_labels": 3}, ["a", "b"], "labels must be numbers, got <U1"),
        ({"num_labels": 1}, [0.5, float("nan")], "labels of a regression must be finite"),
        ({"num_labels": 1, "problem_type": "single_label_classification"}, [0, 0], "of a single label is 0 whatever"),
    ],
)
def test_labels_that_mean_nothing(changes: dict[str, Any], labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny.model(BertForSequenceClassification, **changes)([[1, 2], [3, 4]], labels=labels)


def test_labels_in_every_form() -> None:
    ids = [[1, 2], [3, 4]]
    classes = tiny.model(BertForSequenceClassification, num_labels=3)
    expected = classes(ids, labels=[0, 2]).loss.item()
    for labels in (np.uint8([0, 2]), np.array([[0], [2]]), Tensor(np.array([0, 2])), [np.int64(0), np.int8(2)]):
        assert classes(ids, labels=labels).loss.item() == expected
    several = classes(ids, labels=[[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]).loss.item()
    assert classes(ids, labels=[[False, True, True], [True, False, False]]).loss.item() == several
    yes_or_no = tiny.model(BertForSequenceClassification, num_labels=2)
    assert yes_or_no(ids, labels=[True, False]).loss.item() == yes_or_no(ids, labels=[1, 0]).loss.item()


@pytest.mark.parametrize("head", [BertForSequenceClassification, BertForTokenClassification])
def test_more_names_than_the_classifier_has_labels(head: Any) -> None:
    model = tiny.model(head, num_labels=3)
    model.config.id2label = {0: "no", 1: "yes", 2: "perhaps"}
    model([[1, 2]])
    model.config.num_labels = 4
    with pytest.raises(ValueError, match="the classifier has 3 labels and the configuration now names 4"):
        model([[1, 2]])


# --- where the padding is ---------------------------------------------------------------------------------------------

LENGTHS = [7, 4, 1, 6]
"""Of four rows of seven positions."""
POSITIONS = np.tile(np.arange(7), (4, 1))


def to_the_left(x: np.ndarray) -> np.ndarray:
    """Rows padded on the right, with their pads moved to the left: the tokens keep their order."""
    return np.stack([np.roll(row, len(row) - length, axis=0) for row, length in zip(x, LENGTHS, strict=True)])


@pytest.mark.parametrize(
    "head",
    [
        BertModel, BertForPreTraining, BertForMaskedLM, BertForNextSentencePrediction, BertForSequenceClassification,
        BertForTokenClassification, BertForQuestionAnswering,
    ],
)  # fmt: skip
def test_the_side_of_the_padding_changes_only_positions(head: Any) -> None:
    """With the same position ids both are the same packed batch, and so bitwise equal, also what is pooled."""
    model, batch = tiny.model(head), tiny.batch()
    batch.mask = (np.arange(7) < np.array(LENGTHS)[:, None]).astype(np.int64)
    inputs = batch.inputs | {"position_ids": POSITIONS}
    right = model(**inputs, output_hidden_states=True)
    left = model(**{name: to_the_left(x) for name, x in inputs.items()}, output_hidden_states=True)
    assert left.keys() == right.keys()
    for name in right.keys():  # noqa: SIM118 (an output, not a dict)
        several = isinstance(right[name], tuple)
        for ours, theirs in zip(*((x[name] if several else (x[name],)) for x in (left, right)), strict=True):
            expected = theirs.numpy()
            placed = to_the_left(expected) if expected.shape[:2] == (4, 7) else expected
            np.testing.assert_array_equal(ours.numpy(), placed, err_msg=name)


def test_choices_padded_on_the_left() -> None:
    model, batch = tiny.model(BertForMultipleChoice), tiny.batch()
    batch.mask = (np.arange(7) < np.array(LENGTHS)[:, None]).astype(np.int64)
    inputs = batch.inputs | {"position_ids": POSITIONS}
    right = model(**{name: x.reshape(2, 2, 7) for name, x in inputs.items()}).logits
    left = model(**{name: to_the_left(x).reshape(2, 2, 7) for name, x in inputs.items()}).logits
    np.testing.assert_array_equal(left, right)


def test_a_mask_that_hides_the_first_position() -> None:
    """The pooled token is the first that can be seen, in every row by itself, and rows see nothing of each other."""
    model, batch = tiny.model(BertForSequenceClassification), tiny.batch()
    batch.mask[:] = 1
    batch.mask[1, :2] = 0
    batch.mask[2, [0, 3]] = 0
    logits = model(**batch.inputs).logits.numpy()
    for row, seen in ((1, np.arange(2, 7)), (2, np.array([1, 2, 4, 5, 6]))):  # every token keeps its position
        alone = model(batch.ids[[row]][:, seen], token_type_ids=batch.types[[row]][:, seen], position_ids=seen[None])
        np.testing.assert_allclose(logits[[row]], alone.logits.numpy(), **EXACT)


# --- what a model returns lies on the way to its loss -----------------------------------------------------------------

CASES: dict[Any, dict[str, Any]] = {
    BertForMaskedLM: {"labels": tiny.batch().labels},
    BertForPreTraining: {"labels": tiny.batch().labels, "next_sentence_label": tiny.batch().relation},
    BertForNextSentencePrediction: {"labels": tiny.batch().relation},
    BertForSequenceClassification: {"labels": tiny.batch().relation},
    BertForTokenClassification: {"labels": np.where(tiny.batch().labels >= 0, tiny.batch().types % 2, -100)},
    BertForQuestionAnswering: {"start_positions": [0, 0, 0, 0], "end_positions": [0, 0, 0, 0]},
}


@pytest.mark.parametrize("cls", CASES)
def test_gradients_of_everything_that_is_returned(cls: Any) -> None:
    model, batch = tiny.model(cls), tiny.batch()
    out = model(**batch.inputs, **CASES[cls], output_hidden_states=True)
    plain = model(**batch.inputs, **CASES[cls])
    assert out.loss.item() == plain.loss.item()
    shown = {f"hidden state {i}": state for i, state in enumerate(out.hidden_states)}
    shown |= {name: value for name, value in out.items() if name.endswith("logits")}
    for tensor in shown.values():
        tensor.retain_grad()
    out.loss.backward()
    for name, tensor in shown.items():
        assert tensor.grad is not None, name
        assert np.abs(tensor.grad.numpy()).max() > 0, name
        hidden = tensor.ndim == 3 or tensor.shape == batch.ids.shape
        if hidden:  # what is shown at a pad has no part in the loss
            np.testing.assert_array_equal(tensor.grad.numpy()[batch.mask == 0], 0)
    with_states = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    plain.loss.backward()
    for name, p in model.named_parameters():
        if p.grad is not None:
            np.testing.assert_allclose(with_states[name], p.grad, **EXACT, err_msg=name)


def test_gradients_of_the_last_state_and_by_differences() -> None:
    model, batch = tiny.model(BertModel), tiny.batch()
    out = model(**batch.inputs)
    out.last_hidden_state.retain_grad()
    out.pooler_output.sum().backward()
    (gradient,) = (out.last_hidden_state.grad,)
    first = out.last_hidden_state.numpy()[:, 0]  # each row's first token is a real one
    dense = model.pooler.dense
    expected = (1 - np.tanh(first @ dense.weight.numpy().T + dense.bias.numpy()) ** 2) @ dense.weight.numpy()
    np.testing.assert_allclose(gradient.numpy()[:, 0], expected, **EXACT)
    np.testing.assert_array_equal(gradient.numpy()[:, 1:], 0)
    states = model(**batch.inputs, output_hidden_states=True)
    assert states.last_hidden_state is states.hidden_states[-1]
    np.testing.assert_array_equal(states.last_hidden_state, out.last_hidden_state.numpy())
