"""The explicit ops on array-api-strict, which refuses whatever is not in the array standard (as CuPy would)."""

from __future__ import annotations

from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import BertConfig, BertForPreTraining, manual_seed
from minibert.autograd import Tensor
from tests.ops.catalogue import CASES, COMPOSITIONS


@pytest.fixture(scope="module", autouse=True)
def _newest_standard() -> Any:
    # take_along_axis and copies in asarray came with 2024.12; CuPy and NumPy 2 have them
    with strict.ArrayAPIStrictFlags(api_version="2024.12"):
        yield


def to_strict(x: np.ndarray) -> Any:
    return strict.asarray(x.copy())


@pytest.mark.parametrize("name", sorted(CASES | COMPOSITIONS))
@settings(max_examples=10)
@given(data=st.data())
def test_op(name: str, data: st.DataObject) -> None:
    case = data.draw((CASES | COMPOSITIONS)[name])
    results = []
    for convert in (np.asarray, to_strict):
        tensors = [Tensor(convert(x), requires_grad=True) for x in case.inputs]
        y = case.function(*tensors)
        y.backward(convert(np.ones(y.shape)))
        assert type(y.data) is type(tensors[0].data)
        results.append([y.numpy(), *(t.grad.numpy() for t in tensors)])
    for ours, theirs in zip(*results, strict=True):
        # the same operations on the same numbers; only the order of a sum may differ
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_whole_model_forward_and_backward() -> None:
    """Packing, embeddings, encoder, both heads, both losses and all gradients, with dropout."""
    config = BertConfig(
        vocab_size=37, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=17,
        max_position_embeddings=11,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    ids, types = rng.integers(0, 37, (3, 7)), rng.integers(0, 2, (3, 7))
    mask = np.asarray([[1] * 7, [1, 1, 0, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0, 0]])
    labels = np.where(rng.random((3, 7)) < 0.4, ids, -100)

    losses, gradients = [], []
    for library in ("numpy", "strict"):
        manual_seed(3)
        model = BertForPreTraining(config).to(dtype="float64")
        if library == "strict":
            for parameter in model.parameters():
                parameter.data = to_strict(parameter.data)
        manual_seed(4)
        out = model(
            ids, attention_mask=mask, token_type_ids=types, labels=labels, next_sentence_label=[0, 1, 0], rows="labels"
        )
        out.loss.backward()
        losses.append(out.loss.item())
        gradients.append({name: p.grad.numpy() for name, p in model.named_parameters()})
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    for name, expected in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], expected, rtol=1e-9, atol=1e-13, err_msg=name)
