"""Whatever is wrong: one line on stderr that begins with "minibert: ", status 2, and nothing half-written."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minibert.cli import main
from tests.pipelines import checkpoints

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Runs a command that must fail properly; what its one line says."""

    def go(*arguments: object, stdin: bytes = b"") -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert status == 2
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("minibert: ")
        return err.removeprefix("minibert: ").rstrip()

    return go


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A good fill-mask checkpoint, to be broken."""
    return checkpoints.write(tmp_path / "model", "mlm")


def test_no_such_folder(refused: Refused, tmp_path: Path) -> None:
    assert "there is no folder" in refused("fill-mask", "--model", tmp_path / "none", "a [MASK]")
    assert "there is no folder" in refused("info", tmp_path / "none")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_file_is_missing(refused: Refused, broken: Path, name: str) -> None:
    (broken / name).unlink()
    (broken / "tokenizer.json").unlink()
    assert name in refused("fill-mask", "--model", broken, "a [MASK]")


def test_no_such_text_file(refused: Refused, broken: Path, tmp_path: Path) -> None:
    missing = tmp_path / "texts"
    assert refused("fill-mask", "--model", broken, "--file", missing) == f"{missing}: No such file or directory"


def test_half_a_safetensors_file(refused: Refused, broken: Path) -> None:
    path = broken / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for command in (["fill-mask", "a [MASK]", "--model", broken], ["info", broken]):
        assert str(path) in refused(*command)


def test_a_pickle_named_safetensors(refused: Refused, broken: Path) -> None:
    (broken / "model.safetensors").write_bytes(pickle.dumps({"a": np.zeros(3)}))
    assert "pickle" in refused("fill-mask", "--model", broken, "a [MASK]")


def test_wrong_shapes(refused: Refused, broken: Path) -> None:
    path = broken / "model.safetensors"
    tensors = load_file(path)
    name = "bert.embeddings.position_embeddings.weight"
    save_file({**tensors, name: tensors[name][:, :5].copy()}, path)
    told = refused("fill-mask", "--model", broken, "a [MASK]")
    assert name in told
    assert "(32, 5)" in told
    assert "(32, 12)" in told


def test_an_unknown_activation(refused: Refused, broken: Path) -> None:
    path = broken / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hidden_act": "swoosh"}))
    assert "unknown hidden_act 'swoosh'; expected one of gelu" in refused("fill-mask", "--model", broken, "a [MASK]")


def test_another_head(refused: Refused, broken: Path) -> None:
    assert "no weights for text-classification" in refused("classify", "--model", broken, "a")


def test_no_mask(refused: Refused, broken: Path) -> None:
    assert refused("fill-mask", "--model", broken, "a cat").startswith("No mask_token ([MASK]) found on the input")


def test_ten_thousand_tokens(refused: Refused, tiny_checkpoints: dict[str, Path]) -> None:
    told = refused("classify", "--model", tiny_checkpoints["classes"], "cat " * 10_000)
    assert told == "the text has 10002 tokens and the model takes 32; shorten it, or let it be cut with --truncate"
    assert "--stride N" in refused("tokens", "--model", tiny_checkpoints["tokens"], "cat " * 10_000)


def test_invalid_utf8(refused: Refused, broken: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts"
    file.write_bytes(b"\xff\xfea\x00")
    assert refused("fill-mask", "--model", broken, "--file", file).startswith(f"{file} is UTF-16; convert it first")
    assert "character 3 is not UTF-8" in refused("fill-mask", "--model", broken, "a \udce9 [MASK]")


def test_nothing_to_read(refused: Refused, broken: Path, tmp_path: Path) -> None:
    assert refused("fill-mask", "--model", broken).startswith("stdin is empty; expected texts, one a line")
    (tmp_path / "empty").touch()
    assert "is empty" in refused("fill-mask", "--model", broken, "--file", tmp_path / "empty")


def test_a_terminal_is_not_waited_for(
    broken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    assert main(["fill-mask", "--model", str(broken)]) == 2
    assert capsys.readouterr().err.startswith("minibert: there is no text: give it as an argument")


def test_unknown_words_of_command(refused: Refused, broken: Path) -> None:
    assert refused().startswith("which command? fill-mask, features, ")
    assert "invalid choice: 'fill-in'; did you mean fill-mask?" in refused("fill-in")
    assert "required: --model" in refused("classify", "a text")
    assert refused("fill-mask", "-m", broken, "--tokp=3", "a [MASK]") == (
        "unrecognized arguments: --tokp=3; did you mean --top-k?; see minibert fill-mask --help"
    )
    assert refused("--tokp").startswith("unrecognized arguments: --tokp; see minibert --help")
    assert "--top-k: expected a number of at least 1, got '0'" in refused("fill-mask", "-m", broken, "--top-k", 0, "a")
    assert "--top-k: expected a number of at least 1, got 'many'" in refused(
        "fill-mask", "-m", broken, "--top-k", "many", "a"
    )
    assert "invalid choice: 'float16'" in refused("fill-mask", "-m", broken, "--dtype", "float16", "a")
    assert "both as arguments and with --file" in refused("fill-mask", "-m", broken, "--file", "x", "a")
    assert "expected two arguments" in refused("next-sentence", "-m", broken, "only one")
    assert "expected two arguments" in refused("answer", "-m", broken, "only a question")
    assert "both with --context and" in refused("answer", "-m", broken, "--context", "a", "--context-file", "b", "c")
    assert "at least one target word" in refused("fill-mask", "-m", broken, "--targets", ",", "a [MASK]")


def test_an_unknown_model_offline(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = command("fill-mask", "--model", "nobody/nothing", "a [MASK]", env=environment)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"minibert: 'nobody/nothing' is neither a folder here nor in the hub's cache")
    assert done.stderr.count(b"\n") == 1


def test_output_that_cannot_be_written(
    refused: Refused, tiny_checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = ["features", "--model", tiny_checkpoints["encoder"], "a"]
    assert "there is no folder" in refused(*features, "--out", tmp_path / "none" / "x.npy")
    assert "must end in .npy" in refused(*features, "--out", tmp_path / "x.txt")
    (tmp_path / "x.npy").mkdir()
    assert "it is a folder" in refused(*features, "--out", tmp_path / "x.npy")
    file = tmp_path / "file"
    file.touch()
    assert "there is no folder" in refused(*features, "--out", file / "x.npy")
    told = refused("convert", tiny_checkpoints["encoder"], file / "model")
    assert str(file) in told
    old = tmp_path / "old.npy"
    old.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    assert refused(*features, "--out", old) == f"cannot write {old}: No space left on device"
    assert old.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "old.npy", "x.npy"]


def test_convert_leaves_nothing_behind(refused: Refused, broken: Path, tmp_path: Path) -> None:
    path = broken / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    refused("convert", broken, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_errors_that_nobody_foresaw(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("minibert.cli.files.info", fail)
    assert refused("info", "x") == "RuntimeError: two lines (not expected; --debug shows where)"
    with pytest.raises(RuntimeError):
        main(["info", "x", "--debug"])
    monkeypatch.setenv("MINIBERT_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        main(["info", "x"])


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("minibert.cli.files.info", interrupt)
    assert main(["info", "x"]) == 130
    assert capsys.readouterr().err == "minibert: interrupted\n"


# ---- as a process


def command(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "minibert.cli", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_the_reader_goes_away(tiny_checkpoints: dict[str, Path]) -> None:
    line = [sys.executable, "-m", "minibert.cli", "tokenize", "-m", str(tiny_checkpoints["mlm"])]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"the cat sat on the mat\n" * 3000)  # more than a pipe holds
        process.stdin.close()
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk(tiny_checkpoints: dict[str, Path]) -> None:
    line = [sys.executable, "-m", "minibert.cli", "tokenize", "-m", str(tiny_checkpoints["mlm"]), "a"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, b"minibert: cannot write to stdout: No space left on device\n")


def test_text_in_and_out_is_utf8_whatever_the_locale(tiny_checkpoints: dict[str, Path]) -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = command("tokenize", "-m", tiny_checkpoints["mlm"], "--json", input="caf\u00e9\n".encode(), env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["text"] == "caf\u00e9"


def test_help_is_light() -> None:
    """Help must not wait for NumPy: it is what people read first."""
    code = "import sys; from minibert.cli import main; main(['--help']); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("False\n")


@pytest.mark.parametrize(
    "name",
    [
        "fill-mask",
        "features",
        "next-sentence",
        "classify",
        "tokens",
        "answer",
        "tokenize",
        "convert",
        "average",
        "info",
        "bench",
    ],
)
def test_every_command_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"example:\n  minibert {name} " in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("minibert 0.")
