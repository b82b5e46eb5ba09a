"""Training against torch: every gradient by name, and twenty optimiser steps, on a published pretraining checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert.heads import BertForPreTraining
from minibert.optim import AdamW, LRScheduler, clip_grad_norm, decay_groups, linear_warmup_decay
from tests.parity.judges import judge
from tests.parity.reactions import Batch, Vocabulary, random_batch, real_batch

torch = pytest.importorskip("torch", reason="needs torch, the judge (pip install 'minibert-numpy[oracle]')")
transformers = pytest.importorskip("transformers", reason="needs transformers, the judge")

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("rxnfp")]


@pytest.fixture(scope="module")
def folder(published: Callable[[str], Path]) -> Path:
    return published("rxnfp-pretrained")


@pytest.fixture(scope="module", params=["reactions", "random ids"])
def batch(request: pytest.FixtureRequest, folder: Path) -> Batch:
    vocabulary = Vocabulary(folder)
    return real_batch(vocabulary, 0) if request.param == "reactions" else random_batch(vocabulary, 1)


@pytest.fixture(scope="module")
def torch_gradients(folder: Path, batch: Batch) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of torch in float64, by name."""
    model = judge("BertForPreTraining", folder, "float64")
    loss = model(**batch.items(torch.tensor)).loss
    loss.backward()
    return loss.item(), {name: p.grad.numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("rows", [None, "labels"])
@pytest.mark.parametrize(
    ("dtype", "bound"),
    # Measured: 1.4e-14 and 7.4e-6. Single numbers of a tensor may cancel, so the bound is relative to its largest.
    [("float64", 1e-9), ("float32", 1e-4)],
)
def test_every_gradient_by_name(
    dtype: str,
    bound: float,
    rows: str | None,
    folder: Path,
    batch: Batch,
    torch_gradients: tuple[float, dict[str, np.ndarray]],
) -> None:
    loss, theirs = torch_gradients
    model = BertForPreTraining.from_pretrained(folder, dtype=dtype)
    out = model(**batch.items(), rows=rows)
    assert out.loss.item() == pytest.approx(loss, rel=bound)
    out.loss.backward()
    ours = {name: p.grad.numpy() for name, p in model.named_parameters()}
    assert ours.keys() == theirs.keys()
    errors = {}
    for name, expected in theirs.items():
        # The key's bias moves all scores of a row alike, which softmax does not see: its gradient is zero, and both
        # have rounding there. The measure is then the gradient of the query's bias beside it.
        scale = np.abs(theirs[name.replace(".key.bias", ".query.bias")]).max()
        assert scale > 0, name
        assert ours[name].shape == expected.shape
        errors[name] = float(np.abs(ours[name] - expected).max() / scale)
    worst = max(errors, key=lambda name: errors[name])
    print(f"gradients, {dtype}: {len(errors)} tensors, largest relative difference {errors[worst]:.1e} ({worst})")
    assert errors[worst] <= bound, f"{worst}: {errors[worst]:.2e}"


def test_a_gradient_given_to_another_name_would_be_seen(torch_gradients: tuple[float, dict[str, np.ndarray]]) -> None:
    """The comparison by name has teeth: no two tensors of one shape have the same gradient."""
    _, theirs = torch_gradients
    live = [(name, g) for name, g in theirs.items() if not name.endswith("key.bias")]
    for i, (first, a) in enumerate(live):
        for second, b in live[i + 1 :]:
            if a.shape == b.shape:
                assert np.abs(a - b).max() > 1e-3 * np.abs(a).max(), (first, second)


STEPS, WARMUP, RATE, DECAY = 20, 5, 3e-4, 0.01


def torch_training(folder: Path, batches: list[Batch]) -> tuple[list[float], list[float], dict[str, np.ndarray]]:
    """Losses, gradient norms and final weights of twenty steps in torch, the usual fine-tuning recipe."""
    model = judge("BertForPreTraining", folder, "float64")
    plain = [name for name, _ in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    groups = [
        {"params": [p for name, p in model.named_parameters() if name not in plain], "weight_decay": DECAY},
        {"params": [p for name, p in model.named_parameters() if name in plain], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    scheduler = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    losses, norms = [], []
    for batch in batches:
        loss = model(**batch.items(torch.tensor)).loss
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, norms, {name: p.detach().numpy() for name, p in model.named_parameters()}


def our_training(folder: Path, batches: list[Batch]) -> tuple[list[float], list[float], dict[str, Any]]:
    """The same with minibert."""
    model = BertForPreTraining.from_pretrained(folder, dtype="float64")
    optimizer = AdamW(decay_groups(model, DECAY), lr=RATE)
    scheduler = LRScheduler(optimizer, linear_warmup_decay, warmup=WARMUP, total=STEPS)
    losses, norms = [], []
    for batch in batches:
        loss = model(**batch.items(), rows="labels").loss
        loss.backward()
        norms.append(clip_grad_norm(model.parameters(), 1.0))
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, norms, {name: p.numpy() for name, p in model.named_parameters()}


def test_twenty_steps_follow_torch(folder: Path) -> None:
    vocabulary = Vocabulary(folder)
    batches = [(real_batch if step % 2 else random_batch)(vocabulary, step) for step in range(STEPS)]
    losses, norms, weights = our_training(folder, batches)
    torch_losses, torch_norms, torch_weights = torch_training(folder, batches)
    errors = [abs(a - b) / b for a, b in zip(losses, torch_losses, strict=True)]
    print(f"{STEPS} steps: loss {losses[0]:.3f} to {losses[-1]:.3f}, largest relative difference {max(errors):.1e}")
    # 1e-5 is what is promised. Rounding grows with each step; an error in any formula is far above the bound.
    assert max(errors) <= 1e-5
    assert norms == pytest.approx(torch_norms, rel=1e-5)
    assert max(norms) > 1.0, "nothing was clipped"
    assert losses[-1] < 0.5 * losses[1], "nothing was learned"  # both on reactions
    assert weights.keys() == torch_weights.keys()
    for name, expected in torch_weights.items():
        if name.endswith("key.bias"):
            continue  # its gradient is zero but for rounding, of which Adam makes steps of full size
        np.testing.assert_allclose(weights[name], expected, rtol=0, atol=1e-6, err_msg=name)
