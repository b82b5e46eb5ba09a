"""What may be typed after `minibert bench`. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from minibert.bench import peers, workloads

EXAMPLE = "minibert bench dense ragged --peers torch-sdpa,onnxruntime,limit --json bench.json --plot bench.png"


def add_options(
    parser: argparse.ArgumentParser, count: Callable[[str], int], words: Callable[[str], list[str]]
) -> None:
    """The options, with the command line's own readers of counts and of lists of words."""
    groups = ", ".join(dict.fromkeys(w.group for w in workloads.WORKLOADS if w.by_default))
    parser.add_argument("workload", nargs="*", metavar="WORKLOAD", help=f"all, or some of: {groups}")
    names = ", ".join(peer.name for peer in peers.PEERS)
    parser.add_argument("--peers", type=words, metavar="NAME,NAME", help=f"all that are installed, or some of: {names}")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where (cpu); cuda: BERT on this GPU")
    parser.add_argument("--rounds", type=count, default=7, metavar="N", help="pairs of turns (7)")
    parser.add_argument("--threads", type=count, metavar="N", help="threads for every side (the cores there are)")
    parser.add_argument("--model", choices=tuple(workloads.SIZES), default="base", help="size of the model (base)")
    parser.add_argument("--json", metavar="FILE.json", help="write everything that was measured, every single time")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the ratios (needs matplotlib); .svg and .pdf work too")
    parser.add_argument("--list", action="store_true", help="show workloads and peers, measure nothing")
