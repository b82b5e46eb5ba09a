"""minibert, with its kernels and without."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

import minibert
from minibert import backend, ops
from minibert.autograd import Tensor, no_grad
from minibert.bench.card import clock, is_emulated
from minibert.bench.inputs import attention_arrays, gradient_summary
from minibert.bench.sides import Job, Side
from minibert.bert import BertModel
from minibert.heads import BertForPreTraining, BertForSequenceClassification
from minibert.optim import AdamW, clip_grad_norm, decay_groups


def make(job: Job) -> Side:
    """The side for this job."""
    kernels = backend.kernels_off if job.side == "explicit" else nullcontext
    # explicit ops have BLAS's threads, of which the process's environment says how many
    if job.side == "minibert" and job.device == "cpu":
        minibert.set_num_threads(job.threads)
    kinds: dict[str, type[Encoder] | type[Training] | type[Attention]]
    kinds = {"encode": Encoder, "pretrain": Training, "finetune": Training, "attention": Attention}
    side = kinds[job.what().kind](job, kernels)
    if job.device == "cuda" and not is_emulated():
        import cupy

        side.clock = clock(cupy.cuda.Event, cupy.cuda.get_elapsed_time)
    return side


Kernels = Callable[[], AbstractContextManager[None]]


class _Ours(Side):
    """What the three have in common."""

    device = "cpu"

    def device_mib(self) -> float | None:
        if self.device == "cpu" or is_emulated():
            return None
        import cupy

        return float(cupy.get_default_memory_pool().total_bytes() / 2**20)  # it gives nothing back


class Encoder(_Ours):
    """The encoder, forward."""

    def __init__(self, job: Job, kernels: Kernels) -> None:
        self.model = BertModel.from_pretrained(job.folder)
        self.model.pooler = None  # nobody else runs theirs
        self.kernels, self.batch, self.device = kernels, job.batch(), job.device
        self.model.to(device=job.device)
        self.x = Tensor(np.zeros(0))

    def run(self) -> None:
        with no_grad(), self.kernels():
            out = self.model(self.batch.ids, attention_mask=self.batch.mask)
        self.x = out.last_hidden_state  # (B, S, H)

    def outputs(self) -> dict[str, np.ndarray]:
        self.run()
        return {"last_hidden_state": self.x.numpy()[self.batch.mask == 1]}  # (T, H)


class Training(_Ours):
    """One training step."""

    def __init__(self, job: Job, kernels: Kernels) -> None:
        self.kernels, self.device, batch = kernels, job.device, job.batch()
        self.inputs: dict[str, Any] = {"attention_mask": batch.mask}
        self.ids = batch.ids
        self.model: Any
        if job.what().kind == "pretrain":
            self.model = BertForPreTraining.from_pretrained(job.folder)
            self.inputs |= {"labels": batch.labels, "next_sentence_label": batch.relation, "return_logits": False}
        else:
            self.model = BertForSequenceClassification.from_pretrained(job.folder)
            self.inputs |= {"labels": batch.relation}
        self.model.to(device=job.device)
        fused = 1.0 if job.device == "cuda" else None  # clipping in the step, so that nobody waits for the norm
        self.optimizer = AdamW(decay_groups(self.model, 0.01), lr=1e-5, max_grad_norm=fused)

    def run(self) -> None:
        with self.kernels():
            self.model(self.ids, **self.inputs).loss.backward()
            if self.optimizer.max_grad_norm is None:
                clip_grad_norm(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def outputs(self) -> dict[str, np.ndarray]:
        with self.kernels():
            loss = self.model.eval()(self.ids, **self.inputs).loss
            loss.backward()
        summary = gradient_summary((name, p.grad.numpy()) for name, p in self.model.named_parameters())
        self.model.zero_grad()
        self.model.train()
        return {"loss": loss.numpy(), **summary}


class Attention(_Ours):
    """Attention alone; forward, or backward after a forward that is not timed."""

    def __init__(self, job: Job, kernels: Kernels) -> None:
        self.kernels, self.backward, self.device = kernels, job.what().phase == "backward", job.device
        arrays = attention_arrays(job.what(), job.config())
        B, S, N, D = self.shape = arrays["q"].shape
        self.starts = [S * i for i in range(B + 1)]
        packed = {name: backend.to_device(a.reshape(B * S, N, D), job.device) for name, a in arrays.items()}
        self.qkv = [Tensor(packed[name], requires_grad=self.backward) for name in ("q", "k", "v")]  # (T, N, D)
        self.dcontext = Tensor(packed["dcontext"])
        self.context: Tensor | None = None

    def prepare(self) -> None:
        self.context = None
        for x in self.qkv:
            x.grad = None
        if self.backward:
            self._forward()

    def _forward(self) -> None:
        with self.kernels():
            self.context = ops.attention(*self.qkv, starts=self.starts)

    def run(self) -> None:
        if not self.backward:
            self._forward()
            return
        assert self.context is not None
        with self.kernels():
            self.context.backward(self.dcontext)

    def outputs(self) -> dict[str, np.ndarray]:
        self.prepare()
        self.run()
        assert self.context is not None
        made: dict[str, Any] = {"context": self.context}
        if self.backward:
            made |= {f"d{name}": x.grad for name, x in zip("qkv", self.qkv, strict=True)}
        return {name: x.numpy().reshape(self.shape) for name, x in made.items()}
