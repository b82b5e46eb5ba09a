"""A checkpoint that is saved over while its process is killed is the old one or the new one, never a mixture.

    python -m tests.checkpoint.save_kills --kills 200

For each way to save over a checkpoint (one file or shards before, one file or shards after, another dtype with a
vocabulary) a child process begins the save and is killed (SIGKILL) behind its first, second, third ... change of the
folder, and the rest of the kills come at drawn instants. What is left is read as transformers reads it, and by
minibert; other files in the folder must be untouched. Then the next save must leave nothing but plain files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from minibert import BertConfig, BertModel, manual_seed
from minibert.checkpoint import convert, read_weights

CHANGES = ("replace", "rename", "link", "symlink", "unlink", "mkdir", "rmdir")
SHARDS = 5000
Content = tuple[Any, dict[str, bytes], dict[str, bytes]]


def model(seed: int, heads: int, act: str) -> BertModel:
    manual_seed(seed)
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32}
    return BertModel(BertConfig(**sizes, num_attention_heads=heads, hidden_act=act, max_position_embeddings=16))


def content(folder: Path) -> Content:
    """What another program reads: config.json, the tensors, and the vocabulary files."""
    config = json.loads((folder / "config.json").read_text())
    if (folder / "model.safetensors").exists():
        files = ["model.safetensors"]
    else:
        files = sorted(set(json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"].values()))
    tensors = {name: array.tobytes() for file in files for name, array in load_file(folder / file).items()}
    texts = {name: (folder / name).read_bytes() for name in ("vocab.txt", "tokenizer.json") if (folder / name).exists()}
    return config, tensors, texts


def ways(top: Path) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    """Name -> (the old checkpoint, what saves the new one over it)."""
    old, new = model(1, 2, "gelu"), model(2, 4, "relu")
    old.save_pretrained(top / "one")
    old.save_pretrained(top / "many", max_shard_size=SHARDS)
    for folder in (top / "one", top / "many"):
        (folder / "vocab.txt").write_text("old\n")
        (folder / "tokenizer.json").write_text("{}")
        (folder / "notes").mkdir()
        (folder / "notes" / "mine.txt").write_text("keep me")
        (folder / "other.bin").symlink_to("notes/mine.txt")
    new.save_pretrained(top / "source")
    (top / "source" / "vocab.txt").write_text("new\n")
    return {
        "one file -> one file": (top / "one", new.save_pretrained),
        "one file -> shards": (top / "one", lambda folder: new.save_pretrained(folder, max_shard_size=SHARDS)),
        "shards -> one file": (top / "many", new.save_pretrained),
        "shards -> other shards": (top / "many", lambda folder: new.save_pretrained(folder, max_shard_size=3000)),
        "convert, another dtype, vocabulary": (
            top / "one",
            lambda folder: convert(top / "source", folder, dtype="float64"),
        ),
    }


def saved_by_a_child(save: Callable[[Path], object], folder: Path, stop: int | None, seconds: float | None) -> bool:
    """Whether the child was killed: behind its `stop`-th change of the disk, or after so many seconds."""
    number = os.fork()
    if number == 0:
        if stop is not None:
            _kill_behind(stop)
        try:
            save(folder)
        finally:
            os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(number, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == -signal.SIGKILL


def _kill_behind(stop: int) -> None:
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            result = real(*arguments, **options)
            count += 1
            if count == stop:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return change

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))


def judge(folder: Path, before: Content, after: Content) -> str:
    found = content(folder)
    assert (folder / "other.bin").read_text() == "keep me"
    kind = "old" if found == before else "new" if found == after else "NEITHER"
    ours = read_weights(folder)
    if {name: np.asarray(ours[name]).tobytes() for name in ours} != found[1]:
        kind = "NEITHER"
    BertModel.from_pretrained(folder)
    return kind


def main() -> int:
    """Prints a table as JSON; the status is 0 if every folder was the old checkpoint or the new one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="minibert-save-kills-") as scratch:
        top = Path(scratch)
        table: dict[str, dict[str, int]] = {}
        every, finished = ways(top), set[str]()
        befores = {name: content(old) for name, (old, _) in every.items()}
        afters, lengths = {}, {}
        for name, (old, save) in every.items():
            shutil.copytree(old, top / "whole", symlinks=True)
            began = time.perf_counter()
            assert not saved_by_a_child(save, top / "whole", None, None)
            lengths[name] = time.perf_counter() - began
            afters[name] = content(top / "whole")
            shutil.rmtree(top / "whole")
            table[name] = {"kills": 0, "old": 0, "new": 0, "NEITHER": 0, "left behind": 0}
        kills = stop = 0
        while kills < given.kills:
            stop += 1
            for name, (old, save) in every.items():
                if kills == given.kills:
                    break
                folder = top / "folder"
                shutil.copytree(old, folder, symlinks=True)
                at_random = name in finished or len(finished) == len(every)
                seconds = draw.uniform(0.0, lengths[name]) if at_random else None
                killed = saved_by_a_child(save, folder, None if at_random else stop, seconds)
                if killed:
                    kills += 1
                    table[name]["kills"] += 1
                    table[name][judge(folder, befores[name], afters[name])] += 1
                    save(folder)
                    hidden = [path for path in folder.iterdir() if path.name.startswith(".")]
                    linked = [path for path in folder.iterdir() if path.is_symlink() and path.name != "other.bin"]
                    table[name]["left behind"] += len(hidden) + len(linked) + (content(folder) != afters[name])
                else:
                    finished.add(name)
                shutil.rmtree(folder)
    print(json.dumps(table, indent=1))
    return int(any(row["NEITHER"] or row["left behind"] for row in table.values()))


if __name__ == "__main__":
    sys.exit(main())
