"""A model that is interrupted at random instants, again and again, goes on as if nothing had been.

    python -m tests.kernels.interrupts --interrupts 500 --forks 200

One process with two threads computes forward passes, or training steps, in a loop. Signals interrupt it; the
KeyboardInterrupt is caught, and what is computed next must be bitwise what was computed before the first signal. Then
forks: while one thread computes, another forks, and the child computes the same.

Ends with status 1 if a result differs, another error comes out, or nothing moves for a minute.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

from minibert import BertConfig, BertForSequenceClassification, manual_seed, no_grad, set_num_threads
from minibert.kernels.cpu import pool
from minibert.optim import AdamW

MINUTE = 60


class Subject:
    """A small model, its data, and what each kind of use gives when it is left alone."""

    def __init__(self) -> None:
        set_num_threads(2)
        manual_seed(0)
        config = BertConfig(
            vocab_size=100, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=512,
            max_position_embeddings=128,
        )  # fmt: skip
        self.model = BertForSequenceClassification(config)
        self.start = {name: p.data.copy() for name, p in self.model.named_parameters()}
        rng = np.random.default_rng(0)
        self.long, self.short = rng.integers(0, 100, (8, 64)), rng.integers(0, 100, (1, 12))
        self.labels = rng.integers(0, 2, 8)
        self.uses: dict[str, Callable[[], bytes]] = {"forward": self.forward, "training": self.training}
        self.right = {name: use() for name, use in self.uses.items()}

    def forward(self) -> bytes:
        """Many tokens, and few: those go through the encoder whose threads meet."""
        self.reset()
        self.model.eval()
        with no_grad():
            return b"".join(self.model(ids).logits.numpy().tobytes() for ids in (self.long, self.short, self.short))

    def training(self) -> bytes:
        """Two steps, with dropout, from the same start; the parameters after them."""
        self.reset()
        self.model.train()
        optimizer = AdamW(self.model.parameters(), lr=1e-3)
        for _ in range(2):
            optimizer.zero_grad()
            self.model(self.long, labels=self.labels).loss.backward()
            optimizer.step()
        return b"".join(p.data.tobytes() for p in self.model.parameters())

    def reset(self) -> None:
        """The parameters' first values, in place: an array that an interrupted step left read-only would refuse."""
        manual_seed(1)
        for name, parameter in self.model.named_parameters():
            parameter.data[...] = self.start[name]
            parameter.grad = None


def interrupted(subject: Subject, name: str, count: int, alive: list[float]) -> int:
    """Interrupt one use `count` times; how many of the results that followed were wrong."""
    use, wrong, done = subject.uses[name], 0, 0
    main = threading.get_ident()
    while done < count:
        delay = random.uniform(0, 0.05)
        timer = threading.Timer(delay, signal.pthread_kill, (main, signal.SIGINT))
        try:
            timer.start()
            while True:
                use()
        except KeyboardInterrupt:
            done += 1
        timer.join()
        alive[0] = time.monotonic()
        for other, result in subject.right.items():
            if subject.uses[other]() != result:
                wrong += 1
                print(f"after interrupt {done} of {name}: {other} differs", flush=True)
        alive[0] = time.monotonic()
    return wrong


def forked(subject: Subject, count: int, alive: list[float]) -> int:
    """Fork `count` times while another thread computes; how many children were wrong, or hung."""
    stop, wrong = threading.Event(), 0

    def compute() -> None:
        ids = subject.long
        while not stop.is_set():
            with no_grad():
                subject.model(ids)

    subject.reset()
    subject.model.eval()
    other = threading.Thread(target=compute)
    other.start()
    for i in range(count):
        time.sleep(random.uniform(0, 0.01))
        name = ("forward", "training")[i % 2]
        child = os.fork()
        if child == 0:
            signal.alarm(MINUTE)
            os._exit(0 if subject.uses[name]() == subject.right[name] else 1)
        wrong += os.waitpid(child, 0)[1] != 0
        alive[0] = time.monotonic()
    stop.set()
    other.join()
    return wrong


def watch(alive: list[float]) -> None:
    """End the process when nothing moves any more, which the main thread cannot tell itself."""
    while True:
        time.sleep(1)
        if time.monotonic() - alive[0] > MINUTE:
            print("hung", flush=True)
            faulthandler.dump_traceback()
            os._exit(1)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--interrupts", type=int, default=500, help="of forward passes, and as many of training")
    parser.add_argument("--forks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random.seed(given.seed)
    alive = [time.monotonic()]
    threading.Thread(target=watch, args=(alive,), daemon=True).start()
    began, subject, wrong = time.monotonic(), Subject(), 0
    for name in subject.uses:
        bad = interrupted(subject, name, given.interrupts, alive)
        print(f"{name}: {given.interrupts} interrupts, {bad} wrong results after them", flush=True)
        wrong += bad
    if given.forks:
        bad = forked(subject, given.forks, alive)
        print(f"{given.forks} forks in the middle, {bad} children wrong or hung", flush=True)
        wrong += bad
    threads = sum(thread.name.startswith("minibert-kernels") for thread in threading.enumerate())
    print(f"{time.monotonic() - began:.0f} s, {threads} kernel threads at the end, pool {pool._pool is not None}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
