"""`minibert bench`: everything in order."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from minibert.bench import machine, peers, report, workloads
from minibert.bench.agreement import TOLERANCES, Disagreement, difference
from minibert.bench.artifacts import Artifacts
from minibert.bench.card import Card
from minibert.bench.card import card as find_card
from minibert.bench.cold import Cold
from minibert.bench.inputs import config_of
from minibert.bench.measure import interleave
from minibert.bench.peers import OURS, Contender
from minibert.bench.process import Process, SideFailed
from minibert.bench.products import gflop
from minibert.bench.report import Compared, Result
from minibert.bench.traffic import gigabytes
from minibert.bench.workloads import Workload
from minibert.checkpoint.hidden_folder import scratch_folder
from minibert.cli.printing import flush, print_text, visible
from minibert.install import install_extra
from minibert.paths import as_path

Say = Callable[[str], None]
BUSY = 0.5
"""Programs for each core, at the start, above which it is told that figures will be unsteady."""
PLOTS = (".png", ".svg", ".pdf")


def run(given: argparse.Namespace) -> None:
    """The command.

    Raises:
        ValueError: unknown names, a file that cannot be written; or, when all the rest is done and told, outputs that
            disagree or minibert failing.
    """
    if given.list:
        _write(listing())
        return
    on_cuda = given.device == "cuda"
    wanted = (workloads.on_cuda if on_cuda else workloads.chosen)(given.workload)
    against, card = peers.chosen(given.peers, given.device), find_card() if on_cuda else None
    json_file = _target(given.json, (".json",))
    plot_file = _target(given.plot, PLOTS)
    if plot_file is not None and find_spec("matplotlib") is None:
        _write(f"--plot: matplotlib is not installed; no chart is drawn; {install_extra('bench')}\n")
        plot_file = None
    threads = given.threads or machine.cores()
    about, settings = machine.describe(), {"threads": threads, "rounds": given.rounds, "model": given.model}
    if card is not None:
        settings["device"], about["card"] = "cuda", card.to_dict()
        _write(f"{card}\n")
        if card.emulated:  # a torch that sees a GPU would not be beside it
            against = [peer for peer in against if "torch" not in peer.needs]
    _write(f"{about['processor']}, {about['cores']} cores; ")
    _write(f"{threads} threads, {given.rounds} rounds, {given.model} model\n")
    if (about["load"] or 0.0) > BUSY * about["cores"]:
        _write(f"other programs are running (load {about['load']:.1f}): the figures will be unsteady\n")
    if card is not None and given.model == "tiny":
        wanted = [workloads.shortened(workload) for workload in wanted]
    present = _installed(against, wanted)
    results: list[Result] = []
    problems: list[str] = []
    with scratch_folder("bench") as folder:
        for workload in wanted:
            artifacts = Artifacts(folder, workloads.size_for(workload, given.model), threads, given.device)
            against_it = peers.contenders(workload, present)
            result = compare(workload, against_it, artifacts, given.rounds, problems, _progress, card)
            results.append(result)
            _progress("")
            _write("\n" + report.text(result))
            if json_file is not None:  # after each: an interruption loses only what is not measured yet
                report.write_json(json_file, report.as_json(results, about, settings))
    _write("\n" + report.overall(results))
    if plot_file is not None and any(result.our_turns() for result in results):
        from minibert.bench.plot import draw

        where = f"{threads} threads" if card is None else card.name
        draw(results, plot_file, f"minibert beside its peers: BERT-{given.model}, float32, {where}")
    if problems:
        raise ValueError("; ".join(problems))


def compare(
    workload: Workload,
    against: list[Contender],
    artifacts: Artifacts,
    rounds: int,
    problems: list[str],
    say: Say,
    card: Card | None = None,
) -> Result:
    """One workload beside each contender; what goes wrong is told in `problems` or, for a peer, in its row."""
    config = config_of(artifacts.size)
    tolerance, _ = TOLERANCES[workload.kind]
    result = Result(workload, gflop(workload, config), tolerance, card=card, gigabytes=gigabytes(workload, config))
    try:
        say(f"{workload.name}: {OURS} gets ready")
        with _start(OURS, workload, "padded", artifacts) as ours:
            expected = ours.outputs()
            for contender in against:
                result.compared.append(_beside(ours, expected, contender, result, artifacts, rounds, say))
                if "outputs disagree" in result.compared[-1].skipped:
                    problems.append(f"{workload.name}, {contender.label}: {result.compared[-1].skipped}")
            result.memory, result.blas = ours.memory(), ours.blas
    except SideFailed as error:
        problems.append(f"{workload.name}: {OURS} failed: {error}")
    return result


def _beside(
    ours: Any, expected: Any, contender: Contender, result: Result, artifacts: Artifacts, rounds: int, say: Say
) -> Compared:
    """One contender: its outputs, then its turns."""
    workload, made = result.workload, Compared(contender.label)
    say(f"{workload.name}: {contender.label} gets ready")
    try:
        with _start(contender.peer.name, workload, contender.form, artifacts) as theirs:
            outputs = theirs.outputs()
            if contender.peer.name != "limit":
                made.difference = difference(expected, outputs, result.tolerance)
            made.pairs = interleave(
                ours, theirs, rounds,
                on_round=lambda i: say(f"{workload.name}: {OURS} and {contender.label}, round {i} of {rounds}"),
            )  # fmt: skip
            made.memory, made.blas = theirs.memory(), theirs.blas
    except Disagreement as error:
        made.skipped = f"not timed, outputs disagree: {error}"
    except SideFailed as error:
        if error.side == OURS:
            raise
        made.skipped = f"failed: {error}"
    return made


def _start(side: str, workload: Workload, form: str, artifacts: Artifacts) -> Process | Cold:
    """A side, ready."""
    if workload.kind == "cold":
        return Cold(side, artifacts.checkpoint(workload), artifacts.threads)
    return Process(artifacts.job(side, workload, form))


def _installed(against: list[peers.Peer], wanted: list[Workload]) -> list[peers.Peer]:
    """The peers that are installed; one line about each other that would have had something to do."""
    present = []
    for peer in against:
        missing = peer.missing()
        if not missing:
            present.append(peer)
        elif any(workload.kind in peer.kinds for workload in wanted):
            _write(f"{peer.name} is left out: {', '.join(missing)} is not installed: {install_extra('bench')}\n")
    return present


def listing() -> str:
    """Workloads and peers, for --list."""
    rows = [(w.name, w.about + ("" if w.by_default else " (only when named)")) for w in workloads.WORKLOADS]
    others = []
    for peer in peers.PEERS:
        missing = peer.missing()
        others.append((peer.name, peer.about + (f" (not installed: {', '.join(missing)})" if missing else "")))
    width = max(len(name) for name, _ in rows + others)
    shown = [[f"  {name.ljust(width)}  {about}" for name, about in part] for part in (rows, others)]
    return "\n".join(["workloads", *shown[0], "peers", *shown[1]]) + "\n"


def _target(name: str | None, suffixes: tuple[str, ...]) -> Path | None:
    """The file to write, if it can be: found out before the work, not after it."""
    if name is None:
        return None
    path = as_path(name)
    if path.suffix not in suffixes:
        raise ValueError(f"{path} must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write {path}: it is a folder, or its folder may not be written to")
    return path


def _write(text: str) -> None:
    print_text(text)
    flush()


def _progress(text: str) -> None:
    """What is going on, on a line that is written over; nothing where nobody looks."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{visible(text)}")
        sys.stderr.flush()
