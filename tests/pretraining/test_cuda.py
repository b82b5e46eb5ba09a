"""Pretraining on a GPU, which here is the emulated one: as on the CPU, to rounding; at the same bits after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import BertForPreTraining, manual_seed
from minibert.cli import main
from minibert.kernels.cuda.emulator import no_synchronisation, why_not
from minibert.pretraining import curves, trainer
from minibert.pretraining.compute import Compute
from minibert.pretraining.data import PretrainingData
from minibert.pretraining.errors import DeviceError
from minibert.pretraining.evaluation import evaluate
from minibert.pretraining.feed import pieces
from minibert.pretraining.metrics import read_metrics
from minibert.pretraining.recipe import Recipe
from minibert.pretraining.recipe_file import write_recipe
from minibert.pretraining.state import RunError, newest, states
from minibert.pretraining.step import make_optimizer, take_step
from minibert.pretraining.training import pretrain, resume
from tests.pretraining import toy

STEPS = 8


@pytest.fixture(params=["emulator", pytest.param("gpu", marks=pytest.mark.gpu)])
def cuda(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """device="cuda" is the emulated one, or the real one."""
    if request.param == "emulator":
        if (reason := why_not()) is not None:
            pytest.skip(reason)
        monkeypatch.setenv("MINIBERT_CUDA", "emulator")
    return str(request.param)


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than the rest of a toy run."""
    monkeypatch.setattr(curves, "draw_curves", lambda run: True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.prepare(tmp_path_factory.mktemp("data"), documents=12)


def recipe(data: Path, **changes: Any) -> Recipe:
    """Dropout, two phases, accumulation; a rate at which eight steps are seen in the loss, and rounding is not."""
    values = {"schedule": {"steps": STEPS, "warmup": 2}, "log_every": 3, "save_every": 4, "evaluate_every": 0}
    return toy.recipe(data, data, **{**values, **changes})


def losses(run: Path) -> np.ndarray:
    """(lines, 4): mean losses of words and sentences, the norm of the gradients, the rate."""
    lines = [line for line in read_metrics(run / "metrics.jsonl") if "loss" in line]
    return np.array([[line[key] for key in ("mlm_loss", "nsp_loss", "grad_norm", "lr")] for line in lines])


def assert_same(run: Path, whole: Path) -> None:
    """Weights, moments, metrics: every bit."""
    for part in (f"state-{STEPS}", "model"):
        assert toy.weights(run / part) == toy.weights(whole / part)
    assert toy.timeless(run) == toy.timeless(whole)


class Killed(Exception):
    """What ends a life of the run here."""


def die_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter(range(step))

    def stepping(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return take_step(*arguments)

    monkeypatch.setattr(trainer, "take_step", stepping)


# ---- a run


def test_as_on_the_cpu_and_from_one_to_the_other(cuda: str, data: Path, tmp_path: Path, capsys: Any) -> None:
    runs = {}
    for place in ("cpu", "cuda"):
        runs[place] = tmp_path / place
        outcome = pretrain(recipe(data), runs[place], device=place, quiet=True)
        assert outcome.finished
        assert newest(runs[place]).facts["compute"] == {"device": place, "precision": "float32"}  # type: ignore[union-attr]
    expected = losses(runs["cpu"])
    assert len(expected) == 3
    # eight steps of some hundred roundings each, of which the optimiser divides by what is small
    np.testing.assert_allclose(losses(runs["cuda"]), expected, rtol=1e-4)
    ours, theirs = (list(read_metrics(run / "metrics.jsonl"))[-1]["evaluation"] for run in runs.values())
    assert ours["mlm_loss"] == pytest.approx(theirs["mlm_loss"], rel=1e-4)
    assert (ours["masked"], ours["examples"]) == (theirs["masked"], theirs["examples"])
    # back to the state in the middle, and on from there on the other device: a state does not know where it lies
    for place, other in (("cpu", "cuda"), ("cuda", "cpu")):
        run = runs[place]
        _forget(run, STEPS)
        assert main(["resume", str(run), "--device", other]) == 0
        told = capsys.readouterr().err
        assert f"on {other} in float32 from here on, on {place} in float32 before" in told
        np.testing.assert_allclose(losses(run), expected, rtol=1e-4)


def _forget(run: Path, step: int) -> None:
    """As if the run had been stopped before that state."""
    import shutil

    shutil.rmtree(run / f"state-{step}")
    shutil.rmtree(run / "model")


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_dying_and_going_on(
    cuda: str, precision: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed run goes on where it was, device and precision and scale of the loss, and ends at the same bits."""
    if precision == "bfloat16" and cuda == "gpu":
        pytest.skip("CuPy's own operations on bfloat16 are not complete")
    if precision == "float16":  # begun so high that steps are left out, before the first state and behind it
        monkeypatch.setattr("minibert.precision.LossScaler.__init__.__defaults__", (2.0**20, 3))
    with np.errstate(all="ignore"):  # infinities on the emulated GPU are NumPy's
        whole, run = tmp_path / "whole", tmp_path / "run"
        pretrain(recipe(data), whole, device="cuda", precision=precision, quiet=True)
        for life, last in enumerate((2, 5, None)):
            with monkeypatch.context() as patch:
                if last is not None:
                    die_after(last, patch)
                try:
                    if life == 0:
                        pretrain(recipe(data), run, device="cuda", precision=precision, quiet=True)
                    else:
                        resume(run, quiet=True)
                except Killed:
                    assert last is not None
    assert_same(run, whole)
    saved = newest(run)
    assert saved is not None
    assert saved.facts["compute"] == {"device": "cuda", "precision": precision}
    lines = [line for line in read_metrics(run / "metrics.jsonl") if "loss" in line]
    if precision == "float16":
        skipped = sum(line["skipped"] for line in lines)
        assert 0 < skipped < STEPS
        assert saved.facts["schedule"]["step_count"] == STEPS - skipped
        assert set(saved.facts["optimizer_steps"]) == {STEPS - skipped}
        assert saved.facts["loss_scale"]["number"] == lines[-1]["loss_scale"] < 2.0**20
    else:
        assert saved.facts["loss_scale"] is None
        assert "skipped" not in lines[0]
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_no_step_waits(cuda: str, data: Path) -> None:
    """Forward, backward, clipping, the update, in pieces and scaled: nobody looks at the device."""
    if cuda == "gpu":
        pytest.skip("on a GPU: see tests/kernels/cuda/test_gpu.py")
    made = recipe(data)
    source = PretrainingData(data, max_length=16, seed=0).epoch(0)
    for precision in ("float32", "float16", "bfloat16"):
        compute = Compute("cuda", precision)
        model = BertForPreTraining(made.config(len(toy.VOCAB))).to("cuda")
        optimizer, scheduler = make_optimizer(model, made)
        optimizer.loss_scaler, optimizer.scheduler = compute.scaler(), scheduler
        with no_synchronisation():
            taken = []
            for step in range(3):
                with compute.mixed():
                    batch = source.batch(8 * step, 8 * step + 8)
                    taken.append(take_step(model, optimizer, pieces(batch, 2 if step else 1)))
                scheduler.step()
        with no_synchronisation(), pytest.raises(RuntimeError, match="makes the CPU wait for the GPU"):
            taken[0].read()
        assert all(np.isfinite(step.read().loss) for step in taken)


def test_losses_are_read_when_they_are_wanted(
    cuda: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole run under the watch: between lines of metrics and states nobody waits."""
    if cuda == "gpu":
        pytest.skip("on a GPU: see tests/kernels/cuda/test_gpu.py")
    real, reads = trainer.Trainer._one_step, list[int]()

    def watched(self: Any, batch: Any) -> Any:
        with no_synchronisation():
            return real(self, batch)

    def reading(self: Any) -> Any:
        reads.append(self.step)
        return really(self)

    really = trainer.Trainer._read
    monkeypatch.setattr(trainer.Trainer, "_one_step", watched)
    monkeypatch.setattr(trainer.Trainer, "_read", reading)
    pretrain(recipe(data, log_every=6, save_every=4), tmp_path / "run", device="cuda", quiet=True)
    assert reads == [4, 6, 8]


def test_a_loss_that_is_no_number(cuda: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen when it is read; and the states are those before."""
    real = trainer.Trainer._one_step

    def spoilt(self: Any, batch: Any) -> Any:
        if self.step == 4:
            self.model.cls.predictions.decoder.bias.data[0] = np.nan
        return real(self, batch)

    monkeypatch.setattr(trainer.Trainer, "_one_step", spoilt)
    with pytest.raises(RunError, match="the loss of step 5 is nan: the run went astray before"):
        pretrain(recipe(data, log_every=50), tmp_path / "run", device="cuda", quiet=True)
    assert [step for step, _ in states(tmp_path / "run")] == [0, 4]


def test_a_kill_from_outside(cuda: str, data: Path, tmp_path: Path) -> None:
    """The commands as they are typed, ended by SIGKILL once a state is there; against the CPU's losses."""
    whole, run = tmp_path / "cpu", tmp_path / "run"
    pretrain(recipe(data), whole, quiet=True)
    expected = losses(whole)
    folder = tmp_path / "recipe"
    folder.mkdir()
    write_recipe(folder, recipe(data))
    command = [sys.executable, "-m", "minibert.cli", "pretrain", str(folder / "recipe.toml"), "--out", str(run)]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen([*command, "--device", "cuda", "--quiet"], cwd=root, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not (run / "state-4").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        _, told = process.communicate()
    assert (run / "state-4").exists(), told.decode()
    assert main(["resume", str(run), "--quiet"]) == 0
    np.testing.assert_allclose(losses(run), expected, rtol=1e-4)  # as above


# ---- evaluation


def test_evaluate(cuda: str, data: Path, tmp_path: Path, capsys: Any) -> None:
    manual_seed(3)
    model = BertForPreTraining(recipe(data).config(len(toy.VOCAB)))
    source = PretrainingData(data, max_length=32, seed=0)
    expected = evaluate(model, source, examples=20).to_dict()
    model.save_pretrained(tmp_path / "model")
    toy.tokenizer().save_pretrained(tmp_path / "model")
    words = ["evaluate", str(tmp_path / "model"), "--data", str(data), "--examples", "20", "--json"]
    assert main([*words, "--device", "cuda"]) == 0
    found = json.loads(capsys.readouterr().out)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name  # float32 sums in another order


# ---- what cannot be


def test_a_precision_is_for_cuda(data: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(DeviceError, match="precision float16 is for device cuda; on the CPU a run computes in float32"):
        pretrain(recipe(data), tmp_path / "run", precision="float16")
    with pytest.raises(DeviceError, match="must be one of float32, float16, bfloat16, got 'float8'"):
        pretrain(recipe(data), tmp_path / "run", device="cpu", precision="float8")
    assert not (tmp_path / "run").exists()
    assert Compute.chosen("cpu", "float32") == Compute.chosen(None, None) == Compute("cpu", "float32")


@pytest.mark.parametrize("command", ["pretrain", "resume", "evaluate"])
def test_without_cupy(command: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """One sentence, status 2, and nothing begun or changed."""
    monkeypatch.delenv("MINIBERT_CUDA", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    run = tmp_path / "run"
    words = {
        "pretrain": ["mini", "--data", str(data), "--out", str(run)],
        "resume": [str(run)],
        "evaluate": [str(run), "--data", str(data)],
    }
    if command == "resume":
        run.mkdir()
        write_recipe(run, recipe(data))
    before = sorted(tmp_path.rglob("*"))
    assert main([command, *words[command], "--device", "cuda"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "minibert: device 'cuda' needs CuPy: pip install 'minibert-numpy[cuda12]' (or [cuda13])\n"
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != ".lock"] == before


def test_a_run_from_a_gpu_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"device": "cuda", "precision": "float16"}
    monkeypatch.delenv("MINIBERT_CUDA", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="needs CuPy: .*; the run was there before, and --device cpu moves it"):
        Compute.chosen(None, None, before)
    here = Compute.chosen("cpu", None, before)
    assert here == Compute("cpu", "float32")
    assert here.moved(before) == (
        "on cpu in float32 from here on, on cuda in float16 before: the run will not end at the same bits as an "
        "undisturbed one"
    )
    assert Compute("cuda", "float16").moved(before) == ""
