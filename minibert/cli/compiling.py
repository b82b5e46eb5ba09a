"""warm-up: compile the kernels, and say where they are kept."""

from __future__ import annotations

import argparse

import minibert
from minibert.cli.messages import say
from minibert.cli.printing import print_facts, print_json

__all__ = ["warm_up"]


def warm_up(args: argparse.Namespace) -> None:
    """`minibert warm-up`."""
    done = minibert.warm_up(args.dtype, training=args.training, progress=_report)
    if args.json:
        folder = None if done.folder is None else str(done.folder)
        print_json({"folder": folder, "bytes": done.size, "seconds": round(done.seconds, 3)})
        return
    kept = done.folder or "nowhere: it cannot be written, so each process compiles again"
    facts = [("compiled code", kept), ("size", f"{done.size / 1e6:.1f} MB"), ("took", f"{done.seconds:.1f} s")]
    print_facts(facts if done.folder else facts[:1])


def _report(part: str) -> None:
    say(f"kernels of {part}")
