"""The loop: steps and their pieces, the feed of examples, what a run leaves behind, what a person sees."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import BertConfig, BertForPreTraining, BertTokenizer, manual_seed, pipeline
from minibert.cli import main
from minibert.pretraining import curves, trainer
from minibert.pretraining.corpus import Corpus
from minibert.pretraining.errors import DataError
from minibert.pretraining.feed import Feed, Place, pieces, steps, take
from minibert.pretraining.metrics import read_metrics
from minibert.pretraining.pairs import SHORTEST
from minibert.pretraining.prepare import prepare_corpus
from minibert.pretraining.progress import Progress, duration
from minibert.pretraining.recipe import DataPart, Recipe, RecipeError
from minibert.pretraining.recipe_file import write_recipe
from minibert.pretraining.state import RunError, states
from minibert.pretraining.step import make_optimizer, take_step, training_step
from minibert.pretraining.training import open_data, pretrain, resume
from tests.pretraining import toy


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.prepare(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.prepare(tmp_path_factory.mktemp("held-out"), documents=6, seed=1)


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than the rest of a toy run."""
    monkeypatch.setattr(curves, "draw_curves", lambda run: True)


# ---- one step


def test_pieces_of_a_step_give_the_gradient_of_the_whole(data: Path) -> None:
    """Pieces have unequal numbers of masked words, which a plain mean of their losses would get wrong."""
    recipe = toy.recipe(data)
    batch, _ = take(open_data(str(data), recipe, recipe.phases[0]), Place(), 12)
    counts = [int((piece["labels"] >= 0).sum()) for piece in pieces(batch, 4)]
    assert len(set(counts)) > 1
    found = []
    for count in (1, 4):
        manual_seed(1)
        settings = {**recipe.model, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model = BertForPreTraining(BertConfig(vocab_size=len(toy.VOCAB), **settings)).to(dtype="float64")
        optimizer, scheduler = make_optimizer(model, recipe)
        for _ in range(3):
            losses = training_step(model, optimizer, pieces(batch, count))
            scheduler.step()
        found.append((losses, {name: p.numpy() for name, p in model.named_parameters()}))
    (whole, a), (in_pieces, b) = found
    assert in_pieces == pytest.approx(whole, rel=1e-9)  # float64; the parts of the loss are told apart in float64, too
    for name in a:
        # Adam divides by the gradient's size, so that rounding in a gradient near zero is as large as the step: 3e-3.
        np.testing.assert_allclose(a[name], b[name], atol=1e-7, err_msg=name)


def test_losses_are_told_apart(data: Path) -> None:
    recipe = toy.recipe(data)
    batch, _ = take(open_data(str(data), recipe, recipe.phases[0]), Place(), 8)
    model = BertForPreTraining(recipe.config(len(toy.VOCAB))).eval()
    words, sentences = dict(batch), dict(batch)
    del words["next_sentence_label"], sentences["labels"]
    expected = [float(model(**part).loss.numpy()) for part in (words, sentences)]
    losses = training_step(model, make_optimizer(model, recipe)[0], [batch])
    assert [losses.mlm, losses.nsp] == pytest.approx(expected, rel=1e-5)  # float32
    assert losses.loss == pytest.approx(sum(expected), rel=1e-5)
    assert losses.tokens == batch["attention_mask"].sum()


# ---- the feed


def test_the_feed_from_any_place_is_the_same(data: Path) -> None:
    recipe = toy.recipe(data, schedule={"steps": 60})
    opened = {phase.max_length: open_data(str(data), recipe, phase) for phase in recipe.phases}
    every = list(steps(recipe, lambda phase: opened[phase.max_length], 0, Place()))
    assert len(every) == 60
    epochs = [batch.after.epoch for batch in every]
    assert epochs[-1] > epochs[35] + 1 > 1, "several epochs in each phase"
    assert {batch.after.phase for batch in every[:36]} == {0}
    assert [len(batch.pieces) for batch in every] == [1] * 36 + [2] * 24
    for start in (0, 1, 17, 35, 36, 37, 59):
        place = every[start - 1].after if start else Place()
        fresh = {phase.max_length: open_data(str(data), recipe, phase) for phase in recipe.phases}
        feed = Feed(recipe, lambda phase, fresh=fresh: fresh[phase.max_length], step=start, place=place)
        rest = list(feed)
        feed.close()
        assert [batch.after for batch in rest] == [batch.after for batch in every[start:]]
        for a, b in zip(rest, every[start:], strict=True):
            for x, y in zip(a.pieces, b.pieces, strict=True):
                np.testing.assert_equal(x, y)


def test_a_batch_goes_on_with_the_next_epoch(data: Path) -> None:
    recipe = toy.recipe(data)
    source = open_data(str(data), recipe, recipe.phases[0])
    n = len(source.epoch(0))
    batch, place = take(source, Place(0, 0, n - 3), 8)
    assert place == Place(0, 1, 5)
    first, second = source.epoch(0).batch(n - 3, n), source.epoch(1).batch(0, 5)
    for name, array in batch.items():
        for part, rows in ((first, array[:3]), (second, array[3:])):
            given = part[name]
            np.testing.assert_array_equal(rows[:, : given.shape[1]] if given.ndim == 2 else rows, given)
    assert not batch["input_ids"][batch["attention_mask"] == 0].any()
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
    every = sum(len(source.epoch(number)) for number in range(3))
    huge, place = take(source, Place(), every + 2)
    assert len(huge["labels"]) == every + 2
    assert place == Place(0, 3, 2)


class Broken:
    """Data whose second batch cannot be read."""

    vocabulary_size, fingerprint = 10, ""

    def epoch(self, number: int) -> Broken:
        return self

    def __len__(self) -> int:
        return 100

    def batch(self, first: int, last: int) -> dict[str, np.ndarray]:
        if first:
            raise DataError("shard-00000.tokens: Input/output error")
        return {"input_ids": np.zeros((last, 3), np.int64)}


def test_what_goes_wrong_in_the_thread_is_told_where_the_batch_was_wanted(data: Path) -> None:
    feed = Feed(toy.recipe(data), lambda phase: Broken(), step=0, place=Place())
    next(feed)
    with pytest.raises(DataError, match="Input/output error"):
        next(feed)
    feed.close()


def test_a_feed_goes_on_in_a_forked_child(data: Path) -> None:
    code = f"""
import os, sys, signal, numpy as np
from minibert.pretraining.feed import Feed, Place, steps
from tests.pretraining import toy
from tests.pretraining.test_training import open_data
recipe = toy.recipe({str(data)!r})
source = lambda phase: open_data({str(data)!r}, recipe, phase)
expected = [batch.after for batch in steps(recipe, source, 0, Place())]
feed = Feed(recipe, source, step=0, place=Place())
got = [next(feed).after, next(feed).after]
child = os.fork()
signal.alarm(60 if child == 0 else 0)
got += [batch.after for batch in feed]
feed.close()
assert got == expected
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", code], check=True, timeout=300)


def test_an_interrupt_loses_no_batch(data: Path) -> None:
    """Also where the batch had been taken from the thread already."""
    recipe = toy.recipe(data)

    def source(phase: Any) -> Any:
        return open_data(str(data), recipe, phase)

    expected = [batch.after for batch in steps(recipe, source, 0, Place())]
    feed, got = Feed(recipe, source, step=0, place=Place()), []
    for _ in range(len(expected)):
        real, answers = feed._wanted, iter([True])

        class Interrupted:
            def put(self, value: bool, answers: Any = answers, real: Any = real) -> None:
                if next(answers, False):
                    raise KeyboardInterrupt
                real.put(value)

        feed._wanted = Interrupted()  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt):
            next(feed)
        got.append(next(feed).after)
    assert got == expected
    feed.close()


def test_a_feed_whose_thread_died_says_so(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Feed, "_work", lambda *given: None)
    feed = Feed(toy.recipe(data), lambda phase: Broken(), step=0, place=Place())
    with pytest.raises(RuntimeError, match="ended before the last"):
        next(feed)
    feed.close()


def test_an_exhausted_feed_stays_so(data: Path) -> None:
    recipe = toy.recipe(data)
    feed = Feed(recipe, lambda phase: Broken(), step=recipe.schedule.steps, place=Place())
    assert list(feed) == list(feed) == []
    feed.close()


def test_closing_a_feed_that_is_full_ends_its_thread(data: Path) -> None:
    recipe = toy.recipe(data)
    feed = Feed(recipe, lambda phase: open_data(str(data), recipe, phase), step=0, place=Place())
    next(feed)
    feed.close()
    assert not feed._thread.is_alive()


# ---- a whole run


@pytest.fixture(scope="module")
def run(data: Path, held_out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "toy"
    outcome = pretrain(toy.recipe(data, held_out), folder, quiet=True)
    assert (outcome.step, outcome.finished, outcome.signal) == (20, True, None)
    assert outcome.evaluation is not None
    return folder


def test_what_a_run_leaves(run: Path) -> None:
    assert [step for step, _ in states(run)] == [15, 20]
    assert {"recipe.toml", "metrics.jsonl", "curves.png", "model"} <= {path.name for path in run.iterdir()}
    assert not [path for path in run.iterdir() if path.name.endswith((".part", ".old"))]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    model = BertForPreTraining.from_pretrained(run / "model")
    assert model.config.vocab_size == len(toy.VOCAB)
    assert BertTokenizer.from_pretrained(run / "model").model_max_length == 32
    words = pipeline("fill-mask", run / "model")("the noun1 [MASK] a noun2.", top_k=3)
    assert len(words) == 3
    assert toy.weights(run / "state-20").startswith(toy.weights(run / "model")), "a state is a checkpoint, too"


def test_metrics(run: Path) -> None:
    lines = list(read_metrics(run / "metrics.jsonl"))
    training_lines = [line for line in lines if "loss" in line]
    assert [line["step"] for line in training_lines] == [4, 8, 12, 16, 20]
    assert [line["phase"] for line in training_lines] == [0, 0, 0, 1, 1]
    for line in training_lines:
        assert line["loss"] == pytest.approx(line["mlm_loss"] + line["nsp_loss"])
        assert line["grad_norm"] > 0
        assert line["tokens_per_second"] > 0
        assert line["data_seconds"] >= 0
    assert training_lines[0]["lr"] == pytest.approx(3e-3)  # of step 4, the first after a warm-up of 3
    assert training_lines[-1]["lr"] == pytest.approx(3e-3 / 17)
    assert [line["tokens"] for line in training_lines] == sorted(line["tokens"] for line in training_lines)
    evaluations = [line for line in lines if "evaluation" in line]
    assert [line["step"] for line in evaluations] == [7, 14, 20]
    assert evaluations[0]["evaluation"]["examples"] == 16
    assert evaluations[-1]["evaluation"]["examples"] > 16, "the last looks at all"


@pytest.mark.usefixtures("no_picture")
def test_a_run_learns_what_there_is_to_learn(data: Path, held_out: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"schedule": {"steps": 250, "warmup": 20}, "evaluate_every": 0, "save_every": 250}
    changes["phases"] = [{"share": 1.0, "max_length": 32, "batch_size": 16}]
    changes["optimizer"] = {"lr": 5e-3}
    changes["model"] = {**toy.recipe(data).model, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    outcome = pretrain(toy.recipe(data, held_out, **changes), tmp_path / "run", quiet=True)
    found = outcome.evaluation
    assert found is not None
    assert found.mlm_top1 > 1.5 * found.most_frequent_top1  # seen: 2.1 times, still climbing


def test_a_corpus_of_one_document(tmp_path: Path) -> None:
    alone = toy.prepare(tmp_path, documents=1)
    changes: dict[str, Any] = {"data": {"folder": str(alone), "held_out": str(alone), "next_sentence": False}}
    run = tmp_path / "run"
    outcome = pretrain(Recipe.from_dict({**toy.recipe(alone).to_dict(), **changes}), run, quiet=True)
    assert outcome.evaluation is not None
    assert outcome.evaluation.nsp_accuracy is None
    assert (run / "curves.png").exists()
    with pytest.raises(DataError, match="holds a single document"):
        pretrain(toy.recipe(alone), tmp_path / "other", quiet=True)


@pytest.mark.usefixtures("no_picture")
def test_the_same_run_again_is_the_same(run: Path, data: Path, held_out: Path, tmp_path: Path) -> None:
    pretrain(toy.recipe(data, held_out), tmp_path / "again", quiet=True)
    assert toy.weights(tmp_path / "again" / "state-20") == toy.weights(run / "state-20")
    assert toy.timeless(tmp_path / "again") == toy.timeless(run)
    pretrain(toy.recipe(data, held_out, seed=8), tmp_path / "other", quiet=True)
    assert toy.weights(tmp_path / "other" / "state-20") != toy.weights(run / "state-20")


@pytest.mark.usefixtures("no_picture")
def test_folders_relative_to_where_one_is(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    pretrain(toy.recipe(Path(data.name), Path(data.name)), tmp_path / "run", quiet=True)
    monkeypatch.chdir(tmp_path)
    assert resume(tmp_path / "run", quiet=True).finished


def test_a_folder_that_is_taken(run: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"holds a run already: go on with `minibert resume {run}`"):
        pretrain(toy.recipe(data), run, quiet=True)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        pretrain(toy.recipe(data), tmp_path, quiet=True)
    with pytest.raises(RunError, match="cannot begin a run in"):
        pretrain(toy.recipe(data), tmp_path / "note.txt" / "run", quiet=True)
    with pytest.raises(RecipeError, match="names no data"):
        pretrain(replace(toy.recipe(data), data=DataPart()), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_picture")
def test_held_out_text_of_another_vocabulary(data: Path, tmp_path: Path) -> None:
    """Of the same size, too: its tokens would be other words."""
    texts = toy.write_texts(tmp_path / "texts", 5, seed=0)
    other = BertTokenizer([*toy.SPECIAL, *reversed(toy.VOCAB[5:])], do_lower_case=True)
    prepare_corpus(Corpus([texts]), other, tmp_path / "other")
    with pytest.raises(RunError, match="was prepared with another vocabulary .*; prepare both with the same"):
        pretrain(toy.recipe(data, tmp_path / "other"), tmp_path / "run", quiet=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phases": [{"share": 1.0, "max_length": SHORTEST - 1, "batch_size": 4}]}, "max_length must lie between 8"),
        ({"model": {"type_vocab_size": 1}}, "type_vocab_size must be at least 2"),
        ({"optimizer": {"weight_decay": float("inf")}}, "weight_decay must be 0 or more, got inf"),
    ],
)
def test_what_a_run_would_stumble_over_is_refused_before(data: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        toy.recipe(data, **change)


def test_a_loss_that_is_no_number_stops_the_run(data: Path, tmp_path: Path) -> None:
    changes = {"optimizer": {"lr": 1e30, "max_grad_norm": 0.0}, "schedule": {"steps": 20, "warmup": 0}}
    with (
        np.errstate(all="ignore"),
        pytest.raises(RunError, match="the loss of step .* is (nan|inf): the run went astray"),
    ):
        pretrain(toy.recipe(data, **changes), tmp_path / "run", quiet=True)


# ---- asked to stop


def stop_at(step: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal comes in the middle of a step."""
    seen = iter(range(1, 1000))

    def stepping(*arguments: Any) -> Any:
        if next(seen) == step:
            signal.raise_signal(number)
        return take_step(*arguments)

    monkeypatch.setattr(trainer, "take_step", stepping)


@pytest.fixture
def settings(data: Path, held_out: Path, tmp_path: Path) -> list[str]:
    """A small recipe on the command line."""
    write_recipe(tmp_path, toy.recipe(data, held_out))
    values = {"schedule.steps": 10, "model.num_hidden_layers": 1, "save_every": 100}
    return [
        str(tmp_path / "recipe.toml"), "--held-out", str(held_out), "--out", str(tmp_path / "run"),
        *(word for key, value in values.items() for word in ("--set", f"{key}={value}")),
    ]  # fmt: skip


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_asked_to_stop_saves_first(
    number: int, status: int, settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run = tmp_path / "run"
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        stop_at(6, number, patch)
        assert main(["pretrain", *settings]) == status
    assert f"stopped after step 6; go on with `minibert resume {run}`" in capsys.readouterr().err
    assert [step for step, _ in states(run)] == [0, 6]
    assert signal.getsignal(number) == before
    assert main(["resume", str(run), "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["finished"]
    assert told["step"] == 10
    settings[settings.index(str(run))] = str(tmp_path / "whole")
    assert main(["pretrain", *settings, "--quiet"]) == 0
    assert 0 <= told["data_seconds"] < told["seconds"]
    printed = capsys.readouterr().out
    assert "held out: masked words, first" in printed
    assert "of it waiting for examples" in printed
    assert toy.weights(run / "model") == toy.weights(tmp_path / "whole" / "model")
    assert toy.timeless(run) == toy.timeless(tmp_path / "whole")
    assert main(["resume", str(run), "--quiet"]) == 0, "a run that is finished stays finished"


# ---- what a person sees


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal() -> None:
    out = Terminal()
    bar = Progress(20, 5, stream=out)
    bar.step(6.5, 12345.0)
    bar.say("step 6, held out: ...")
    bar.step(6.4, 12345.0)
    bar.close()
    assert "loss 6.400, 12,345 tokens/s" in out.getvalue()
    assert "7/20" in out.getvalue()
    assert "step 6, held out: ...\n" in out.getvalue()


def test_lines_elsewhere() -> None:
    out = io.StringIO()
    bar = Progress(2000, 5, stream=out)
    for _ in range(3):
        bar.step(6.5, 12345.0)
    bar.say("a word")
    bar.close()
    lines = out.getvalue().splitlines()
    assert len(lines) == 2, "a line at once, and then one each half minute"
    assert lines[0].startswith("step 6 of 2,000, loss 6.500, 12,345 tokens/s, ")
    assert lines[1] == "a word"
    quiet = Progress(20, 0, stream=out, quiet=True)
    quiet.step(1.0, 1.0)
    quiet.say("nothing")
    assert out.getvalue().splitlines() == lines


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (600, "10 min"), (12_000, "3 h 20 min"), (864_000, "10.0 days")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_resume_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no run: it has no recipe.toml"):
        resume(tmp_path)
