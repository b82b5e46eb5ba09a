"""`minibert bench`: how fast minibert is beside the libraries that people would use instead.

Every side (minibert, a peer, the bare matrix products) lives in a process of its own, so that no library's threads,
settings or memory reach into another's measurement. The parent lets them work in turn: ours, peer, ours, peer, ...
Whatever else the machine does then meets both sides alike, and the ratio is taken pair by pair.

options      what may be typed
workloads    what is measured, and inputs: the numbers that go in
peers        against whom, and who is installed
artifacts    checkpoints with random weights, and the forms that other libraries want them in
sides/       one file a library: load the model, run it
worker       the process around a side; process: the parent's end of it
agreement    outputs must agree before anything is timed
measure      turns, pairs, medians and quartiles
cold         from the start of Python to the first answer
memory, machine, products    what else is told: peak memory, the machine, the arithmetic of a workload
card, traffic                on a GPU (--device cuda): its limits and its clock, the bytes of a workload
report, plot table, JSON, bar chart
command      all of it together
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """The command `minibert bench` with these arguments (those of the process by default); its exit status."""
    import sys

    from minibert.cli import main as command

    return command(["bench", *(sys.argv[1:] if argv is None else argv)])
