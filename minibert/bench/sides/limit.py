"""The limit: the matrix products of the same work, and nothing else.

Each product is tried in two ways, and runs in the one that was faster: by BLAS, cut into one part a thread; and, with a
weight, by minibert's own product. BLAS itself is held to one thread: its idle threads would spin on the cores that the
next product needs. Weights are a matrix of their own for each layer, so that they come from memory as in a model;
everything else is written over and over again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import minibert
from minibert.bench.products import Product, products
from minibert.bench.sides import Job, Side
from minibert.kernels.cpu import matmul, threads

TRIES = 3


def make(job: Job) -> Side:
    """The side for this job."""
    minibert.set_num_threads(job.threads)
    threadpool_limits(1, user_api="blas")
    return Limit(job)


class Limit(Side):
    """All products, one after another."""

    def __init__(self, job: Job) -> None:
        self.memory: dict[tuple[Any, ...], np.ndarray] = {}
        self.ways: dict[Product, Callable[..., None]] = {}
        self.steps = [(p, *self._matrices(p)) for p in products(job.what(), job.config())]
        for step in self.steps:
            if step[0] not in self.ways:
                self.ways[step[0]] = fastest(*step)

    def _matrices(self, p: Product) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first, result = self._shared("first", p.count, p.M, p.K), self._shared("result", p.count, p.M, p.N)
        if not p.weight:
            return first, self._shared("second", p.count, p.K, p.N), result
        weight = np.full((p.N, p.K), 0.01, np.float32)
        return first, weight.T[None], result

    def _shared(self, *key: Any) -> np.ndarray:
        if key not in self.memory:
            self.memory[key] = np.full(key[1:], 0.01, np.float32)
        return self.memory[key]

    def run(self) -> None:
        for p, a, b, out in self.steps:
            self.ways[p](a, b, out)

    def outputs(self) -> dict[str, np.ndarray]:
        self.run()
        return {}


def fastest(p: Product, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Callable[..., None]:
    """The faster of the ways, by the best of a few tries."""
    best: dict[Callable[..., None], float] = {}
    ways: list[Callable[..., None]] = [own, parts] if p.weight else [parts]
    for way in ways:
        for _ in range(TRIES):
            start = time.perf_counter()
            way(a, b, out)
            seconds = time.perf_counter() - start
            best[way] = min(best.get(way, seconds), seconds)
    return min(best, key=lambda way: best[way])


def parts(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """(count, M, K) @ (count, K, N), cut by products; or a single one by rows, or by columns if these are more."""
    if len(a) > 1:
        threads.split(len(a), _some, a, b, out)
    elif a.shape[1] >= b.shape[2]:
        threads.split(a.shape[1], _some_rows, a[0], b[0], out[0])
    else:
        threads.split(b.shape[2], _some_columns, a[0], b[0], out[0])


def own(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """The same for a single product, as minibert's linear layers do it."""
    matmul.linear(a[0], b[0].T, None, out[0])


def _some(first: int, end: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    np.matmul(a[first:end], b[first:end], out=out[first:end])


def _some_rows(first: int, end: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    np.matmul(a[first:end], b, out=out[first:end])


def _some_columns(first: int, end: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    np.matmul(a, b[:, first:end], out=out[:, first:end])
