"""How many threads there are by default: what a variable says, else the cores, else the quota of a control group."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minibert.kernels import cores
from minibert.kernels.cpu import threads


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in cores.VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"MINIBERT_NUM_THREADS": "5", "OMP_NUM_THREADS": "7"}, 5),
        ({"MINIBERT_NUM_THREADS": " 5 "}, 5),
        ({"MINIBERT_NUM_THREADS": "", "OMP_NUM_THREADS": "7"}, 7),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": " 4 , 2 "}, 4),
    ],
)
def test_the_usual_variables(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: int) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cores.default_threads() == expected


@pytest.mark.parametrize("name", cores.VARIABLES)
@pytest.mark.parametrize("text", ["many", "0", "-1", "1.5", "1e3", "4;2", ",4", "100000", "9" * 5000, "\u0663"])
def test_other_values_are_refused_when_the_number_is_wanted(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    monkeypatch.setattr(threads, "_threads", None)
    with pytest.raises(ValueError, match=f"{name} must be an integer from 1 to 1024, got"):
        threads.get_num_threads()


V1 = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 {root} {at} rw,relatime - cgroup cgroup rw,cpuacct,cpu\n"
)
V2 = "29 22 0:26 {root} {at} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def system(top: Path, mounts: str, own: str, quotas: dict[str, str]) -> Path:
    """A folder that looks like the root of a system with these control groups."""
    (top / "proc/self").mkdir(parents=True)
    (top / "proc/self/mountinfo").write_text(mounts)
    (top / "proc/self/cgroup").write_text(own)
    for path, text in quotas.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    return top


def first(path: str, quota: int, period: int = 100_000) -> dict[str, str]:
    """The files of a group in the first version of control groups."""
    return {f"{path}/cpu.cfs_quota_us": f"{quota}\n", f"{path}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("mounts", "own", "quotas", "expected"),
    [
        (V2.format(root="/", at="/cg"), "0::/a/b\n", {"cg/a/b/cpu.max": "150000 100000\n"}, 2),
        (V2.format(root="/", at="/cg"), "0::/a/b\n", {"cg/a/b/cpu.max": "max 100000\n"}, 8),
        (V2.format(root="/", at="/cg"), "0::/a\n", {"cg/a/cpu.max": "max 1\n", "cg/cpu.max": "5 10\n"}, 1),
        (V2.format(root="/", at="/cg"), "0::/a\n", {"cg/a/cpu.max": "40 10\n", "cg/cpu.max": "30 10\n"}, 3),
        (V2.format(root="/", at="/cg"), "0::/a\n", {"cg/a/cpu.max": "9000 10\n"}, 8),
        (V2.format(root="/", at="/cg"), "0::/\n", {"cg/cpu.max": "1000 100000\n"}, 1),
        (V2.format(root="/", at="/my\\040cg"), "0::/\n", {"my cg/cpu.max": "30 10\n"}, 3),
        (V2.format(root="/box", at="/cg"), "0::/box/a\n", {"cg/a/cpu.max": "30 10\n"}, 3),
        (V2.format(root="/", at="/cg"), "0::/../..\n", {"cg/cpu.max": "30 10\n"}, 3),
        (V2.format(root="/box", at="/cg"), "0::/elsewhere\n", {"cg/cpu.max": "30 10\n"}, 3),
        (V1.format(root="/", at="/cg/cpu"), "3:cpuset:/no\n2:cpu,cpuacct:/a\n", first("cg/cpu/a", 250_000), 3),
        (V1.format(root="/", at="/cg/cpu"), "2:cpu,cpuacct:/a\n", first("cg/cpu/a", -1), 8),
        (V1.format(root="/", at="/cg/cpu"), "2:cpu,cpuacct:/a\n", first("cg/cpu", 1) | first("cg/cpu/a", -1), 1),
        (V2.format(root="/", at="/cg"), "0::/a\n", {"cg/a/cpu.max": "what\n", "cg/cpu.max": ""}, 8),
        (V2.format(root="/", at="/cg"), "nonsense\n", {}, 8),
        ("nonsense\n - \n\n", "0::/\n", {}, 8),
    ],
)
def test_quotas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, own: str, quotas: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert cores.usable_cores(system(tmp_path, mounts, own, quotas)) == expected


def test_without_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(3)), raising=False)
    assert cores.usable_cores(tmp_path) == 3
