"""metrics.jsonl: what a run says of itself, one JSON object a line.

A line of training is the mean over the steps since the line before:

    step, phase, tokens (of the run so far), loss, mlm_loss, nsp_loss, lr, grad_norm,
    tokens_per_second, data_seconds (spent waiting for examples), seconds (of the run so far, over all its resumptions)

In float16, where the loss is scaled, also: loss_scale (at the end of the line's steps), and skipped (how many of them
were left out because a gradient overflowed).

A line of evaluation has step, "evaluation" with the figures of `minibert evaluate`, and seconds. Apart from `TIMES` the
lines of a resumed run are those of one that was never stopped.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minibert.checkpoint import Staging
from minibert.json_file import parse_json
from minibert.number_like import is_float, is_int
from minibert.pretraining.step import Losses

__all__ = ["TIMES", "Metrics", "Window", "read_metrics", "time_spent"]

TIMES = ("tokens_per_second", "data_seconds", "seconds")
"""What no two runs have in common."""


@dataclass
class Window:
    """Sums over the steps since the last line; a part of the saved state."""

    steps: int = 0
    loss: float = 0.0
    mlm: float = 0.0
    nsp: float = 0.0
    grad_norm: float = 0.0
    clipped: int = 0
    tokens: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    skipped: int = 0

    def add(self, losses: Losses, seconds: float, data_seconds: float) -> None:
        """One more step."""
        self.steps += 1
        self.loss += losses.loss
        self.mlm += losses.mlm
        self.nsp += losses.nsp
        if losses.grad_norm is not None and math.isfinite(losses.grad_norm):  # in a step left out it is not
            self.grad_norm += losses.grad_norm
            self.clipped += 1
        self.tokens += losses.tokens
        self.seconds += seconds
        self.data_seconds += data_seconds

    def line(self) -> dict[str, Any]:
        """The means."""
        n = max(self.steps, 1)
        return {
            "loss": self.loss / n,
            "mlm_loss": self.mlm / n,
            "nsp_loss": self.nsp / n,
            "grad_norm": self.grad_norm / self.clipped if self.clipped else None,
            "tokens_per_second": self.tokens / self.seconds if self.seconds else None,
            "data_seconds": self.data_seconds,
        }

    def to_dict(self) -> dict[str, Any]:
        """For a saved state."""
        return asdict(self)


class Metrics:
    """The file, opened to go on behind step `step`: lines of later steps, and a line cut short, are taken away."""

    def __init__(self, path: Path, *, step: int) -> None:
        kept = [line for line in read_metrics(path) if line["step"] <= step] if path.exists() else []
        with Staging(path.parent) as stage:
            stage.open(path.name).write("".join(map(_text, kept)).encode())
        self.path = path
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: dict[str, Any]) -> None:
        """Append a line, and hand it to the system at once."""
        self._file.write(_text(line))
        self._file.flush()

    def sync(self) -> None:
        """Bring the lines to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # each line is handed over when it is written: what is left has been told already
            self._file.close()


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, allow_nan=False) + "\n"


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file. One cut short by a kill, which can only be the last, is skipped.

    Any other line that is damaged is skipped with a warning that gives its number.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        bad = 0
        for number, text in enumerate(file, 1):
            line = _parsed(text, f"{path}:{number}")
            if bad:  # so it was not the last
                warnings.warn(f"{path}: line {bad} is damaged and is skipped", stacklevel=2)
                bad = 0
            if line is None:
                bad = number
            else:
                yield line


_NUMBERS = {"step", "tokens", "loss", "mlm_loss", "nsp_loss", "lr", "grad_norm", *TIMES}


def _parsed(text: str, name: str) -> dict[str, Any] | None:
    """A line of metrics; None if it is none."""
    if not text.endswith("\n"):
        return None
    try:
        line = parse_json(text, name)
        _text(line)
    except ValueError:  # not JSON; or a number so large that it is infinite
        return None
    if not isinstance(line, dict) or not is_int(line.get("step")) or not isinstance(line.get("evaluation", {}), dict):
        return None
    return line if all(line[key] is None or is_float(line[key]) for key in _NUMBERS & line.keys()) else None


def time_spent(path: Path) -> tuple[float, float]:
    """Seconds of a run so far, and how many of them it waited for examples; zeros if it has written no line."""
    seconds = waited = 0.0
    for line in read_metrics(path) if path.exists() else ():
        seconds = line.get("seconds") or seconds
        waited += line.get("data_seconds") or 0.0
    return seconds, waited
