"""What only a real GPU can show (`pytest -m gpu`); the parity tests beside this file run there, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minibert import BertForPreTraining
from minibert.kernels.cpu import dropout as cpu_dropout
from minibert.kernels.cuda import attention, dropout
from minibert.kernels.cuda.emulator import why_not
from minibert.optim import BertAdam, decay_groups
from minibert.pretraining.compute import Compute
from minibert.pretraining.feed import pieces
from minibert.pretraining.recipe import Recipe
from minibert.pretraining.step import make_optimizer, take_step
from tests import tiny
from tests.kernels.cuda.devices import DROPOUT, KEY, Emulator, Gpu, fused, normal

pytestmark = pytest.mark.gpu


def keep_busy() -> Any:
    """A stream on which a kernel runs for a second: what comes to its end before it has not waited."""
    import cupy

    stream = cupy.cuda.get_current_stream()
    stream.synchronize()
    cupy.RawKernel(
        'extern "C" __global__ void spin(long long n) { long long t = clock64(); while (clock64() - t < n); }', "spin"
    )((1,), (1,), (np.int64(2_000_000_000),))
    return stream


def test_a_training_step_waits_for_nothing() -> None:
    """While the GPU is kept busy by something else, a whole step is handed to it and comes back."""
    model: Any = tiny.model(BertForPreTraining, dtype="float32").train().to("cuda")
    batch, optimizer = tiny.batch(), BertAdam(decay_groups(model, 0.01))

    def step() -> Any:
        out = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation)
        out.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return out.loss

    step()  # compiled
    stream = keep_busy()
    loss = step()
    assert not stream.done, "the step has waited for the GPU"
    assert np.isfinite(float(loss.numpy()))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_steps_of_pretraining_wait_for_nothing(precision: str) -> None:
    """As `minibert pretrain` takes them: whole and in pieces, clipped, scaled, with the schedule; two in a row."""
    config: dict[str, Any] = {"max_length": 11, "batch_size": 4}
    recipe = Recipe.from_dict({
        "model": {k: v for k, v in tiny.CONFIG.items() if k != "vocab_size"},
        "phases": [{**config, "share": 1.0}], "schedule": {"steps": 9, "warmup": 2}, "optimizer": {"lr": 1e-3},
    })  # fmt: skip
    compute, batch = Compute("cuda", precision), tiny.batch()
    examples = {**batch.inputs, "labels": batch.labels, "next_sentence_label": batch.relation}
    model = BertForPreTraining(recipe.config(tiny.CONFIG["vocab_size"])).to("cuda")
    optimizer, scheduler = make_optimizer(model, recipe)
    optimizer.loss_scaler, optimizer.scheduler = compute.scaler(), scheduler

    def steps() -> list[Any]:
        taken = []
        for count in (1, 2):
            with compute.mixed():
                taken.append(take_step(model, optimizer, pieces(examples, count)))
            scheduler.step()
        return taken

    steps()  # compiled
    optimizer.settle()
    stream = keep_busy()
    taken = steps()
    assert not stream.done, "a step has waited for the GPU"
    assert all(np.isfinite(step.read().loss) for step in taken)


def test_the_current_stream_is_used() -> None:
    """While the default stream is busy, a kernel on another one comes to its end; and with the right result."""
    import cupy

    x = normal(np.random.default_rng(0), 100, 64)
    expected, _ = cpu_dropout.dropout_forward(x, p=0.5, key=KEY)
    given, other = cupy.asarray(x), cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.get_current_stream().synchronize()  # it has come
    with other:
        dropout.dropout_forward(given, p=0.5, key=KEY)  # compiled, and there is memory
    default = keep_busy()
    with other:
        y, _ = dropout.dropout_forward(given, p=0.5, key=KEY)
        found = y.get()
    assert not default.done, "the kernel was on the default stream"
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_emulator_tells_the_truth(dtype: Any) -> None:
    """The same launch on both: as far apart as exp2 in hardware and in the C library."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    rng = np.random.default_rng(0)
    qkv, dcontext = normal(rng, 3, 150, 2, 64).astype(dtype), normal(rng, 150, 2, 64).astype(dtype)
    places = (Gpu(), Emulator())
    ours, emulated = (fused(d, attention, "attention", [qkv], dcontext, starts=[0, 150], **DROPOUT) for d in places)
    for a, b in zip(ours, emulated, strict=True):
        tolerance = 1e-5 if dtype is np.float32 else 1e-2
        np.testing.assert_allclose(a.astype(np.float32), b.astype(np.float32), atol=tolerance)
