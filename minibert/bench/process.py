"""The parent's end of a side's process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np

from minibert.bench.sides import Job

THREAD_VARIABLES = ("MINIBERT_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class SideFailed(RuntimeError):
    """A side's process ended, with the last that it said.

    Attributes:
        side: its name.
    """

    def __init__(self, side: str, why: str) -> None:
        super().__init__(why)
        self.side = side


def environment(threads: int) -> dict[str, str]:
    """For every process alike: the number of threads, no downloads, and this minibert on the path."""
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (here, os.environ.get("PYTHONPATH", "")) if p)
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), **quiet, "PYTHONPATH": path}


def last_words(text: str) -> str:
    """The last line of a program's errors."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def run_module(side: str, module: str, *arguments: str, threads: int) -> None:
    """Run a module of this package in a process of its own, on behalf of a side.

    Raises:
        SideFailed: it did not succeed.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment(threads), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SideFailed(side, last_words(done.stderr))


class Process:
    """A side at work; a context manager, at whose end the process is gone.

    Attributes:
        blas: thread pools in the process, as threadpoolctl tells.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "minibert.bench.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment(job.threads),
        )  # fmt: skip
        try:
            self.blas: list[dict[str, Any]] = self._ask(asdict(job))["blas"]
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SideFailed(self.job.side, self._why())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _why(self) -> str:
        status = self._process.wait()
        if status == -9:
            return "its process was killed, as the system does when memory runs out"
        self._errors.seek(0)
        return last_words(self._errors.read())

    def turn(self, seconds: float, *, warm: bool) -> list[float]:
        """Times of runs, in seconds; see `minibert.bench.worker`. Raises SideFailed, as all of these do."""
        times: list[float] = self._ask({"do": "turn", "seconds": seconds, "warm": warm})["seconds"]
        return times

    def outputs(self) -> dict[str, np.ndarray]:
        """What the workload gives, for comparison."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "outputs.npz"
            self._ask({"do": "outputs", "to": str(path)})
            with np.load(path) as arrays:
                return dict(arrays)

    def memory(self) -> dict[str, float]:
        """MiB: "peak", and "idle", what was held after the imports and before the model."""
        return self._ask({"do": "memory"})
