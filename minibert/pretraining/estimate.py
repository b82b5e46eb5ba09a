"""What a recipe will cost, before anyone starts a month of work.

Counted: parameters; memory of parameters, gradients, Adam's moments and activations; multiplications and additions of
all matrix products. Measured: a few steps on this machine, from which follows how long all of them take here, and how
fast examples are made if the data is there. For other machines the arithmetic is divided by what they are said to
reach, and what they spend on talking to one another is left out.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.backend import get_float32_matmul_precision, set_float32_matmul_precision
from minibert.config import BertConfig
from minibert.heads import BertForPreTraining
from minibert.nn import skip_init
from minibert.paths import as_path
from minibert.pretraining.progress import duration
from minibert.pretraining.recipe import Phase, Recipe, RecipeError
from minibert.pretraining.step import make_optimizer, training_step

__all__ = ["Estimate", "activation_bytes", "estimate", "step_flop"]

FLOAT = 4
"""Bytes of a float32."""
BACKWARD = 2
"""Of each product's arithmetic in forward, backward has twice as much: by the input and by the weight."""
MOST_TOKENS = 2048
"""Tokens of a timed piece; rates hardly change beyond."""
PATIENCE = 8.0
"""Seconds after which no more pieces are timed."""
SECONDS_OF_EXAMPLES = 1.0
"""Of a core, for which examples are made."""


@dataclass(frozen=True)
class Estimate:
    """What a run costs. Bytes, FLOP (one multiplication and one addition are two), seconds.

    Attributes:
        activation_bytes: of one piece of the largest phase, kept from forward to backward.
        tokens: of the whole run, as if every example were full.
        epochs: how often that is the data, if the data is there.
        flop: of the whole run.
        flops_here: FLOP/s in a training step on this machine; None if nothing was timed.
        seconds_here: for the whole run.
        examples_here: tokens a second of the examples that one core makes here; None without data, or not timed.
        seconds_there: for `ranks` machines that reach `rank_flops` each.
    """

    parameters: int
    parameter_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    steps: int
    tokens: int
    epochs: float | None
    flop: float
    flops_here: float | None
    seconds_here: float | None
    examples_here: float | None
    ranks: int
    rank_flops: float | None
    seconds_there: float | None

    @property
    def memory_bytes(self) -> int:
        """All four together."""
        return self.parameter_bytes + self.gradient_bytes + self.optimizer_bytes + self.activation_bytes

    def facts(self) -> list[tuple[str, str]]:
        """For people."""
        rows = [
            ("parameters", f"{self.parameters:,}"),
            ("memory", f"{_size(self.memory_bytes)}"),
            ("  parameters", _size(self.parameter_bytes)),
            ("  gradients", _size(self.gradient_bytes)),
            ("  Adam's moments", _size(self.optimizer_bytes)),
            ("  activations", f"{_size(self.activation_bytes)} (one piece of the largest phase)"),
            ("steps", f"{self.steps:,}"),
            ("tokens", f"{self.tokens:.4g}" + (f" ({self.epochs:.1f} epochs)" if self.epochs is not None else "")),
            ("arithmetic", f"{self.flop:.3g} FLOP"),
        ]
        if self.flops_here is not None and self.seconds_here is not None:
            rows.append(("this machine", f"{self.flops_here / 1e9:,.0f} GFLOP/s: {duration(self.seconds_here)}"))
        if self.examples_here is not None:
            rows.append(("examples", f"one core makes {self.examples_here:,.0f} tokens/s of them"))
        if self.seconds_there is not None:
            each = f" of {self.rank_flops:.3g} FLOP/s" if self.rank_flops is not None else " like this machine"
            without = ", what they tell one another left out" if self.ranks > 1 else ""
            rows.append((f"{self.ranks} rank{'s' if self.ranks > 1 else ''}{each}",
                         f"{duration(self.seconds_there)}{without}"))  # fmt: skip
        return rows


def estimate(recipe: Recipe, *, ranks: int = 1, flops: float | None = None, measure: bool = True) -> Estimate:
    """Work out what a recipe costs.

    Args:
        ranks, flops: machines that share the work, and FLOP/s that each reaches.
        measure: time a few steps here; takes up to half a minute, and the memory of a small piece.

    Raises:
        RecipeError: no vocabulary's size to be had, or a number that is not above 0.
    """
    if flops is not None and not (math.isfinite(flops) and flops > 0):
        raise RecipeError(f"--flops must be above 0, got {flops}")
    if ranks > 1 and flops is None and not measure:
        raise RecipeError(f"what do the {ranks} ranks reach? Give --flops, or leave out --no-measure")
    V, corpus = _of_data(recipe)
    config = recipe.config(V)
    with skip_init():
        parameters = BertForPreTraining(config).num_parameters()
    steps, phases = recipe.phase_steps(), recipe.phases
    share = recipe.data.masking_probability
    flop = sum(n * step_flop(config, phase, share) for n, phase in zip(steps, phases, strict=True))
    tokens = sum(n * phase.batch_size * phase.max_length for n, phase in zip(steps, phases, strict=True))
    seconds_here = flops_here = None
    if measure:
        seconds_here = _seconds_here(recipe, config, steps)
        flops_here = flop / seconds_here
    rate = flops if flops is not None else flops_here if ranks > 1 else None
    return Estimate(
        parameters=parameters,
        parameter_bytes=FLOAT * parameters,
        gradient_bytes=FLOAT * parameters,
        optimizer_bytes=2 * FLOAT * parameters,
        activation_bytes=max(activation_bytes(config, phase, share) for phase in phases),
        steps=recipe.schedule.steps,
        tokens=tokens,
        epochs=tokens / corpus if corpus else None,
        flop=flop,
        flops_here=flops_here,
        seconds_here=seconds_here,
        examples_here=_examples_here(recipe) if measure and recipe.data.folder is not None else None,
        ranks=ranks,
        rank_flops=flops,
        seconds_there=flop / (ranks * rate) if rate is not None else None,
    )


