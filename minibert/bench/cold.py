"""From the start of Python to the first answer of fill-mask: what a person waits for."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minibert.bench.process import SideFailed, environment, last_words
from minibert.bench.vocabulary import TEXT

LIBRARIES = {"minibert": "minibert", "explicit": "minibert", "transformers": "transformers"}
BEFORE = 2
"""Runs that do not count: files are then in the system's cache, and whatever a library compiles or keeps is there."""

# The same few lines for both libraries. The answer is printed the moment it is there; the memory after it.
SCRIPT = """
import contextlib, json, sys
from {library} import pipeline
{more}
with {context}:
    answer = pipeline("fill-mask", model={folder!r})({text!r})
print(json.dumps(answer), flush=True)
from minibert.bench.memory import peak_mib
print(peak_mib(), flush=True)
"""


class Cold:
    """A library's cold start, again and again; takes turns like a `Process`."""

    blas: list[dict[str, object]] = []  # noqa: RUF012 - nothing to tell, for any of them

    def __init__(self, side: str, folder: Path, threads: int) -> None:
        self._side = side
        explicit = side == "explicit"
        code = SCRIPT.format(
            library=LIBRARIES[side], folder=str(folder), text=TEXT,
            more="from minibert import kernels_off" if explicit else "",
            context="kernels_off()" if explicit else "contextlib.nullcontext()",
        )  # fmt: skip
        self._command, self._environment = [sys.executable, "-c", code], environment(threads)
        self._answer, self._peak = "", 0.0
        for _ in range(BEFORE):
            self._start()

    def __enter__(self) -> Cold:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def turn(self, seconds: float, *, warm: bool) -> list[float]:
        """One start; there is nothing to warm up, and one a turn is enough. Raises SideFailed."""
        return [self._start()]

    def _start(self) -> float:
        with tempfile.TemporaryFile("w+", errors="replace") as errors:
            start = time.perf_counter()
            with subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=errors, text=True, env=self._environment
            ) as process:
                assert process.stdout is not None
                self._answer = process.stdout.readline()
                seconds = time.perf_counter() - start
                rest = process.stdout.read()
            if process.returncode or not rest:
                errors.seek(0)
                raise SideFailed(self._side, last_words(errors.read()))
        self._peak = max(self._peak, float(rest))
        return seconds

    def outputs(self) -> dict[str, np.ndarray]:
        """The best words' numbers and probabilities."""
        words = json.loads(self._answer)
        return {key: np.array([word[key] for word in words], np.float64) for key in ("token", "score")}

    def memory(self) -> dict[str, float]:
        """MiB: the highest peak of all starts. Nothing is idle here."""
        return {"peak": self._peak, "idle": 0.0}
