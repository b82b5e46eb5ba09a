"""Nothing lost: kills, full disks, damaged files, and recipes or data that are not those of the run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minibert.cli import main
from minibert.json_file import seal
from minibert.pretraining import curves, trainer
from minibert.pretraining import state as saving
from minibert.pretraining.errors import DataError
from minibert.pretraining.metrics import Metrics, read_metrics
from minibert.pretraining.recipe import RecipeError
from minibert.pretraining.state import RunError, newest, only_here, states
from minibert.pretraining.step import take_step
from minibert.pretraining.training import pretrain, resume
from tests.pretraining import toy

KILLS = os.environ.get("MINIBERT_KILLS", "10")
"""`make kills` says 100."""


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than the rest of a toy run."""
    monkeypatch.setattr(curves, "draw_curves", lambda run: True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.prepare(tmp_path_factory.mktemp("data"), documents=12)


class Killed(Exception):
    """What ends a life of the run here."""


def die_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next life ends in the step after so many."""
    left = iter(range(step))

    def stepping(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return take_step(*arguments)

    monkeypatch.setattr(trainer, "take_step", stepping)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "draw_curves", lambda run: True)
        pretrain(toy.recipe(data, data), run, quiet=True)
    return run


@pytest.fixture
def half(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that ended in its thirteenth step, with states 5 and 10."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        die_after(12, patch)
        with pytest.raises(Killed):
            pretrain(toy.recipe(data, data), run, quiet=True)
    assert [step for step, _ in states(run)] == [5, 10]
    return run


def assert_same(run: Path, whole: Path) -> None:
    """Weights, moments, metrics."""
    assert toy.weights(run / "state-20") == toy.weights(whole / "state-20")
    assert toy.weights(run / "model") == toy.weights(whole / "model")
    assert toy.timeless(run) == toy.timeless(whole)


# ---- bit for bit


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills are of forked processes; there is no fork here")
def test_kills_at_random_instants() -> None:
    command = [sys.executable, "-m", "tests.pretraining.kills", "--kills", KILLS]
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] == int(KILLS)
    assert told["different"] == 0
    assert told["runs"] >= 1


def test_dying_in_every_step(data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each life does one step more than it takes to the next state: dropout, phases, windows of metrics all go on."""
    run, lives = tmp_path / "run", 0
    recipe = toy.recipe(data, data)
    while not (run / "model").exists():
        with monkeypatch.context() as patch:
            die_after(6, patch)
            try:
                pretrain(recipe, run, quiet=True) if lives == 0 else resume(run, quiet=True)
            except Killed:
                lives += 1
    assert lives == 3
    assert_same(run, whole)


def test_a_run_without_a_state_begins_again(data: Path, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(whole / "recipe.toml", run)  # killed right after it was written
    (run / "metrics.jsonl").write_text('{"step": 3, "lo')
    resume(run, quiet=True)
    assert_same(run, whole)


def test_what_kills_leave_behind_is_cleared(half: Path, whole: Path) -> None:
    for leftover in (".state-15.0123abcd.part", ".state-5.0123abcd.old", ".model.0123abcd.part"):
        shutil.copytree(half / "state-10", half / leftover)
    (half / ".metrics.jsonl.0123abcd.part").write_text("{}\n")
    shutil.rmtree(half / "state-5")  # killed while it was taken away
    with (half / "metrics.jsonl").open("a") as file:
        file.write('{"step": 13, "lr": 0.0')
    resume(half, quiet=True)
    assert not [path for path in half.iterdir() if path.name.endswith((".part", ".old"))]
    assert_same(half, whole)


def test_metrics_behind_the_state_are_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}}}\n' for step in (5, 10, 10, 15)) + '{"step"')
    metrics = Metrics(path, step=10)
    metrics.write({"step": 12})
    metrics.close()
    assert [line["step"] for line in read_metrics(path)] == [5, 10, 10, 12]


def test_as_many_states_are_kept_as_wanted(data: Path, tmp_path: Path) -> None:
    pretrain(toy.recipe(data, keep=4), tmp_path / "run", quiet=True)
    assert [step for step, _ in states(tmp_path / "run")] == [5, 10, 15, 20]


# ---- what goes wrong: a clear error, and the states as they were


def refused(run: Path, message: str, error: type[ValueError] = RunError) -> None:
    """Going on is refused with this message, twice, and no state is touched."""
    before = toy.contents(run)
    for _ in range(2):
        with pytest.raises(error, match=message):
            resume(run, quiet=True)
        assert toy.contents(run) == before


def edit(run: Path, change: Callable[[str], str]) -> None:
    file = run / "recipe.toml"
    file.write_text(change(file.read_text()))


@pytest.mark.parametrize("where", ["fsync", "mkdir", "rename", "write"])
def test_a_full_disk(where: str, half: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if where == "fsync":  # the fifth: in the middle of a state
            real, left = os.fsync, iter(range(5))
            patch.setattr(os, "fsync", lambda n: full() if next(left, None) is None else real(n))
        elif where == "mkdir":
            patch.setattr(saving, "new_folder", full)
        elif where == "rename":
            replace = os.replace
            patch.setattr(os, "replace", lambda a, b: full() if Path(b).name.startswith("state-") else replace(a, b))
        else:
            patch.setattr(saving, "write_safetensors", full)
        refused(half, "cannot (save step 15 to|write) .*No space left on device")
    assert not list(half.glob(".state-*")), "nothing half written is left to fill the disk"
    resume(half, quiet=True)
    assert_same(half, whole)


def test_a_full_disk_names_the_last_good_state(half: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def full(*arguments: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(saving, "write_safetensors", full)
    assert main(["resume", str(half), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("the last good state is state-10")


def test_metrics_that_cannot_be_written(half: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Metrics, line: dict[str, Any]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Metrics, "write", full)
        refused(half, "cannot write .*metrics.jsonl: No space left on device")
    resume(half, quiet=True)
    assert_same(half, whole)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_metrics_on_a_full_disk(half: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is tried again when the file is closed: the error must still name the file."""
    real = Metrics.__init__

    def on_a_full_disk(self: Metrics, path: Path, *, step: int) -> None:
        real(self, path, step=step)
        self._file.close()
        self._file = open("/dev/full", "a", encoding="utf-8")  # noqa: SIM115

    with monkeypatch.context() as patch:
        patch.setattr(Metrics, "__init__", on_a_full_disk)
        refused(half, "cannot write .*metrics.jsonl: No space left on device")
    resume(half, quiet=True)
    assert_same(half, whole)


@pytest.mark.parametrize("line", ["5", "{}", '[{"step": 1}]', "garbage"])
def test_lines_that_are_no_metrics(line: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n')
    Metrics(path, step=1).close()
    assert path.read_text() == '{"step": 1}\n'


def test_another_recipe(half: Path, whole: Path) -> None:
    before = (half / "recipe.toml").read_text()
    edit(half, lambda text: text.replace("lr = 0.003", "lr = 0.001"))
    refused(half, "recipe.toml disagrees with state-10: optimizer.lr is 0.001, was 0.003; put it back, or begin a new")
    edit(half, lambda text: text.replace("steps = 20", "steps = 40"))
    refused(half, "optimizer.lr is 0.001, was 0.003; schedule.steps is 40, was 20")
    edit(half, lambda text: text + "\n[nonsense]\n")
    refused(half, "unknown key nonsense", RecipeError)
    rarer = before.replace("save_every = 5", "save_every = 4").replace("keep = 2", "keep = 9")
    (half / "recipe.toml").write_text(rarer)
    resume(half, quiet=True)  # how often is saved changes nothing in the outcome
    assert_same(half, whole)


def test_keys_that_came_later_do_not_stop_an_older_run(half: Path, whole: Path) -> None:
    file = half / "state-10" / "state.json"
    facts = json.loads(file.read_text())
    facts["format"] = 1  # as they were before state.json had a digest of its own
    del facts["digest"]
    del facts["recipe"]["evaluate_examples"], facts["recipe"]["start"]
    file.write_text(json.dumps(facts))
    with pytest.raises(RunError, match="evaluate_examples is 16, was 512"):
        resume(half, quiet=True)
    facts["recipe"]["evaluate_examples"] = 16
    file.write_text(json.dumps(facts))
    resume(half, quiet=True)
    assert_same(half, whole)


def test_a_truncated_shard(data: Path, half: Path, whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    shard = copy / "shard-00000.tokens"
    content = shard.read_bytes()
    shard.write_bytes(content[:-2])
    before = toy.contents(half)
    for damage in (content[:-2], bytes([content[0] ^ 1]) + content[1:]):
        shard.write_bytes(damage)
        with pytest.raises(DataError, match="shard-00000.tokens"):
            resume(half, data=str(copy), quiet=True)
        assert toy.contents(half) == before
    shard.write_bytes(content)
    resume(half, data=str(copy), quiet=True)  # mended, and elsewhere than before
    assert_same(half, whole)


def test_other_data(half: Path, tmp_path: Path) -> None:
    other = toy.prepare(tmp_path / "other", documents=12, seed=5)
    before = toy.contents(half)
    with pytest.raises(RunError, match="is not what .*state-10 was trained on: its fingerprint is"):
        resume(half, data=str(other), quiet=True)
    assert toy.contents(half) == before


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "vocab.txt", "state.json"])
def test_a_damaged_state(name: str, half: Path, whole: Path) -> None:
    file = half / "state-10" / name
    file.write_bytes(file.read_bytes()[:-9])
    refused(half, "state-10 is damaged: .*; remove it to go on from state-5")
    shutil.rmtree(half / "state-10")
    resume(half, quiet=True)
    assert_same(half, whole)


@pytest.mark.parametrize(
    ("text", "told"),
    [("[]", "holds a JSON list"), ("{}", "not what was written"), ('{"format": 1, "step": 10}', "lacks data, ")],
)
def test_a_state_that_does_not_tell_all(text: str, told: str, half: Path) -> None:
    (half / "state-10" / "state.json").write_text(text)
    refused(half, f"state-10 is damaged: .*state.json (is )?{told}.*; remove it to go on from state-5")


def _digit(folder: Path) -> None:
    file = folder / "state.json"
    text = file.read_text()
    at = text.index('"tokens": ') + len('"tokens": ')
    file.write_text(text[:at] + str((int(text[at]) + 1) % 9 + 1) + text[at + 1 :])


def _swap(name: str) -> Callable[[Path], object]:
    return lambda folder: shutil.copy(folder.with_name("state-5") / name, folder / name)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a digit": (_digit, "state.json is not what was written"),
    "state.json of another state": (_swap("state.json"), "state.json is of step 5: was the folder renamed"),
    "weights of another state": (_swap("model.safetensors"), "model.safetensors is not what was written"),
    "a file more": (lambda folder: (folder / "more.json").write_text("{}"), "more.json does not belong to it"),
    "a file less": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "a pipe": (
        lambda folder: ((folder / "vocab.txt").unlink(), os.mkfifo(folder / "vocab.txt")),
        "vocab.txt is not what was written",
    ),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_whatever_is_damaged_is_refused(half: Path, whole: Path, tmp_path: Path) -> None:
    for change, told in DAMAGE.values():
        run = tmp_path / "copy"
        shutil.copytree(half, run)
        change(run / "state-10")
        with pytest.raises(RunError, match=f"state-10 is damaged: {told}.*; remove it to go on from state-5, which is"):
            resume(run, quiet=True)
        shutil.rmtree(run)
    (half / "state-10").rename(half / "state-12")
    with pytest.raises(RunError, match=r"state-12 is damaged: state.json is of step 10: was the folder renamed"):
        resume(half, quiet=True)
    (half / "state-12").rename(half / "state-10")
    resume(half, quiet=True)
    assert_same(half, whole)


def test_which_earlier_state_is_sound(half: Path) -> None:
    shutil.copytree(half / "state-10", half / "state-11")
    _digit(half / "state-10")
    told = "state-11 is damaged: .* step 10.*; remove state-10 and state-11 to go on from state-5, which is sound"
    with pytest.raises(RunError, match=told):
        newest(half)
    _digit(half / "state-5")
    with pytest.raises(RunError, match="; no earlier state is sound"):
        newest(half)


def test_a_state_without_a_digest_of_its_own_goes_on(half: Path, whole: Path) -> None:
    """As earlier versions wrote it."""
    file = half / "state-10" / "state.json"
    facts = json.loads(file.read_text())
    del facts["digest"]
    file.write_text(json.dumps(facts))
    refused(half, "state-10 is damaged: state.json lacks its digest")
    file.write_text(json.dumps({**facts, "format": 1, "place": {"nowhere": 1}}))
    refused(half, "state-10 is damaged")
    file.write_text(json.dumps({**facts, "format": 1}))
    resume(half, quiet=True)
    assert_same(half, whole)


def test_a_damaged_line_of_metrics_is_told_and_the_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo\n{"step": "3"}\n{"step": 4, "loss": 1.5}\n{"step": 5')
    with pytest.warns(UserWarning, match=r"metrics.jsonl: line [23] is damaged and is skipped") as told:
        lines = list(read_metrics(path))
    assert [line["step"] for line in lines] == [1, 4]
    assert len(told) == 2


def test_a_state_of_a_later_format(half: Path) -> None:
    file = half / "state-10" / "state.json"
    facts = json.loads(file.read_text())
    del facts["digest"]
    file.write_text(json.dumps(seal({**facts, "format": 9})))
    refused(half, "was saved in format 9, and this minibert reads 1 and 2")


def test_two_processes_on_one_run(half: Path) -> None:
    with only_here(half):
        refused(half, "another process is at work on")
    assert newest(half) is not None
