"""Memory over many training steps: `python -m tests.pretraining.memory [--steps 1000]`, or `make memory`.

Batches of ragged length through a small BertForPreTraining, with dropout, clipping, AdamW and a schedule. After a tenth
of the steps memory must have settled: from there to the end the resident set may grow by less than `ALLOWED_MB`.
"""

from __future__ import annotations

import argparse
import gc
import sys

import numpy as np

from minibert import AdamW, BertConfig, BertForPreTraining, clip_grad_norm, manual_seed
from minibert.optim import get_linear_schedule_with_warmup
from tests.pipelines.memory import resident_mb

ALLOWED_MB = 8.0
"""The heap's own ups and downs between batches of different size; 10 kB a step would be as much."""

CONFIG = BertConfig(
    vocab_size=500, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
    max_position_embeddings=64,
)  # fmt: skip


def train(steps: int) -> tuple[float, float]:
    """The resident set in MB after a tenth of the steps, and after all of them."""
    manual_seed(0)
    rng = np.random.default_rng(0)
    model = BertForPreTraining(CONFIG).train()
    optimizer = AdamW(list(model.parameters()), lr=1e-3)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    settled = 0.0
    for step in range(steps):
        S = int(rng.integers(8, 65))
        ids = rng.integers(5, 500, (8, S))
        labels = np.where(rng.random((8, S)) < 0.15, ids, -100)
        mask = np.arange(S) < rng.integers(4, S + 1, 8)[:, None]
        out = model(ids, attention_mask=mask, labels=labels, next_sentence_label=rng.integers(0, 2, 8))
        out.loss.backward()
        clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step == steps // 10:
            gc.collect()
            settled = resident_mb()
    gc.collect()
    return settled, resident_mb()


def main() -> int:
    """Print the figures; 1 if memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    steps = parser.parse_args().steps
    settled, end = train(steps)
    print(f"{steps} training steps: {settled:.1f} MB settled, {end:.1f} MB at the end, growth {end - settled:.1f} MB")
    return int(end - settled > ALLOWED_MB)


if __name__ == "__main__":
    sys.exit(main())
