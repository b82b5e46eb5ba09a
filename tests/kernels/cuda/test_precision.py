"""Mixed precision: 16-bit activations, float32 parameters, a scaled loss; training as in float32, and nobody waits."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from minibert import BertForPreTraining, manual_seed
from minibert.autograd import Tensor
from minibert.kernels.cuda.emulator import no_synchronisation
from minibert.optim import BertAdam, decay_groups
from minibert.precision import LossScaler, mixed_precision
from tests import tiny
from tests.kernels.cuda.devices import Device

SIZES: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture
def cuda(device: Device, monkeypatch: pytest.MonkeyPatch) -> Device:
    if device.name == "emulator":
        monkeypatch.setenv("MINIBERT_CUDA", "emulator")
    return device


def train(dtype: str | None, scaler: LossScaler | None, steps: int) -> list[float]:
    """The losses of a few steps on one batch."""
    model: Any = tiny.model(BertForPreTraining, dtype="float32", scale=0.05, **SIZES).train().to("cuda")
    optimizer = BertAdam(decay_groups(model, 0.01), lr=1e-3)
    optimizer.loss_scaler = scaler
    batch, losses = tiny.batch(), []
    manual_seed(7)
    for _ in range(steps):
        with mixed_precision(dtype) if dtype else nullcontext(), no_synchronisation():
            out = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation)
            (out.loss if scaler is None else scaler.scale(out.loss)).backward()
            optimizer.step()
            optimizer.zero_grad()
        assert str(out.prediction_logits.dtype) == (dtype or "float32")
        assert str(out.loss.dtype) == "float32"
        assert {str(p.dtype) for p in model.parameters()} == {"float32"}
        losses.append(float(out.loss.numpy()))
    return losses


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_training_goes_as_in_float32(cuda: Device, dtype: str) -> None:
    if dtype == "bfloat16" and cuda.name == "gpu":
        pytest.skip("CuPy's own operations on bfloat16 are not complete")
    expected = train(None, None, 8)
    ours = train(dtype, LossScaler(2.0**8), 8)
    assert expected[-1] < 0.6 * expected[0]
    # eight steps of a rate that halves the loss, with gradients that err by 2^-9 (bfloat16)
    np.testing.assert_allclose(ours, expected, rtol=2e-2)


def test_a_number_that_is_too_large_is_halved_until_it_fits(cuda: Device) -> None:
    scaler = LossScaler(2.0**26, interval=2)
    with np.errstate(all="ignore"):  # the emulated cuBLAS is NumPy
        losses = train("float16", scaler, 16)
    assert losses[-1] < 0.9 * losses[0]
    assert scaler.state_dict()["number"] < 2.0**24


def test_what_it_does_not_do() -> None:
    with pytest.raises(ValueError, match="in float16 or bfloat16, got 'float64'"), mixed_precision("float64"):
        pass
    with pytest.raises(ValueError, match="initial must be above 0"):
        LossScaler(0.0)
    with pytest.raises(ValueError, match="this loss is on the CPU"):
        LossScaler().scale(Tensor(np.float32(1.0)))
