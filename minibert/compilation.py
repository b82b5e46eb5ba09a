"""Compile the kernels for the CPU ahead of their first use: in a container's image, before a server takes requests.

The kernels are compiled by running them, on small models that go through the same calls as real ones.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert import backend, ops
from minibert.autograd import Tensor, enable_grad, no_grad
from minibert.bert import BertModel
from minibert.config import BertConfig
from minibert.heads import BertForMaskedLM, BertForPreTraining
from minibert.optim import Adam, AdamW, BertAdam, clip_grad_norm
from minibert.philox import get_state, set_state

__all__ = ["WarmUp", "warm_up"]

B, S, H, V = 4, 48, 128, 512  # large enough for kernels, see backend.SMALL
_SIZES: dict[str, Any] = {"vocab_size": V, "hidden_size": H, "num_attention_heads": 2, "num_hidden_layers": 1,
                          "intermediate_size": 2 * H, "max_position_embeddings": S}  # fmt: skip


class WarmUp(NamedTuple):
    """What `warm_up` did.

    Attributes:
        folder: where compiled code is kept; None if it cannot be kept, so that each process compiles again.
        size: bytes of compiled code there, from this and earlier uses.
        seconds: how long it took.
    """

    folder: Path | None
    size: int
    seconds: float


def warm_up(dtype: str = "float32", *, training: bool = False, progress: Callable[[str], None] | None = None) -> WarmUp:
    """Compile every kernel that inference on the CPU uses, or find it compiled.

    Args:
        dtype: of the models, "float32" or "float64".
        training: also those of training: backward passes, optimisers, the making of pretraining examples.
        progress: called with a few words about each part before it starts.

    Raises:
        ValueError: another dtype; or kernels are turned off.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"kernels compute in float32 or float64, got {dtype!r}")
    if not backend.kernels_are_on():
        raise ValueError("kernels are turned off (MINIBERT_KERNELS=never or kernels_off()): nothing to compile")
    parts: dict[str, Callable[[str], None]] = {"inference": _infer, "single ops": _run_ops}
    if training:
        parts |= {"training": _train, "pretraining examples": _make_examples}
    start = time.perf_counter()
    with _same_random_numbers():
        for name, run in parts.items():
            if progress is not None:
                progress(f"{name}, {dtype}" if run is not _make_examples else name)
            run(dtype)
    from minibert.kernels.cpu.code_cache import stored

    found = stored()
    return WarmUp(next(iter(found), None), sum(found.values()), time.perf_counter() - start)


@contextlib.contextmanager
def _same_random_numbers() -> Iterator[None]:
    """What is drawn inside does not change what is drawn after."""
    state = get_state()
    try:
        yield
    finally:
        set_state(state)


def _config(**changes: Any) -> BertConfig:
    return BertConfig(**{**_SIZES, **changes})


def _ids(*shape: int) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) * 37) % V


def _infer(dtype: str) -> None:
    """The encoder as a whole, for many tokens and for few; and op by op, as where hidden states are asked for."""
    with no_grad():
        for act in ("gelu", "gelu_new"):
            model = BertForMaskedLM(_config(hidden_act=act)).to(dtype).eval()
            for shape in ((B, S), (1, 8)):
                model(_ids(*shape))
                model(_ids(*shape), output_hidden_states=True)
        BertModel(_config()).to(dtype).eval()(_ids(B, S), output_attentions=True)


def _run_ops(dtype: str) -> None:
    """Ops that models reach only in some configurations, forward, and backward as a student's script would."""
    T = B * S
    with enable_grad():
        x = Tensor(np.linspace(-2, 2, T * H).reshape(T, H), dtype=dtype, requires_grad=True)
        gamma, beta = (Tensor(np.full(H, value), dtype=dtype, requires_grad=True) for value in (1.0, 0.0))
        weight = Tensor(np.full((H, H), 0.01), dtype=dtype, requires_grad=True)
        for y in (
            ops.softmax(x), ops.gelu(x), ops.gelu(x, approximate="tanh"), ops.layer_norm(x, gamma, beta),
            ops.linear(x, weight), ops.linear(x, weight, beta), ops.bias_gelu(x, beta),
            ops.cross_entropy(x, np.arange(T) % H), ops.dropout(x, 0.1),
        ):  # fmt: skip
            y.backward(np.ones(y.shape, dtype))


def _train(dtype: str) -> None:
    """Steps of pretraining and of fine-tuning, with each optimiser, with dropout and without."""
    ids = _ids(B, S)
    labels = np.where(ids % 7 == 0, ids, ops.IGNORE_INDEX)
    runs = (("gelu", AdamW, 0.1, 1.0), ("gelu_new", Adam, 0.0, None), ("gelu", BertAdam, 0.1, None))
    for act, optimizer, p, clip in runs:
        config = _config(hidden_act=act, hidden_dropout_prob=p, attention_probs_dropout_prob=p)
        model = BertForPreTraining(config).to(dtype).train()
        stepper: Any = optimizer(model.parameters(), lr=1e-4, max_grad_norm=clip)
        for return_logits in (False, True):
            with enable_grad():
                out = model(ids, labels=labels, next_sentence_label=[0, 1] * (B // 2), return_logits=return_logits)
            out.loss.backward()
            clip_grad_norm(model.parameters(), 1.0)
            stepper.step()
            stepper.zero_grad()


def _make_examples(dtype: str) -> None:
    """Pairs of segments, from shards with short and with long token ids."""
    from types import SimpleNamespace

    from minibert.pretraining.draws import permuted
    from minibert.pretraining.pairs import other_place, plan_shard

    ends = [np.array([0, 40, 100], "<u4") for _ in range(2)]
    for end in ends:
        end.flags.writeable = False
    for width in ("<u2", "<u4"):
        tokens = np.arange(100).astype(width)
        tokens.flags.writeable = False
        shard = SimpleNamespace(tokens=tokens, segments=ends[0], documents=ends[1], first_token=0, first_document=0)
        plan_shard(shard, np.zeros(V, bool), room=13, short=0.1, negatives=True, seed=0, epoch=0)
    permuted(0, 4, 100, np.uint64(0), 0)
    other_place(np.uint64(0), 0, np.int64(3), 0, 40, 100)
