"""`minibert bench --device cuda`: the card's limits, a workload's bytes, and the command, here in the emulator."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from minibert import BertConfig
from minibert.bench import main, report, workloads
from minibert.bench.card import Card, clock, limits
from minibert.bench.measure import Pairs
from minibert.bench.report import Compared, Result
from minibert.bench.traffic import gigabytes
from minibert.kernels.cuda.emulator import why_not


@pytest.mark.parametrize(
    ("capability", "multiprocessors", "mhz", "memory_mhz", "bits", "tflops", "gigabytes_per_second"),
    [
        ((8, 0), 108, 1410, 1215, 5120, 19.5, 1555),  # A100 40 GB
        ((9, 0), 132, 1980, 2619, 5120, 66.9, 3352),  # H100 SXM
        ((8, 9), 128, 2520, 10501, 384, 82.6, 1008),  # RTX 4090
        ((7, 5), 40, 1590, 5001, 256, 8.1, 320),  # T4
    ],
)
def test_limits_are_those_of_the_data_sheets(
    capability: tuple[int, int], multiprocessors: int, mhz: int, memory_mhz: int, bits: int, tflops: float,
    gigabytes_per_second: float,
) -> None:  # fmt: skip
    attributes = {
        "ComputeCapabilityMajor": capability[0], "ComputeCapabilityMinor": capability[1],
        "MultiProcessorCount": multiprocessors, "ClockRate": mhz * 1000,
        "MemoryClockRate": memory_mhz * 1000, "GlobalMemoryBusWidth": bits,
    }  # fmt: skip
    flops, bandwidth = limits(attributes)
    assert flops == pytest.approx(tflops * 1e12, rel=1e-2)  # data sheets round
    assert bandwidth == pytest.approx(gigabytes_per_second * 1e9, rel=1e-2)


def test_a_card_that_does_not_tell() -> None:
    assert limits({"MultiProcessorCount": 10, "ClockRate": 0}) == (None, None)
    assert str(Card("X")) == "X"
    assert str(Card("X", 2e13, 1.5e12)) == "X, 20.0 TFLOP/s in float32, 1,500 GB/s"


def test_bytes() -> None:
    config = BertConfig()
    forward, backward = (gigabytes(workloads.by_name(f"attention-512-{x}"), config) for x in ("forward", "backward"))
    T, H, N = 1024, 768, 12
    assert forward == pytest.approx(4 * (4 * T * H + T * N) / 1e9)  # q, k, v; context, log-sum-exp
    assert backward == pytest.approx(4 * (8 * T * H + T * N) / 1e9)
    weights = 12 * (4 * H * H + 8 * H * H)
    single = gigabytes(workloads.by_name("single"), config)
    assert 4 * weights < single * 1e9 < 1.1 * 4 * weights, "sixteen tokens: nearly all is the weights"
    step = gigabytes(workloads.by_name("pretrain-step"), config)
    assert step * 1e9 > 4 * (3 * weights + 8 * 110e6), "weights in three products, and 32 bytes a parameter for Adam"
    assert gigabytes(workloads.by_name("cold"), config) == 0.0


class Event:
    """One that counts, and comes when it is waited for."""

    now = 0.0

    def record(self) -> None:
        self.at = Event.now

    def synchronize(self) -> None:
        assert self.at == 3.0


def test_the_clock_is_the_stream_s_own() -> None:
    def run() -> None:
        Event.now += 3.0

    assert clock(Event, lambda begin, end: end.at - begin.at)(run) == pytest.approx(3e-3)


def test_table() -> None:
    one = Compared("torch-sdpa", Pairs([[0.1]], [[0.2]]), memory={"peak": 900.0, "idle": 0.0}, difference=1e-6)
    card = Card("X", flops=2e12, bandwidth=5e11)
    memory = {"peak": 600.0, "idle": 0.0}
    result = Result(workloads.by_name("dense"), 100.0, 2e-4, [one], memory, card=card, gigabytes=10.0)
    lines = report.text(result).splitlines()
    assert lines[1].split("  ")[-1] == "difference"
    assert lines[2].split() == ["minibert", "100", "100-100", "1000", "50.0%", "100", "20.0%", "600"]
    assert lines[3].split()[:7] == ["torch-sdpa", "200", "200-200", "500", "25.0%", "50", "10.0%"]
    assert lines[3].split()[7:] == ["2.00", "2.00-2.00", "900", "1e-06"]
    assert report.as_json([result], {}, {})["workloads"][0]["gigabytes"] == 10.0


def test_in_the_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    monkeypatch.setenv("MINIBERT_CUDA", "emulator")
    file = tmp_path / "bench.json"
    names = ["dense", "attention-512-backward", "pretrain-step"]
    assert main([*names, "--device", "cuda", "--model", "tiny", "--rounds", "1", "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "the emulator on the CPU: times say nothing\n" in out
    read = json.loads(file.read_text())
    assert read["settings"]["device"] == "cuda"
    assert read["machine"]["card"]["emulated"] is True
    assert [w["name"] for w in read["workloads"]] == sorted(names, key=workloads.NAMES.index)
    for workload in read["workloads"]:
        assert workload["gigabytes"] > 0
        assert workload["about"].endswith(", cut short")
        (explicit,) = workload["peers"]
        assert explicit["name"] == "explicit"
        assert explicit["difference"] <= workload["tolerance"]


@pytest.mark.gpu
def test_on_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    names = ["single", "dense", "attention-512-forward", "attention-512-backward", "pretrain-step"]
    assert main([*names, "--device", "cuda", "--rounds", "2", "--json", str(file)]) == 0
    print(capsys.readouterr().out)  # pytest -m gpu -rP shows the figures
    read = json.loads(file.read_text())
    card = read["machine"]["card"]
    assert card["flops"]
    assert card["bandwidth"]
    for workload in read["workloads"]:
        seconds = workload["minibert"]["seconds"]["median"]
        assert 0 < workload["gflop"] * 1e9 / seconds <= card["flops"], "nobody is faster than the card"
        assert workload["minibert"]["memory"]["peak"] > 0


# ---- what cannot be


def test_without_cupy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("MINIBERT_CUDA", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["dense", "--device", "cuda"]) == 2
    told: Any = capsys.readouterr()
    assert told.out == ""
    assert told.err == "minibert: device 'cuda' needs CuPy: pip install 'minibert-numpy[cuda12]' (or [cuda13])\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["cold"], "the workload cold is about the CPU; it is not measured with --device cuda"),
        (["dense", "--peers", "openvino"], "peer 'openvino' is measured on the CPU only; with --device cuda: torch"),
        (["sparse"], "unknown workload 'sparse'"),
    ],
)
def test_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--device", "cuda"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"minibert: {told}")
    assert err.count("\n") == 1
