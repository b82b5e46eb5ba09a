"""A whole model on arrays that offer the array API standard and nothing else: what runs here needs no special case for
another library."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from minibert import BertForPreTraining, kernels_off, manual_seed
from minibert.nn import Module
from tests import tiny


@pytest.mark.parametrize("training", [True, False])
def test_loss_and_gradients_are_numpys(training: bool) -> None:
    model: Module = tiny.model(BertForPreTraining).train(training)
    batch = tiny.batch()

    def run() -> tuple[float, dict[str, np.ndarray]]:
        manual_seed(3)
        with kernels_off():
            out = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation)
            out.loss.backward()
        grads = {name: np.asarray(p.grad.data) for name, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        return float(out.loss.data), grads

    loss, grads = run()
    for parameter in model.parameters():
        parameter.data = array_api_strict.asarray(parameter.data)
    strict_loss, strict_grads = run()
    assert strict_loss == pytest.approx(loss, rel=1e-14)  # the same operations in the same order, in float64
    assert strict_grads.keys() == grads.keys()
    for name, gradient in grads.items():
        np.testing.assert_allclose(strict_grads[name], gradient, rtol=0, atol=1e-13, err_msg=name)