def step_flop(config: BertConfig, phase: Phase, masked: float) -> float:
    """Arithmetic of the matrix products in one step, forward and backward.

    Per token and layer 2 (4 H**2 + 2 H F) for the linear layers and 4 S H for attention; per masked token 2 H (H + V)
    for the head; per example 2 H**2 for the pooler.
    """
    H, F, S = config.hidden_size, config.intermediate_size, phase.max_length
    token = config.num_hidden_layers * (2 * (4 * H * H + 2 * H * F) + 4 * S * H)
    head = masked * 2 * (H * H + H * config.vocab_size)
    example = S * (token + head) + 2 * H * H
    return float((1 + BACKWARD) * phase.batch_size * example)


def activation_bytes(config: BertConfig, phase: Phase, masked: float) -> int:
    """What forward keeps for backward, of one piece of a step.

    Per token and layer: the input, Q, K and V, the context, both normalised sums and their two inputs (H each), and the
    inner layer before and after its activation (F each); per masked token a few H, and for a block of them the scores.
    """
    H, F, V = config.hidden_size, config.intermediate_size, config.vocab_size
    T = phase.batch_size // phase.accumulation * phase.max_length
    M = round(masked * T)
    floats = T * config.num_hidden_layers * (LAYER_H * H + LAYER_F * F) + 4 * T * H + 4 * M * H + min(M, BLOCK) * V
    return FLOAT * floats


LAYER_H, LAYER_F, BLOCK = 9, 2, 512


def _of_data(recipe: Recipe) -> tuple[int, int | None]:
    """V, and the tokens of the data if it is there."""
    folder = recipe.data.folder
    if folder is not None:
        from minibert.pretraining.shards import read_index

        told = read_index(as_path(folder))
        return int(told["vocabulary_size"]), int(told["tokens"])
    if recipe.data.vocabulary_size is None:
        raise RecipeError(
            "how large is the vocabulary? Give the data (--data FOLDER) or --set data.vocabulary_size=30000"
        )
    return recipe.data.vocabulary_size, None


def _examples_here(recipe: Recipe) -> float:
    """Tokens of the first phase's examples that one core makes in a second of its time, epochs' plans included."""
    from minibert.pretraining.trainer import open_data

    assert recipe.data.folder is not None
    phase = recipe.phases[0]
    data = open_data(recipe.data.folder, recipe, phase)
    tokens, began, number = 0, time.thread_time(), 0
    while time.thread_time() - began < SECONDS_OF_EXAMPLES:
        epoch = data.epoch(number)
        for first in range(0, len(epoch), phase.batch_size):
            batch = epoch.batch(first, min(first + phase.batch_size, len(epoch)))
            tokens += int(batch["attention_mask"].sum())
            if time.thread_time() - began >= SECONDS_OF_EXAMPLES:
                break
        number += 1
    return tokens / (time.thread_time() - began)


def _seconds_here(recipe: Recipe, config: BertConfig, steps: list[int]) -> float:
    """Seconds for all steps, with the recipe's precision of products."""
    before = get_float32_matmul_precision()
    set_float32_matmul_precision(recipe.matmul_precision)
    try:
        return _timed(recipe, config, steps)
    finally:
        set_float32_matmul_precision(before)


def _timed(recipe: Recipe, config: BertConfig, steps: list[int]) -> float:
    """Pieces of every phase and the optimiser are timed, and multiplied."""
    model = BertForPreTraining(config)
    optimizer, _ = make_optimizer(model, recipe)
    total = 0.0
    for count, phase in zip(steps, recipe.phases, strict=True):
        timed = max(1, min(phase.batch_size // phase.accumulation, MOST_TOKENS // phase.max_length))
        batch = _batch(config, timed, phase.max_length, recipe.data.masking_probability)
        best, of_update = math.inf, math.inf
        training_step(model, optimizer, [batch])  # kernels are loaded, memory is fetched
        began = time.perf_counter()
        while best == math.inf or (time.perf_counter() - began < PATIENCE / len(steps)):
            start = time.perf_counter()
            model(**batch, return_logits=False).loss.backward()
            middle = time.perf_counter()
            optimizer.step()
            optimizer.zero_grad()
            best = min(best, middle - start)
            of_update = min(of_update, time.perf_counter() - middle)
        total += count * (phase.batch_size / timed * best + of_update)
    return total


def _batch(config: BertConfig, B: int, S: int, masked: float) -> dict[str, Any]:
    """A full batch of random words."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, config.vocab_size, (B, S))
    labels = np.where(rng.random((B, S)) < masked, ids, -100)
    ones = np.ones((B, S), np.int64)
    return {"input_ids": ids, "attention_mask": ones, "token_type_ids": 0 * ones, "labels": labels,
            "next_sentence_label": rng.integers(0, 2, B)}  # fmt: skip


def _size(count: float) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
