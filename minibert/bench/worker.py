"""The process around one side: it waits for a line of JSON, does what it says, and answers with a line of JSON.

    {"do": "outputs", "to": FILE}            run once and write what came out as .npz
    {"do": "turn", "seconds": s, "warm": b}  run for about s seconds (at least once); {"seconds": [each run]}
    {"do": "memory"}                         {"peak": MiB, "idle": MiB after the imports}; on a GPU, of its memory

While it waits it is blocked in a read and takes no processor time; libraries whose threads spin after a run stop within
the pause that the parent makes.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from minibert.bench.memory import held_mib, peak_mib
from minibert.bench.sides import Job, Side, library

MOST_RUNS = 200


def main() -> None:
    """Serve until the parent closes the pipe."""
    answers = _own_stdout()
    request = json.loads(sys.stdin.readline())
    job = Job(**request)
    module = library(job.side)
    idle = held_mib()
    side = module.make(job)
    _send(answers, {"ready": True, "blas": _blas()})
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "turn":
            _send(answers, {"seconds": turn(side, request["seconds"], warm=request["warm"])})
        elif request["do"] == "outputs":
            import numpy as np

            np.savez(request["to"], **side.outputs())
            _send(answers, {})
        else:
            held = side.device_mib()
            _send(answers, {"peak": peak_mib(), "idle": idle} if held is None else {"peak": held, "idle": 0.0})


def turn(side: Side, seconds: float, *, warm: bool) -> list[float]:
    """Times of runs, of at least `seconds` together; before them one that does not count, if `warm`."""
    if warm:
        side.prepare()
        side.run()
    times: list[float] = []
    while not times or (sum(times) < seconds and len(times) < MOST_RUNS):
        side.prepare()
        times.append(side.clock(side.run))
    return times


def _own_stdout() -> TextIO:
    """Stdout for the answers alone; whatever a library prints goes to stderr."""
    kept = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return kept


def _send(to: TextIO, answer: dict[str, Any]) -> None:
    to.write(json.dumps(answer) + "\n")
    to.flush()


def _blas() -> list[dict[str, Any]]:
    """The libraries with thread pools in this process, as threadpoolctl tells."""
    from threadpoolctl import threadpool_info

    keys = ("internal_api", "version", "architecture", "threading_layer", "num_threads")
    return [{key: info[key] for key in keys if key in info} for info in threadpool_info()]


if __name__ == "__main__":
    main()
