"""The bytes of a workload: what goes through memory if each op reads its inputs and writes its results once.

Ops are those of minibert, fused as they are: a linear layer, attention (which keeps its scores to itself), bias and
GELU, residual and LayerNorm, the decoder with its loss. Backward reads and writes what forward does twice over: a
product has two products behind it. The optimiser reads parameter, gradient and both moments, and writes all but the
gradient; clipping reads the gradient once more. All in float32.
"""

from __future__ import annotations

from minibert.bench import inputs
from minibert.bench.workloads import Workload
from minibert.config import BertConfig
from minibert.heads import BertForPreTraining, BertForSequenceClassification
from minibert.nn import skip_init

REAL = 4
"""Bytes of a number."""


def gigabytes(workload: Workload, config: BertConfig) -> float:
    """Billions of bytes."""
    if workload.kind == "cold":
        return 0.0
    T, H, N = sum(workload.lengths), config.hidden_size, config.num_attention_heads
    if workload.kind == "attention":
        # forward: q, k, v; the result and one number a row and head. backward: these and the result's gradient; three
        numbers = 4 * T * H + T * N if workload.phase == "forward" else 8 * T * H + T * N
        return numbers * REAL / 1e9
    numbers = 4 * T * H + 3 * T * H + config.num_hidden_layers * _layer(T, config)  # embeddings and their LayerNorm
    if workload.kind == "pretrain":
        M = int((inputs.batch(workload, config).labels >= 0).sum())
        numbers += 2 * M * H + H * H + 3 * M * H  # transform, its LayerNorm
        numbers += M * H + config.vocab_size * H + 2 * M * config.vocab_size  # scores, written and read
    if workload.kind != "encode":
        numbers = 3 * numbers + (7 + 1) * _parameters(workload, config)
    return numbers * REAL / 1e9


def _layer(T: int, config: BertConfig) -> int:
    """Numbers read and written by a layer's forward."""
    H, F = config.hidden_size, config.intermediate_size
    attention = (T * H + 3 * H * H + 3 * T * H) + 4 * T * H + (2 * T * H + H * H)  # projections, itself, output
    feed_forward = (T * H + H * F + T * F) + 2 * T * F + (T * F + F * H + T * H)
    return attention + feed_forward + 2 * 3 * T * H  # two residual LayerNorms


def _parameters(workload: Workload, config: BertConfig) -> int:
    """How many the model has."""
    with skip_init():
        model = BertForPreTraining if workload.kind == "pretrain" else BertForSequenceClassification
        return model(config).num_parameters()
