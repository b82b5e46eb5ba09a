"""A run that is killed at random instants, again and again, ends where one that never was ends.

    python -m tests.pretraining.kills --kills 100

One process imports everything and makes a child of itself for each life of the run, so that a life begins at once. The
child is killed (SIGKILL) at an instant drawn from all of its life: while it starts, steps, writes metrics, saves, takes
old states away. Then a new child goes on with `resume`. A run that comes to its end before it is killed is compared
with the reference, byte by byte, and the next run begins; the last one goes to its end.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from minibert import kernels
from minibert.pretraining import curves, training
from minibert.pretraining.data import PretrainingData
from minibert.pretraining.state import states
from tests.pretraining import toy

STEPS = 30
KILLED = -int(signal.SIGKILL)


def child(work: object) -> int:
    """A new process that does `work` and ends."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        status = 1
        try:
            work()  # type: ignore[operator]
            status = 0
        except BaseException as error:
            print(f"the child failed: {type(error).__name__}: {error}", flush=True)
        finally:
            os._exit(status)
    return number


def wait(number: int, seconds: float | None) -> int:
    """The child's status; it is killed after so many seconds."""
    if seconds is not None:
        time.sleep(seconds)
        os.kill(number, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def load(data: Path) -> None:
    """Load what every life would load first; nothing that starts a thread, which a fork would lose."""
    for path in (Path(kernels.__path__[0]) / "cpu").glob("*.py"):
        importlib.import_module(f"minibert.kernels.cpu.{path.stem}")
    PretrainingData(data, max_length=16, seed=0).epoch(0).batch(0, 2)
    curves.draw_curves = lambda run: True  # half a second each, and nothing goes on from a picture


def live(run: Path, recipe: training.Recipe, seconds: float | None = None) -> int:
    """One life of the run."""

    def work() -> None:
        if (run / "recipe.toml").exists():
            training.resume(run, quiet=True)
        else:
            training.pretrain(recipe, run, quiet=True)

    return wait(child(work), seconds)


def same(run: Path, reference: Path) -> bool:
    """Weights, moments and metrics of two finished runs."""
    last = f"state-{STEPS}"
    pairs = [(toy.weights(a / "model"), toy.weights(a / last), toy.timeless(a)) for a in (run, reference)]
    return pairs[0] == pairs[1]


def main() -> int:
    """Prints what happened, as JSON; the status is 0 if every run ended at the same bits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    counts = {"kills": 0, "resumes": 0, "while saving": 0, "before the first state": 0, "runs": 0, "different": 0}
    with tempfile.TemporaryDirectory(prefix="minibert-kills-") as scratch:
        top = Path(scratch)
        data = toy.prepare(top, documents=12)
        load(data)
        changes = {"schedule": {"steps": STEPS, "warmup": 3}, "save_every": 2, "evaluate_every": 9}
        recipe = toy.recipe(data, data, **changes)
        live(top / "warm", recipe)  # compiles what is not in the cache yet
        began = time.monotonic()
        assert live(top / "reference", recipe) == 0
        whole = time.monotonic() - began
        while counts["kills"] < given.kills:
            run = top / f"run-{counts['runs']}"
            counts["runs"] += 1
            status = KILLED
            while status == KILLED and counts["kills"] < given.kills:
                counts["resumes"] += run.exists()
                status = live(run, recipe, draw.uniform(0.0, 0.7 * whole))
                assert status in (0, KILLED), status
                if status == KILLED:
                    counts["kills"] += 1
                    counts["while saving"] += any(run.glob(".state-*.part")) if run.exists() else 0
                    counts["before the first state"] += not (run.exists() and states(run))
            if status == KILLED:
                counts["resumes"] += run.exists()
                assert live(run, recipe) == 0
            counts["different"] += not same(run, top / "reference")
            shutil.rmtree(run)
    print(json.dumps({**counts, "seconds of a run": round(whole, 2)}))
    return 1 if counts["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
