"""How many threads to use where the program does not say: a variable's number, else the cores this process may use.

A container is often given a share of the machine's time instead of some of its cores: a quota of CPU microseconds in
each period, written in its control group. More threads than quota / period would use the quota up early in a period and
then all stand still to its end. Control groups are nested, and the tightest quota on the way to the root holds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

VARIABLES = ("MINIBERT_NUM_THREADS", "OMP_NUM_THREADS")
MOST_THREADS = 1024
"""More is taken for a mistake."""


def default_threads() -> int:
    """The number in the first of VARIABLES that is set, else `usable_cores()`.

    Raises:
        ValueError: the variable is not a number of threads.
    """
    return threads_of_variables() or usable_cores()


def threads_of_variables() -> int | None:
    """The number in the first of VARIABLES that is set; None if none is.

    Raises:
        ValueError: it is not a number of threads.
    """
    for name in VARIABLES:
        text = os.environ.get(name, "").strip()
        if text:
            return _parsed(name, text)
    return None


def _parsed(name: str, text: str) -> int:
    """The number of threads; OpenMP's list of one number for each level of nesting begins with ours."""
    number = text.partition(",")[0].strip() if name == "OMP_NUM_THREADS" else text
    if number.isascii() and number.isdigit() and 1 <= int(number[:10]) <= MOST_THREADS:
        return int(number)
    raise ValueError(f"the environment variable {name} must be an integer from 1 to {MOST_THREADS}, got {text!r}")


def usable_cores(root: Path = Path("/")) -> int:
    """The cores that this process may run on, or fewer if the quota of a control group amounts to fewer.

    Args:
        root: the folder in which `proc` and the mounted control groups are looked for.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else int(os.cpu_count() or 1)
    quota = min(_quotas(root), default=math.inf)
    return max(1, min(cores, MOST_THREADS, cores if quota >= cores else math.ceil(quota)))


def _quotas(root: Path) -> Iterator[float]:
    """Quota / period, in cores, of each control group from this process's own up to the mounted root."""
    try:
        own = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except (OSError, ValueError):
        return  # another system, or no proc
    paths = [line.split(":", 2) for line in own if line.count(":") >= 2]
    for line in mounts:
        before, _, after = line.partition(" - ")
        fields, of_type = before.split(), after.split()
        if len(fields) < 5 or len(of_type) < 3:
            continue
        kind, options = of_type[0], of_type[-1].split(",")
        for _, controllers, path in paths:
            second = kind == "cgroup2" and not controllers
            first = kind == "cgroup" and "cpu" in options and "cpu" in controllers.split(",")
            if first or second:
                for folder in _upwards(root, _unescaped(fields[4]), _unescaped(fields[3]), path):
                    yield from _quota_of(folder)


def _upwards(root: Path, mount: str, mounted: str, path: str) -> Iterator[Path]:
    """The folders of control group `path` and of those around it, where group `mounted` is at `mount`."""
    inside = PurePosixPath(path)
    try:
        inside = inside.relative_to(mounted)
    except ValueError:  # the group lies outside what is mounted here, as in a container without a namespace of its own
        inside = PurePosixPath()
    base = root / mount.lstrip("/")
    for group in (inside, *inside.parents):
        if ".." not in group.parts:
            yield base / group


def _quota_of(folder: Path) -> Iterator[float]:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = [word for name in names for word in (folder / name).read_text().split()]
            quota, period = float(words[0]), float(words[1])  # "max" of no quota is no number
        except (OSError, ValueError, IndexError):
            continue
        if quota > 0 and period > 0:  # without a quota, the first version has -1 there
            yield quota / period


def _unescaped(text: str) -> str:
    """Blanks in the table of mounts are written as octal numbers."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
