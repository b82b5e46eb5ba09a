"""The table, the JSON and the chart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minibert.bench import report, workloads
from minibert.bench.measure import Pairs
from minibert.bench.report import Compared, Result

MEMORY = {"peak": 600.0, "idle": 100.0}


def compared(label: str, ours: float, theirs: float, **more: float) -> Compared:
    return Compared(label, Pairs([[ours]] * 3, [[theirs]] * 3), memory={"peak": 900.0, "idle": 250.0}, **more)  # type: ignore[arg-type]


@pytest.fixture
def dense() -> Result:
    rows = [
        compared("torch-sdpa", 0.5, 0.6, difference=2e-6),
        compared("openvino", 0.5, 0.45, difference=3e-6),
        Compared("onnxruntime", skipped="failed: no such node"),
        compared("explicit", 0.5, 5.0),
        compared("limit", 0.5, 0.4),
    ]
    return Result(workloads.by_name("dense"), 100.0, 2e-4, rows, MEMORY)


def test_table(dense: Result) -> None:
    lines = report.text(dense).splitlines()
    assert lines[0] == "dense: encoder, 8 x 128 tokens"
    assert lines[1].split() == "side ms quartiles GFLOP/s ratio quartiles peak MiB added difference".split()  # noqa: SIM905
    assert lines[2].split() == ["minibert", "500", "500-500", "200", "600", "500"]
    assert lines[3].split() == ["torch-sdpa", "600", "600-600", "167", "1.20", "1.20-1.20", "900", "650", "2e-06"]
    assert lines[6].split()[:5] == ["limit", "400", "400-400", "250", "0.80"]
    assert lines[7] == "  onnxruntime: failed: no such node"
    assert lines[8] == "  best peer: openvino, ratio 0.90 (0.90 to 0.90)"
    assert len({line.index("MiB") for line in lines[1:2]}) == 1


def test_padded_and_sorted_have_their_own_best() -> None:
    rows = [
        compared("torch-sdpa padded", 0.1, 0.3),
        compared("torch-sdpa sorted", 0.1, 0.2),
        compared("openvino padded", 0.1, 0.25),
        compared("openvino sorted", 0.1, 0.22),
    ]
    result = Result(workloads.by_name("ragged"), 1.0, 2e-4, rows, MEMORY)
    assert {what: one.label for what, one in result.best().items()} == {
        "best padded": "openvino padded",
        "best sorted": "torch-sdpa sorted",
    }


def test_nothing_but_references_has_no_best() -> None:
    result = Result(workloads.by_name("dense"), 1.0, 2e-4, [compared("explicit", 0.1, 0.3)], MEMORY)
    assert result.best() == {}
    assert "best" not in report.text(result)
    assert report.overall([result]) == ""


def test_overall(dense: Result) -> None:
    assert [line.split() for line in report.overall([dense]).splitlines()[1:]] == [
        ["workload", "ratio", "to"],
        ["dense", "0.90", "best", "peer,", "openvino"],
        ["dense", "0.80", "limit"],
    ]


def test_json_has_every_time(dense: Result, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    report.write_json(path, report.as_json([dense], {"cores": 2}, {"threads": 2}))
    read = json.loads(path.read_text())
    assert read["machine"] == {"cores": 2}
    (one,) = read["workloads"]
    assert one["best"] == {"best peer": {"name": "openvino", "ratio": 0.9}}
    assert one["minibert"]["seconds"] == {"median": 0.5, "low": 0.5, "high": 0.5}
    assert one["minibert"]["memory"] == MEMORY
    by_name = {peer["name"]: peer for peer in one["peers"]}
    assert by_name["torch-sdpa"]["our_turns"] == [[0.5]] * 3
    assert by_name["torch-sdpa"]["their_turns"] == [[0.6]] * 3
    assert by_name["torch-sdpa"]["ratios"] == pytest.approx([1.2] * 3)
    assert by_name["onnxruntime"] == {"name": "onnxruntime", "skipped": "failed: no such node"}


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_chart(dense: Result, tmp_path: Path, suffix: str, start: bytes) -> None:
    pytest.importorskip("matplotlib", reason="charts need matplotlib: pip install 'minibert[test]'")
    from minibert.bench.plot import draw

    path = tmp_path / f"bench{suffix}"
    draw([dense, Result(workloads.by_name("cold"), 0.0, 1e-4)], path, "a title")
    assert path.read_bytes().startswith(start)
