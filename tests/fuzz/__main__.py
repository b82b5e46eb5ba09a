"""Fuzz everything that is read from files, and print a table.

    python -m tests.fuzz --mutants 3000 [--only CLASS] [--seed N]

Each class of input has a process of its own, with little more address space than it may use. A mutant is right when it
is read, or refused by a ValueError of one line that names the file, within 10 seconds and 2 GB.
"""

from __future__ import annotations

import os

os.environ["MINIBERT_KERNELS"] = "never"  # what is read does not depend on them, and their threads are lost in a fork

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import harness
from tests.fuzz.classes import FuzzClass, classes

MEGABYTES = 2048.0


def in_a_process(work: Callable[[], int]) -> int:
    """The status of `work`, done in a forked process."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        status = 3
        try:
            status = work()
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def fuzz(one: FuzzClass, mutants: int, seed: int, shown: int) -> int:
    """One line of the table, and what went wrong."""
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    limit = mapped + int(MEGABYTES) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    done = harness.run(one, mutants, seed)
    bad = len(done.failures) + (done.largest > MEGABYTES)
    counts = f"{mutants:7,} {done.read:7,} {done.refused:8,} {bad:6,}"
    print(f"{one.name:28} {counts} {done.slowest:10.3f} {done.largest:10.0f}")
    for failure in done.failures[:shown]:
        print("   ", failure)
    return int(bad > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=3000)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shown", type=int, default=5, help="failures to show of each class")
    given = parser.parse_args()
    status = 0
    with tempfile.TemporaryDirectory(prefix="minibert-fuzz-") as scratch:
        print(f"{'input':28} mutants    read  refused  wrong slowest, s   more, MB")
        for one in classes(Path(scratch)):
            if given.only in one.name:
                status |= in_a_process(lambda one=one: fuzz(one, given.mutants, given.seed, given.shown))
    return status


if __name__ == "__main__":
    sys.exit(main())
