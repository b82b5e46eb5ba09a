"""What reaches a terminal: columns that line up, and no character that could move its cursor or change its state."""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

import pytest

from minibert.cli import main
from minibert.cli.printing import Table, clip, print_facts, print_json, print_line, print_table, visible
from tests.cli.conftest import Run
from tests.pipelines import checkpoints

DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
HOSTILE = [
    c
    for c in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(c) in DIRECTIONS
]


def test_no_control_character_gets_through(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(HOSTILE)  # with spaces, so that no two surrogates make a pair
    print_line(text)
    print_table((text, "b"), [(text, 1)])
    print_facts([(text, text)])
    print_line(clip(text, 10**6))
    print_json({text.encode("utf-8", "replace").decode(): text})
    out = capsys.readouterr().out
    assert not set(HOSTILE) & set(out) - {"\n"}
    assert json.loads(out.splitlines()[-1])[text.encode("utf-8", "replace").decode()] == text


def test_letters_of_all_scripts_stay() -> None:
    for text in ("naïve café", "می‌خواهم", "क्‍ष", "👩‍🔬", "日本語", "a\u00a0b"):
        assert visible(text) == text


def test_columns_of_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [("日本", 1), ("e\u0301", 2), ("น้ำ", 3), ("a\u200db", 4)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["  a     b", "  日本  1", "  e\u0301     2", "  น้ำ    3", "  a\u200db    4"]
    assert clip("日本語" * 20, 9) == "日本語..."


def test_a_table_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(("n", "text"), right=(0,))
    table.add([(1, "a")])
    table.add([(100, "b")])
    table.add([(2, "c")])
    assert capsys.readouterr().out.splitlines() == ["  n  text", "  1  a", "  100  b", "    2  c"]


@pytest.mark.parametrize("json_lines", [False, True])
def test_tokens_and_labels_of_a_hostile_checkpoint(run: Run, tmp_path: Path, json_lines: bool) -> None:
    folder = checkpoints.write(tmp_path / "m\x1b[31m", "classes")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "\x1b]0;owned\x07", "1": "\u202e\x9b31m"}
    config.pop("label2id", None)
    (folder / "config.json").write_text(json.dumps(config))
    ran = run("classify", "-m", folder, "the \x9b31m cat\x1b[2J", *(["--json"] if json_lines else []))
    assert ran.status == 0
    assert not set(HOSTILE) & set(ran.out) - {"\n"}
    ran = run("info", folder, *(["--json"] if json_lines else []))
    assert not set(HOSTILE) & set(ran.out) - {"\n"}
    ran = run("info", str(folder) + "\u202e/none")
    assert ran.status == 2
    assert not set(HOSTILE) & set(ran.err) - {"\n"}


def test_a_long_message_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill-mask", "--top-k", "x" * 100_000, "a"]) == 2
    assert len(capsys.readouterr().err) < 5_000
