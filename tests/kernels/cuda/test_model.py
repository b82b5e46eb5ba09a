"""A whole model on the (emulated) GPU: the same loss, gradients and step as on the CPU, and nobody waits."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from minibert import BertForPreTraining, BertForSequenceClassification, backend, manual_seed
from minibert.kernels.cuda.emulator import no_synchronisation
from minibert.nn import Module
from minibert.optim import AdamW, BertAdam, decay_groups
from tests import tiny
from tests.kernels.cuda.devices import Device, relative_error

WIDE = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 96, "max_position_embeddings": 80}


@pytest.fixture
def cuda(device: Device, monkeypatch: pytest.MonkeyPatch) -> Device:
    """device="cuda" is the emulated one, or the real one."""
    if device.name == "emulator":
        monkeypatch.setenv("MINIBERT_CUDA", "emulator")
    return device


def step(place: str, sizes: dict[str, Any], p: float, S: int, optimizer_class: Any) -> dict[str, np.ndarray]:
    """Loss, every gradient and every parameter after a step of a two-layer BERT, by name."""
    model = tiny.model(BertForPreTraining, dtype="float32", scale=0.1, hidden_dropout_prob=p,
                       attention_probs_dropout_prob=p, **sizes).train().to(place)  # fmt: skip
    assert model.device == place
    batch = tiny.batch(S=S)
    optimizer = optimizer_class(decay_groups(model, 0.01), lr=1e-3, max_grad_norm=1.0)
    manual_seed(7)
    out = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation)
    out.loss.backward()
    optimizer.step()
    found = {"loss": out.loss.numpy()}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        found[f"d{name}"], found[name] = parameter.grad.numpy(), parameter.numpy()
    return found


@pytest.mark.parametrize("p", [0.0, 0.1])
@pytest.mark.parametrize(("sizes", "S"), [({}, 7), (WIDE, 71)])
def test_two_layers_forward_backward_and_step(cuda: Device, sizes: dict[str, Any], S: int, p: float) -> None:
    expected, ours = (step(place, sizes, p, S, BertAdam) for place in ("cpu", "cuda"))
    assert ours.keys() == expected.keys()
    largest = max(np.abs(x).max() for name, x in expected.items() if name.startswith("d"))
    for name, x in expected.items():
        if name.endswith("key.bias") and name.startswith("d"):
            # a bias of the keys adds the same to all scores of a query: its gradient is exactly 0, and here rounding
            assert np.abs(ours[name]).max() < 1e-6 * largest
        elif name.startswith("d") or name == "loss":
            assert relative_error(ours[name], x) < 1e-4, name  # some hundred roundings of 6e-8, of numbers that cancel
        else:
            # BertAdam's first step is lr 0.1 g / sqrt(0.001 g^2): where g is nearly 0, its sign is rounding
            assert np.abs(ours[name] - x).max() < 1e-2, name


def test_a_training_step_waits_for_nothing(cuda: Device) -> None:
    if cuda.name != "emulator":
        pytest.skip("on a GPU: see test_gpu.py")
    model = tiny.model(BertForPreTraining, dtype="float32").train().to("cuda")
    batch, optimizer = tiny.batch(), AdamW(decay_groups(model, 0.01), max_grad_norm=1.0)
    with no_synchronisation():
        for _ in range(2):
            out = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation)
            out.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    assert np.isfinite(float(out.loss.numpy()))
    assert optimizer.grad_norm is not None
    assert float(optimizer.grad_norm) > 0


def test_there_and_back(cuda: Device) -> None:
    model = tiny.model(BertForSequenceClassification, dtype="float32")
    expected, batch = model(**tiny.batch().inputs).logits.numpy(), tiny.batch()
    model.to("cuda")
    assert {backend.device_of(p.data) for p in model.parameters()} == {"cuda"}
    np.testing.assert_allclose(model(**batch.inputs).logits.numpy(), expected, atol=1e-5)  # some hundred roundings
    model.to("cpu")
    np.testing.assert_array_equal(model(**batch.inputs).logits.numpy(), expected)


def test_kernels_off(cuda: Device) -> None:
    """The explicit ops on the device, in float64 and float32."""
    from minibert import kernels_off

    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-4)):  # some hundred roundings
        model: Module = tiny.model(BertForPreTraining, dtype=dtype)
        batch = tiny.batch()
        options: dict[str, Any] = {**batch.inputs, "labels": batch.labels, "next_sentence_label": batch.relation}
        losses = []
        for place in ("cpu", "cuda"):
            model.to(place)
            with kernels_off():
                out = model(**options)
                out.loss.backward()
            losses.append(float(out.loss.numpy()))
        assert losses[0] == pytest.approx(losses[1], rel=tolerance)


def test_pipeline(cuda: Device, tmp_path: Any) -> None:
    from minibert import pipeline
    from tests.pipelines.checkpoints import write

    folder = write(tmp_path / "model", "mlm")
    texts = "the [MASK] sat"
    expected = pipeline("fill-mask", model=folder)(texts)
    found = pipeline("fill-mask", model=folder, device="cuda")
    assert found.model.device == "cuda"
    for ours, theirs in zip(found(texts), expected, strict=True):
        assert ours["token"] == theirs["token"]
        assert ours["score"] == pytest.approx(theirs["score"], rel=1e-5)  # some hundred roundings


# ---- no GPU ----------------------------------------------------------------------------------------------------------


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIBERT_CUDA", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="device 'cuda' needs CuPy: pip install 'minibert-numpy\\[cuda12\\]'"):
        tiny.model(BertForPreTraining).to("cuda")


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDriver:
        class cuda:
            class runtime:
                @staticmethod
                def getDeviceCount() -> int:
                    raise RuntimeError("CUDA driver version is insufficient")

    monkeypatch.delenv("MINIBERT_CUDA", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", NoDriver)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(ValueError, match="CuPy is installed, but no CUDA device or driver was found"):
        tiny.model(BertForPreTraining).to("cuda")
