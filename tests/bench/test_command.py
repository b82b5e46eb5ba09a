"""`minibert bench` as it is typed, on a tiny model and without other libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert.bench import command, main, memory
from minibert.bench.process import Process, SideFailed
from minibert.bench.sides import Job


def test_a_tiny_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    options = ["--model", "tiny", "--rounds", "2", "--threads", "1", "--peers", "explicit,limit", "--json", str(file)]
    assert main(["single", "finetune-step", *options]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "single: encoder, 1 x 16 tokens\n" in out
    read = json.loads(file.read_text())
    assert read["settings"] == {"threads": 1, "rounds": 2, "model": "tiny"}
    assert read["machine"]["versions"]["numpy"] == np.__version__
    assert [w["name"] for w in read["workloads"]] == ["single", "finetune-step"]
    for workload in read["workloads"]:
        assert [peer["name"] for peer in workload["peers"]] == ["explicit", "limit"]
        assert workload["minibert"]["memory"]["peak"] > 20
        for peer in workload["peers"]:
            assert "skipped" not in peer, peer
            assert len(peer["our_turns"]) == len(peer["their_turns"]) == len(peer["ratios"]) == 2
            assert all(seconds > 0 for turn in peer["their_turns"] for seconds in turn)
            assert peer["difference"] <= workload["tolerance"]
            assert peer["memory"]["peak"] >= peer["memory"]["idle"] > 10
            assert {pool["num_threads"] for pool in peer["thread_pools"]} == {1}


def test_cold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cold", "--model", "tiny", "--rounds", "1", "--peers", "explicit"]) == 0
    assert "  explicit " in capsys.readouterr().out


# ---- with sides that only pretend


class Pretended:
    """A side that always gives the same."""

    blas: list[Any] = []  # noqa: RUF012

    def __init__(self, value: float, *, fails: str = "") -> None:
        self.value, self.fails, self.turns = value, fails, 0

    def __enter__(self) -> Pretended:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def turn(self, seconds: float, *, warm: bool) -> list[float]:
        self.turns += 1
        return [0.01]

    def outputs(self) -> dict[str, np.ndarray]:
        if self.fails:
            raise SideFailed(self.fails, "out of luck")
        return {"x": np.array([self.value])}

    def memory(self) -> dict[str, float]:
        return {"peak": 2.0, "idle": 1.0}


def pretend(monkeypatch: pytest.MonkeyPatch, **sides: Pretended) -> None:
    monkeypatch.setattr(command, "_start", lambda side, *_: sides[side])
    monkeypatch.setattr("minibert.bench.measure.PAUSE", 0.0)


def test_disagreement_is_not_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wrong = Pretended(1.5)
    pretend(monkeypatch, minibert=Pretended(1.0), explicit=wrong, limit=Pretended(7.0))
    file = tmp_path / "x.json"
    assert main(["dense", "--rounds", "1", "--peers", "explicit,limit", "--json", str(file)]) == 2
    out, err = capsys.readouterr()
    assert "  explicit: not timed, outputs disagree: x differs by 5.0e-01, and 2e-04 is allowed\n" in out
    assert err.startswith("minibert: dense, explicit: not timed, outputs disagree")
    assert err.count("\n") == 1
    assert wrong.turns == 0
    (workload,) = json.loads(file.read_text())["workloads"]
    assert [("skipped" in peer) for peer in workload["peers"]] == [True, False], "the rest goes on"


def test_a_peer_that_fails_is_told_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, minibert=Pretended(1.0), explicit=Pretended(1.0, fails="explicit"), limit=Pretended(1.0))
    assert main(["dense", "--rounds", "1", "--peers", "explicit,limit"]) == 0
    out = capsys.readouterr().out
    assert "  explicit: failed: out of luck\n" in out
    assert "\n  limit " in out


def test_our_own_failure_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pretend(monkeypatch, minibert=Pretended(1.0, fails="minibert"), explicit=Pretended(1.0))
    assert main(["dense", "long", "--rounds", "1", "--peers", "explicit"]) == 2
    assert capsys.readouterr().err == (
        "minibert: dense: minibert failed: out of luck; long: minibert failed: out of luck\n"
    )


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pretend(monkeypatch, minibert=Pretended(1.0), limit=Pretended(1.0))
    monkeypatch.setattr("minibert.bench.peers.find_spec", lambda name: None if name == "openvino" else object())
    monkeypatch.setattr("minibert.bench.command.find_spec", lambda _: None)
    options = ["--rounds", "1", "--peers", "openvino,limit", "--plot", "x.png"]
    assert main(["dense", *options]) == 0
    out = capsys.readouterr().out
    assert "openvino is left out: openvino is not installed: pip install 'minibert-numpy[bench]'\n" in out
    assert "--plot: matplotlib is not installed; no chart is drawn; pip install 'minibert-numpy[bench]'\n" in out
    assert "\n  limit " in out


# ---- what cannot be


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sparse"], "unknown workload 'sparse'; expected one of dense, long, single, ragged, pretrain-step"),
        (["dense", "--peers", "jax"], "unknown peer 'jax'; expected one of torch-sdpa, torch-eager, onnxruntime"),
        (["dense", "--rounds", "0"], "argument --rounds: expected a number of at least 1, got '0'"),
        (["dense", "--json", "x.txt"], "x.txt must end in .json"),
        (["dense", "--plot", "x.txt"], "x.txt must end in .png or .svg or .pdf"),
        (["dense", "--json", "/no/where/x.json"], "cannot write /no/where/x.json: there is no folder /no/where"),
    ],
)
def test_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"minibert: {told}")
    assert err.count("\n") == 1


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "workloads" in lines
    assert any(line.split()[:2] == ["pretrain-step", "one"] for line in lines)
    assert any(line.split()[:1] == ["limit"] for line in lines)


def test_a_process_that_dies_says_why(tmp_path: Path) -> None:
    with pytest.raises(SideFailed, match="there is no folder") as caught:
        Process(Job("minibert", "single", "padded", "tiny", 1, str(tmp_path / "none")))
    assert caught.value.side == "minibert"


def test_peak_memory() -> None:
    before = memory.peak_mib()
    block = np.ones(2**24)  # 128 MiB, on top of whatever the peak was
    after = memory.peak_mib()
    assert memory.held_mib() >= block.nbytes / 2**20
    assert after >= before
    assert after >= memory.held_mib() - 1  # two readings, one after the other
