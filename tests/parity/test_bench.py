"""The bench's peers do the same work as minibert: every workload, on a tiny model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import minibert
from minibert.bench import artifacts, main, peers, workloads
from minibert.bench.agreement import TOLERANCES, difference
from minibert.bench.sides import Job, library
from minibert.bench.workloads import Workload

torch = pytest.importorskip("torch", reason="needs torch, a peer (pip install 'minibert-numpy[oracle]')")
pytest.importorskip("transformers", reason="needs transformers, a peer")

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("bench")]

ENCODE = [workloads.by_name(name) for name in ("single", "ragged")]
TRAIN = [workloads.by_name(name) for name in ("pretrain-step", "mini-step", "finetune-step")]
ATTENTION = [workloads.by_name(f"attention-128-{phase}") for phase in ("forward", "backward")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints for each kind, and the graphs for onnxruntime."""
    top = tmp_path_factory.mktemp("bench")
    for kind, architecture in artifacts.ARCHITECTURES.items():
        artifacts.write_checkpoint(architecture, "tiny", top / kind)
    return top


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Sides set the number of threads; here they share a process with other tests."""
    before = torch.get_num_threads(), minibert.get_num_threads()
    yield
    torch.set_num_threads(before[0])
    minibert.set_num_threads(before[1])


def outputs(side: str, workload: Workload, folder: Path, form: str = "padded") -> dict[str, np.ndarray]:
    """What a side gives, and gives again after a run."""
    made = library(side).make(Job(side, workload.name, form, "tiny", 1, str(folder)))
    first = made.outputs()
    if workload.kind not in ("pretrain", "finetune"):  # whose weights have moved after a run
        made.prepare()
        made.run()
        again = made.outputs()
        assert all(np.array_equal(first[name], again[name]) for name in first)
    return dict(first)


@pytest.mark.parametrize("form", ["padded", "sorted"])
@pytest.mark.parametrize("side", ["torch-sdpa", "torch-eager"])
@pytest.mark.parametrize("workload", ENCODE, ids=lambda w: w.name)
def test_encoders(workload: Workload, side: str, form: str, folder: Path) -> None:
    expected = outputs("minibert", workload, folder / "encode")
    found = outputs(side, workload, folder / "encode", form)
    assert difference(expected, found, TOLERANCES["encode"][0]) > 0, "the same arrays?"


@pytest.mark.filterwarnings("ignore")  # torch's tracer warns of each Python condition in transformers' code
@pytest.mark.parametrize("side", ["onnxruntime", "openvino"])
def test_encoders_of_other_forms(side: str, folder: Path) -> None:
    (peer,) = peers.chosen([side])
    if missing := peer.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (pip install 'minibert-numpy[bench]')")
    write = {"onnxruntime": artifacts.write_onnx, "openvino": artifacts.write_openvino}[side]
    write(folder / "encode", folder / side)
    for workload in ENCODE:
        for form in ("padded", "sorted"):
            expected = outputs("minibert", workload, folder / "encode")
            assert difference(expected, outputs(side, workload, folder / side, form), TOLERANCES["encode"][0]) > 0


@pytest.mark.parametrize("side", ["torch-sdpa", "torch-eager", "explicit"])
@pytest.mark.parametrize("workload", TRAIN, ids=lambda w: w.name)
def test_training(workload: Workload, side: str, folder: Path) -> None:
    expected = outputs("minibert", workload, folder / workload.kind)
    assert len(expected) > 30, "a loss and every gradient"
    difference(expected, outputs(side, workload, folder / workload.kind), TOLERANCES[workload.kind][0])


@pytest.mark.parametrize("side", ["torch-sdpa", "torch-eager", "explicit"])
@pytest.mark.parametrize("workload", ATTENTION, ids=lambda w: w.name)
def test_attention(workload: Workload, side: str, folder: Path) -> None:
    expected = outputs("minibert", workload, folder)
    assert len(expected) == (4 if workload.phase == "backward" else 1)
    difference(expected, outputs(side, workload, folder), TOLERANCES["attention"][0])


def test_as_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["single", "--model", "tiny", "--rounds", "1", "--threads", "1", "--peers", "torch-sdpa"]) == 0
    assert "best peer: torch-sdpa, ratio " in capsys.readouterr().out
    assert "transformers" in sys.modules  # of this process, by the other tests; the sides had their own
