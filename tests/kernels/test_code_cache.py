"""The cache of compiled code in every state: the answer is that of a fresh compilation, and the cache mends itself."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import config

from minibert.kernels.cpu import cache_files, code_cache

SOURCE = """
from minibert.kernels.cpu.compiled import njit
from constants import FACTOR

@njit
def product(x):
    return x * FACTOR
"""


class Program:
    """A module with one compiled function, in a folder of its own, and the cache that it uses."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder / "program", folder / "cache"
        self.folder.mkdir()
        (self.folder / "module.py").write_text(SOURCE)
        self.update(3)

    def update(self, factor: int) -> None:
        """Another version of a file that the module's own does not show."""
        self.factor = factor
        (self.folder / "constants.py").write_text(f"FACTOR = {factor}")

    def load(self) -> Any:
        """The function, as a new process defines it."""
        code_cache._loaded.cache_clear()
        code_cache._generation.cache_clear()
        names = {"__name__": "module"}
        source = SOURCE.replace("from constants import FACTOR", (self.folder / "constants.py").read_text())
        exec(compile(source, str(self.folder / "module.py"), "exec"), names)
        return names["product"]

    def start(self, x: Any = 7) -> bool:
        """Run it as a new process does; whether the code came from the cache."""
        product = self.load()
        assert product(x) == x * self.factor
        return sum(product.stats.cache_hits.values()) == 1

    def files(self, ending: str = "") -> list[Path]:
        return sorted(p for p in self.cache.rglob(f"*{ending}") if not p.is_dir())

    @property
    def generation(self) -> Path:
        (found,) = [p for p in self.cache.rglob("minibert-program-*") if p.is_dir()]
        return found


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(code_cache, "places", lambda given, _: cache_files.places(given, tmp_path / "kernels"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / "kernels").touch()  # no folder: nothing can be written there
    yield Program(tmp_path)
    code_cache._loaded.cache_clear()
    code_cache._generation.cache_clear()


def test_the_second_start_finds_the_code_of_the_first(program: Program) -> None:
    assert not program.start()
    assert program.start()
    assert sorted(p.suffix for p in program.files()) == [".nbc", ".nbi"]
    assert not program.start(1.5), "code for integers"
    assert program.start(1.5)
    assert program.start()


def _each(change: Callable[[Path], None], *endings: str) -> Callable[[Program], None]:
    def damage(program: Program) -> None:
        for ending in endings:
            for file in program.files(ending):
                change(file)

    return damage


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def _in_a_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _behind_a_link(file: Path) -> None:
    shutil.move(file, file.with_suffix(".moved"))
    file.symlink_to(file.with_suffix(".moved"))


def _replaced_by(data: bytes) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(data)  # type: ignore[return-value]


def _code_of_another_key(program: Program) -> None:
    """Two signatures, each with the index of the other."""
    program.start(1.5)
    one, other = program.files(".nbi")
    swapped = one.read_bytes(), other.read_bytes()
    other.write_bytes(swapped[0])
    one.write_bytes(swapped[1])


DAMAGE: dict[str, Callable[[Program], None]] = {
    "index removed": _each(Path.unlink, ".nbi"),
    "code removed": _each(Path.unlink, ".nbc"),
    "index empty": _each(_replaced_by(b""), ".nbi"),
    "code empty": _each(_replaced_by(b""), ".nbc"),
    "index cut": _each(lambda p: os.truncate(p, p.stat().st_size - 5), ".nbi"),
    "code cut": _each(lambda p: os.truncate(p, p.stat().st_size // 2), ".nbc"),
    "bit of the index flipped": _each(_flip, ".nbi"),
    "bit of the code flipped": _each(_flip, ".nbc"),
    "garbage": _each(_replaced_by(bytes(range(256)) * 9), ".nbi", ".nbc"),
    "another format": _each(_replaced_by(pickle.dumps(("0.68.1", {}))), ".nbi", ".nbc"),
    "index in code": _each(_replaced_by(code_cache.FORMAT), ".nbi", ".nbc"),
    "indices exchanged": _code_of_another_key,
    "fifo": _each(_in_a_fifo, ".nbi", ".nbc"),
    "symbolic links": _each(_behind_a_link, ".nbi", ".nbc"),
    "files that the group may write": _each(lambda p: p.chmod(0o664), ".nbi", ".nbc"),
    "index that everyone may write": _each(lambda p: p.chmod(0o646), ".nbi"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_files_are_replaced(damage: Callable[[Program], None], program: Program) -> None:
    program.start()
    damage(program)
    assert not program.start(), "what was damaged was used"
    assert program.start(), "the cache was not mended"


def _open_folder(program: Program) -> None:
    program.generation.chmod(0o777)


def _file_instead(program: Program) -> None:
    folder = program.generation
    shutil.rmtree(folder)
    folder.touch()


def _link_instead(program: Program) -> None:
    folder = program.generation
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize("damage", [_open_folder, _file_instead, _link_instead])
def test_a_folder_that_cannot_be_trusted_is_not_read(
    damage: Callable[[Program], None], program: Program, tmp_path: Path
) -> None:
    program.start()
    damage(program)
    assert not program.start()
    assert program.start(), "the next place is the user's own folder"
    own = tmp_path / "home" / "minibert" / "kernels"
    assert own.stat().st_mode & 0o777 == 0o700
    assert {p.suffix for p in own.rglob("*.nb?")} == {".nbc", ".nbi"}


@pytest.mark.parametrize("level", ["files", "folder"])
def test_what_another_user_owns_is_not_read(level: str, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program.start()
    owned = program.files() if level == "files" else [program.generation]
    if os.geteuid() == 0:
        for path in owned:
            os.chown(path, 12345, 12345)
    else:  # the same the other way round: the user is another one
        monkeypatch.setattr(cache_files, "_user", lambda: 12345)
    assert not program.start()
    if os.geteuid() == 0:
        assert program.start(), "new files, or a folder elsewhere"


def test_no_space_on_the_disk(program: Program) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    product = program.load()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the next 100 bytes of a file fit, as on a disk nearly full
    try:
        assert product(7) == 21
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert program.files() == []
    assert not program.start()
    assert program.start()


def test_a_folder_that_cannot_be_made(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_cache, "places", lambda *_: [])
    assert not program.start()
    assert not program.start()


def test_an_update_of_another_file_of_the_folder(program: Program) -> None:
    program.start()
    program.update(5)
    assert not program.start()
    program.update(3)
    assert program.start(), "the older version has its own folder"


def test_code_of_an_update_that_comes_while_the_process_runs_is_not_kept(program: Program) -> None:
    product = program.load()
    program.update(5)
    assert product(7) == 21
    assert program.files() == []


def test_processes_that_compile_at_the_same_time(program: Program) -> None:
    one, other = program.load(), program.load()
    assert (one(7), other(1.5), one(1.5), other(7)) == (21, 4.5, 4.5, 21)
    assert program.start()
    assert program.start(1.5)


@pytest.mark.parametrize("setting", ["BOUNDSCHECK", "OPT", "ENABLE_AVX", "DEBUGINFO_DEFAULT"])
def test_settings_of_the_compiler_are_part_of_the_key(
    setting: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = program.load()
    key = product._cache._key((), product.targetctx)
    monkeypatch.setattr(config, setting, "another")
    assert product._cache._key((), product.targetctx) != key


def test_the_number_of_threads_is_not(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program.start()
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 77)
    assert program.start()


def test_a_numba_without_these_parts(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise ImportError("cannot import name 'dumps'")

    monkeypatch.setattr(code_cache, "_numba", missing)
    assert not program.start()
    assert program.files() == []


def test_a_function_without_sources(tmp_path: Path) -> None:
    from minibert.kernels.cpu.compiled import njit

    names: dict[str, Any] = {}
    exec(compile("def double(x): return x + x", str(tmp_path / "nowhere" / "gone.py"), "exec"), names)
    double = njit(names["double"])
    assert double(4) == 8
    assert double.stats.cache_path is None


def test_every_kernel_source_is_in_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = tmp_path / "cpu"
    shutil.copytree(code_cache.KERNELS, kernels, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_cache, "KERNELS", kernels)
    digests = {code_cache.sources_digest(kernels), code_cache.sources_digest(tmp_path)}
    sources = sorted(kernels.glob("*.py"))
    assert len(sources) > 30
    for source in sources:
        text = source.read_bytes()
        source.write_bytes(text.replace(b"e", b"f", 1))  # the same size, and maybe the same time
        digests.add(code_cache.sources_digest(kernels))
        source.write_bytes(text)
    assert len(digests) == 2 + len(sources)
    assert code_cache.sources_digest(kernels) in digests


def test_versions_are_in_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_cache.sources_digest(code_cache.KERNELS)
    monkeypatch.setattr(np, "__version__", "9.9")
    assert code_cache.sources_digest(code_cache.KERNELS) != before


REORDERED = """
import hashlib
import numpy as np
from minibert.kernels.cpu import add_layer_norm, layer_norm

draw = np.random.default_rng(0).standard_normal
x, residual, dy = (draw((280, 32)).astype(np.float32) for _ in range(3))
bias, gamma, beta = (draw(32).astype(np.float32) for _ in range(3))
options = {"eps": 1e-12, "p": 0.0, "key": None}
y, saved = add_layer_norm.add_layer_norm_forward(x, bias, residual, gamma, beta, **options)
gradients = add_layer_norm.add_layer_norm_backward(dy, saved, (True,) * 5, **options)
print(hashlib.sha256(b"".join(a.tobytes() for a in (y, *gradients))).hexdigest())
print(sum(sum(f.stats.cache_hits.values()) for f in (add_layer_norm._forward, add_layer_norm._backward)))
"""


def test_numbers_do_not_depend_on_where_the_code_comes_from(tmp_path: Path) -> None:
    """A called function whose sums may be reordered: compiled with its caller, and with its caller from the cache."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = [
        subprocess.run([sys.executable, "-c", REORDERED], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    (compiled, none), (loaded, both) = (done.stdout.split() for done in printed)
    assert (none, both) == ("0", "2")
    assert compiled == loaded
