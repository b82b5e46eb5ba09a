"""Mixed precision: 16-bit activations, float32 parameters, a scaled loss; training as in float32, and nobody waits."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from minibert import BertForPreTraining, manual_seed
from minibert.autograd import Tensor
from minibert.kernels.cuda.emulator import no_synchronisation
from minibert.optim import AdamW, BertAdam, LRScheduler, adam, decay_groups, linear_warmup_decay
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


class Training:
    """A few steps on one batch in float32, where a power of two changes no bit; only how large it is can."""

    def __init__(self, number: float, optimizer_class: Any = AdamW, like: Training | None = None) -> None:
        sizes = {**SIZES, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        self.model: Any = tiny.model(BertForPreTraining, dtype="float32", scale=0.05, **sizes).train().to("cuda")
        self.optimizer = optimizer_class(decay_groups(self.model, 0.01), lr=1e-2, max_grad_norm=1.0)
        self.scheduler = LRScheduler(self.optimizer, linear_warmup_decay, warmup=3, total=30)
        self.scaler = LossScaler(number, interval=4)
        self.optimizer.loss_scaler, self.optimizer.scheduler = self.scaler, self.scheduler
        if like is not None:
            for mine, saved in zip(self.kept(), like.state(), strict=True):
                mine.load_state_dict(saved)

    def kept(self) -> tuple[Any, ...]:
        return self.model, self.optimizer, self.scheduler, self.scaler

    def state(self) -> list[dict[str, Any]]:
        """Counts first: a state is true when it is settled."""
        self.optimizer.settle()
        return [part.state_dict() for part in self.kept()]

    def go(self, steps: int, *, settle: bool = False) -> Training:
        batch = tiny.batch()
        for _ in range(steps):
            with no_synchronisation():
                out = self.model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation)
                self.scaler.scale(out.loss).backward()
                self.optimizer.step()
                self.optimizer.zero_grad()
                self.scheduler.step()
            if settle:
                self.optimizer.settle()
        return self

    @property
    def taken(self) -> int:
        self.optimizer.settle()
        return self.scheduler.step_count


def assert_same(ours: Training, expected: Training) -> None:
    (a, b), names = (one.state() for one in (ours, expected)), expected.model.state_dict()
    for name in names:
        np.testing.assert_array_equal(a[0][name], b[0][name], err_msg=name)
    assert a[2] == b[2]
    assert a[1]["state"].keys() == b[1]["state"].keys()
    for i, entry in b[1]["state"].items():
        assert a[1]["state"][i]["step"] == entry["step"]
        for key in ("m", "v"):
            np.testing.assert_array_equal(a[1]["state"][i][key], entry[key])
    assert [g["lr"] for g in a[1]["param_groups"]] == [g["lr"] for g in b[1]["param_groups"]]


@pytest.mark.parametrize("optimizer_class", [AdamW, BertAdam])
def test_a_step_that_is_left_out_does_not_count(
    cuda: Device, optimizer_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for bias correction nor for the schedule: the same bits as if it had never been tried."""
    with np.errstate(all="ignore"):  # infinities on the emulated GPU are NumPy's
        ours = Training(2.0**69, optimizer_class).go(16)  # so large that the sum of squares overflows, again and again
        taken = ours.taken
        assert 4 <= taken <= 13, "some are left out, in the end and at the beginning"
        assert_same(ours, Training(1.0, optimizer_class).go(taken))
        assert_same(Training(2.0**69, optimizer_class).go(16, settle=True), ours)
        monkeypatch.setattr(adam, "UNSETTLED", 3)
        with pytest.raises(RuntimeError, match="makes the CPU wait for the GPU"):
            Training(2.0**69, optimizer_class).go(4)


def test_a_scaled_run_goes_on_at_the_same_bits(cuda: Device) -> None:
    with np.errstate(all="ignore"):
        whole = Training(2.0**69).go(14)
        for cut in (2, 5, 11):
            first = Training(2.0**69).go(cut)
            again = Training(7.0, like=first).go(14 - cut)
            assert_same(again, whole)
            assert again.scaler.state_dict() == whole.scaler.state_dict()


def test_a_rate_set_by_hand_is_used(cuda: Device) -> None:
    ours = Training(1.0).go(2)
    ours.optimizer.param_groups[0]["lr"] = 0.5
    assert ours.scheduler.earlier(ours.optimizer.param_groups[0], 1) == 0.5
    assert ours.scheduler.earlier(ours.optimizer.param_groups[1], 1) == pytest.approx(1e-2 / 3)


def test_what_it_does_not_do() -> None:
    with pytest.raises(ValueError, match="in float16 or bfloat16, got 'float64'"), mixed_precision("float64"):
        pass
    with pytest.raises(ValueError, match="initial must be above 0"):
        LossScaler(0.0)
    with pytest.raises(ValueError, match="expected a number and a count, got"):
        LossScaler().load_state_dict({"number": 3.0})
    with pytest.raises(ValueError, match="this loss is on the CPU"):
        LossScaler().scale(Tensor(np.float32(1.0)))
