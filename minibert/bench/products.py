"""The matrix products of a workload: the arithmetic that nobody can leave out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minibert.bench import inputs
from minibert.bench.workloads import Workload
from minibert.config import BertConfig


@dataclass(frozen=True)
class Product:
    """`count` products (M, K) @ (K, N) that are independent of one another.

    `weight` says that the second matrix is a weight, kept as (N, K) and different for each product of the model.
    """

    count: int
    M: int
    K: int
    N: int
    weight: bool = False

    @property
    def flop(self) -> float:
        """Multiplications and additions."""
        return 2.0 * self.count * self.M * self.K * self.N


def products(workload: Workload, config: BertConfig) -> list[Product]:
    """All of them, on real tokens and labelled positions only; without the few rows of pooler and classifier.

    Training's backward has two products for each of forward: of a linear layer dx = dy W and dW = dy^T x; of the
    attention dV, dP and dQ, dK.
    """
    if workload.kind == "cold":
        return []
    if workload.kind == "attention":
        forward = list(_attention(workload, config))
        return forward if workload.phase == "forward" else [p for one in forward for p in _backward(one)]
    forward = []
    for _ in range(config.num_hidden_layers):
        forward += _layer(workload, config)
    if workload.kind == "pretrain":
        rows = int((inputs.batch(workload, config).labels >= 0).sum())
        forward.append(Product(1, rows, config.hidden_size, config.hidden_size, weight=True))
        forward.append(Product(1, rows, config.hidden_size, config.vocab_size, weight=True))
    if workload.kind == "encode":
        return forward
    return [*forward, *(p for one in reversed(forward) for p in _backward(one))]


def gflop(workload: Workload, config: BertConfig) -> float:
    """Billions of multiplications and additions."""
    return sum(p.flop for p in products(workload, config)) / 1e9


def _layer(workload: Workload, config: BertConfig) -> Iterator[Product]:
    T, H, F = sum(workload.lengths), config.hidden_size, config.intermediate_size
    yield Product(1, T, H, 3 * H, weight=True)  # queries, keys and values at once
    yield from _attention(workload, config)
    yield Product(1, T, H, H, weight=True)
    yield Product(1, T, H, F, weight=True)
    yield Product(1, T, F, H, weight=True)


def _attention(workload: Workload, config: BertConfig) -> Iterator[Product]:
    N, D = config.num_attention_heads, config.head_size
    for length, count in zip(*np.unique(workload.lengths, return_counts=True), strict=True):
        L = int(length)
        yield Product(int(count) * N, L, D, L)  # Q K^T
        yield Product(int(count) * N, L, L, D)  # P V


def _backward(p: Product) -> Iterator[Product]:
    yield Product(p.count, p.M, p.N, p.K)  # by the second matrix transposed
    yield Product(p.count, p.N, p.M, p.K)  # the gradient of the second matrix
