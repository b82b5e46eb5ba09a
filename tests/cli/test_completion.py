"""Completion scripts: bash's is run, all of them know what the parser knows."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from minibert.cli.arguments import make_parser
from tests.cli.conftest import Run


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this system")
def test_bash(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mini data").mkdir()
    (tmp_path / "mini.txt").touch()
    script = run("completion", "bash").out
    asked = {
        ("f",): {"fill-mask", "features"},
        ("",): {*make_parser()[1], "--help", "--version"},
        ("features", "--p"): {"--pool"},
        ("features", "--pool", ""): {"none", "cls", "mean"},
        ("features", "--pool", "=", "m"): {"mean"},
        ("features", "--json", "--dtype", "float6"): {"float64"},
        ("info", "mini"): {"minibert-mini-cased", "mini data"},
        ("estimate", "mini-"): {"mini-deeper", "mini-longer"},
        ("features", "--file", "mini"): {"mini data", "mini.txt"},
        ("pretrain", "mini", "--out", "mini"): {"mini data"},
        ("features", "--top", "x"): set(),
        ("completion", ""): {"bash", "zsh", "fish"},
    }
    ask = 'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _minibert; printf "%s\\n" "${COMPREPLY[@]}"; echo --; }\n'
    calls = "\n".join("ask minibert " + " ".join(f"'{word}'" for word in words) for words in asked)
    done = subprocess.run(
        ["bash", "--norc", "-c", script + ask + calls],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    answers = [set(part.strip("\n").split("\n")) - {""} for part in done.stdout.split("--\n")[:-1]]
    assert done.stderr == ""
    assert dict(zip(asked, answers, strict=True)) == asked


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_know_every_command_and_option(run: Run, shell: str) -> None:
    script = run("completion", shell).out
    for name, parser in make_parser()[1].items():
        assert name in script
        for action in parser._actions:
            for option in action.option_strings:
                dashes = {"--": "-l ", "-": "-s "}["--" if option.startswith("--") else "-"]
                assert (dashes + option.lstrip("-") if shell == "fish" else option) in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=60)
