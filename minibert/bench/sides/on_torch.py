"""transformers on torch, as their users run it: attention by torch's fused function ("sdpa") or written out ("eager").

Training uses torch's fused AdamW, which is transformers' own default and the fastest that torch has for a CPU.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
import transformers

from minibert.bench.card import clock
from minibert.bench.inputs import attention_arrays, gradient_summary
from minibert.bench.sides import Job, Side
from minibert.bench.sides.padding import PaddedBatches


def make(job: Job) -> Side:
    """The side for this job."""
    torch.set_num_threads(job.threads)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    kinds: dict[str, type[Encoder] | type[Training] | type[Attention]]
    kinds = {"encode": Encoder, "pretrain": Training, "finetune": Training, "attention": Attention}
    if job.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("the torch that is installed sees no GPU")
    side = kinds[job.what().kind](job)
    if job.device == "cuda":
        make: Any = torch.cuda.Event
        side.clock = clock(lambda: make(enable_timing=True), lambda begin, end: begin.elapsed_time(end))
    return side


class _OnTorch(Side):
    """What the three have in common."""

    def __init__(self, job: Job) -> None:
        self.device = job.device

    def device_mib(self) -> float | None:
        return None if self.device == "cpu" else float(torch.cuda.max_memory_reserved() / 2**20)


def model_of(job: Job, architecture: str, **options: Any) -> Any:
    """A model of transformers with the checkpoint's weights."""
    how = job.side.removeprefix("torch-")
    loaded = getattr(transformers, architecture).from_pretrained(job.folder, attn_implementation=how, **options)
    return loaded.to(job.device)


class Encoder(_OnTorch):
    """The encoder, forward."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.model = model_of(job, "BertModel", add_pooling_layer=False).eval()
        self.batches = PaddedBatches(job)
        # Without pads people pass no mask, and torch is faster then.
        self.inputs = [
            (torch.tensor(ids, device=job.device), None if mask.all() else torch.tensor(mask, device=job.device))
            for ids, mask in self.batches.parts
        ]
        self.states: list[Any] = []

    def run(self) -> None:
        with torch.inference_mode():
            self.states = [self.model(ids, attention_mask=mask).last_hidden_state for ids, mask in self.inputs]

    def outputs(self) -> dict[str, np.ndarray]:
        self.run()
        return {"last_hidden_state": self.batches.real_tokens([x.cpu().numpy() for x in self.states])}  # (T, H)


class Training(_OnTorch):
    """One training step."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        batch = job.batch()
        self.inputs = {"input_ids": torch.tensor(batch.ids)}
        if not batch.mask.all():
            self.inputs["attention_mask"] = torch.tensor(batch.mask)
        if job.what().kind == "pretrain":
            self.model = model_of(job, "BertForPreTraining")
            self.inputs["labels"] = torch.tensor(batch.labels)
            self.inputs["next_sentence_label"] = torch.tensor(batch.relation)
        else:
            self.model = model_of(job, "BertForSequenceClassification")
            self.inputs["labels"] = torch.tensor(batch.relation)
        self.inputs = {name: x.to(job.device) for name, x in self.inputs.items()}
        named = list(self.model.named_parameters())
        plain = [p for name, p in named if name.endswith("bias") or "LayerNorm" in name]
        decay = [p for name, p in named if not (name.endswith("bias") or "LayerNorm" in name)]
        groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-5, fused=True)

    def run(self) -> None:
        self.model(**self.inputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def outputs(self) -> dict[str, np.ndarray]:
        loss = self.model.eval()(**self.inputs).loss
        loss.backward()
        summary = gradient_summary((name, p.grad.cpu().numpy()) for name, p in self.model.named_parameters())
        self.optimizer.zero_grad()
        self.model.train()
        return {"loss": loss.detach().cpu().numpy(), **summary}


class Attention(_OnTorch):
    """Attention alone, on (B, N, S, D) views of (B, S, N, D) memory, as inside a model."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.fused, self.backward = job.side == "torch-sdpa", job.what().phase == "backward"
        arrays = attention_arrays(job.what(), job.config())
        views = {name: torch.tensor(a, device=job.device).transpose(1, 2) for name, a in arrays.items()}
        self.qkv = [views[name].requires_grad_(self.backward) for name in ("q", "k", "v")]
        self.dcontext = views["dcontext"]
        self.context: Any = None

    def prepare(self) -> None:
        self.context = None
        for x in self.qkv:
            x.grad = None
        if self.backward:
            self.context = self._forward()

    def _forward(self) -> Any:
        q, k, v = self.qkv
        if self.fused:
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return torch.softmax(q @ k.transpose(2, 3) * q.shape[-1] ** -0.5, dim=-1) @ v

    def run(self) -> None:
        if self.backward:
            self.context.backward(self.dcontext)
        else:
            with torch.inference_mode():
                self.context = self._forward()

    def outputs(self) -> dict[str, np.ndarray]:
        self.prepare()
        self.run()
        made = {"context": self.context.detach()}
        if self.backward:
            made |= {f"d{name}": x.grad for name, x in zip("qkv", self.qkv, strict=True)}
        return {name: x.transpose(1, 2).cpu().numpy() for name, x in made.items()}
