"""Optimisers and what goes around them: decay groups, clipping, schedules.

A training step is always the same five lines, in this order:

    loss.backward()
    clip_grad_norm(model.parameters(), 1.0)     # all gradients as one vector
    optimizer.step()                            # with the rate the schedule set last time
    scheduler.step()                            # the rate of the next step
    optimizer.zero_grad()                       # backward adds to .grad, so last step's must go

The second line may go into the optimiser, AdamW(..., max_grad_norm=1.0), which then clips within its step: the same
numbers, without writing all gradients once more.

The published procedures are

    pretraining, as Google did it:
        BertAdam(decay_groups(model, 0.01), lr=1e-4), google_warmup_decay with warmup=10_000, total=1_000_000
    fine-tuning, as people do it:
        AdamW(decay_groups(model, 0.01), lr=2e-5), clip_grad_norm(..., 1.0), linear_warmup_decay
"""

from minibert.optim.adam import Adam, AdamW, BertAdam, adam_update
from minibert.optim.clip import clip_grad_norm
from minibert.optim.groups import decay_groups
from minibert.optim.named_schedules import (
    SCHEDULES,
    get_constant_schedule,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_cosine_with_hard_restarts_schedule_with_warmup,
    get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup,
    get_polynomial_decay_schedule_with_warmup,
    get_scheduler,
)
from minibert.optim.optimizer import Optimizer
from minibert.optim.schedule import (
    LRScheduler,
    constant,
    constant_with_warmup,
    cosine_warmup_decay,
    cosine_with_hard_restarts,
    google_warmup_decay,
    inverse_sqrt_warmup_decay,
    linear_warmup_decay,
    polynomial_warmup_decay,
)

__all__ = [
    "SCHEDULES",
    "Adam",
    "AdamW",
    "BertAdam",
    "LRScheduler",
    "Optimizer",
    "adam_update",
    "clip_grad_norm",
    "constant",
    "constant_with_warmup",
    "cosine_warmup_decay",
    "cosine_with_hard_restarts",
    "decay_groups",
    "get_constant_schedule",
    "get_constant_schedule_with_warmup",
    "get_cosine_schedule_with_warmup",
    "get_cosine_with_hard_restarts_schedule_with_warmup",
    "get_inverse_sqrt_schedule",
    "get_linear_schedule_with_warmup",
    "get_polynomial_decay_schedule_with_warmup",
    "get_scheduler",
    "google_warmup_decay",
    "inverse_sqrt_warmup_decay",
    "linear_warmup_decay",
    "polynomial_warmup_decay",
]
