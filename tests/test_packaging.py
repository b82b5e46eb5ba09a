"""What is built and installed: `kernels/` of the checkout is `minibert.kernels`, and no top-level `kernels`.

Hugging Face publishes a package named `kernels`, which transformers looks for by name. An installed minibert
must neither overwrite nor hide it, and our folder must not be taken for it when Python runs from the checkout
root.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytest.importorskip("hatchling", reason="hatchling is not installed: pip install 'minibert[test]'")
if not (ROOT / "kernels").is_dir():
    pytest.skip(
        "the checkout's kernels/ folder is not here (a source distribution?)", allow_module_level=True
    )

# One scope for the slow fixtures, and one worker for the file: the wheel is built once.
pytestmark = pytest.mark.xdist_group("packaging")

PROBES = {"cpu/__init__.py": "", "cpu/probe.py": "ANSWER = 42\n", "cuda/probe.cu": "// a kernel\n"}


def run(*command: str, cwd: Path, fails: bool = False, path: Path | None = None) -> str:
    """Run a command and give what it printed; `path` is put on PYTHONPATH in place of what was there."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + (done.stderr if fails else "")


def build(tree: Path, target: str, into: Path) -> Path:
    """Build one distribution of the tree with its own build backend, without a network; its path."""
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into), cwd=tree)
    (built,) = into.iterdir()
    return built


def install(what: Path, into: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    run(*pip, "--no-index", "--target", str(into), str(what), cwd=into.parent)
    return into


def copy_checkout(into: Path) -> Path:
    """The checkout's own files, and a kernel of each kind, so that the test does not depend on today's."""
    into.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__", ".*cache")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy2(ROOT / name, into / name)
    for name in ("minibert", "kernels"):
        shutil.copytree(ROOT / name, into / name, symlinks=True, ignore=ignore)
    for name, text in PROBES.items():
        (into / "kernels" / name).parent.mkdir(exist_ok=True)
        (into / "kernels" / name).write_text(text)
    return into


def without_link(tree: Path) -> Path:
    """What Git makes of a symbolic link where there are none: a text file that holds the target."""
    (tree / "minibert" / "kernels").unlink()
    (tree / "minibert" / "kernels").write_text("../kernels")
    return tree


def expected_files(tree: Path) -> set[str]:
    package = {
        str(Path("minibert", path)) for path in files_below(tree / "minibert") if path.parts[0] != "kernels"
    }
    return package | {str(Path("minibert/kernels", path)) for path in files_below(tree / "kernels")}


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("checkout") / "minibert")


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed in it, as pip does it."""
    return install(wheel, tmp_path_factory.mktemp("installed") / "site")


def in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names)), "a file is in the wheel twice"
    return {name for name in names if ".dist-info/" not in name}


def test_wheel_holds_the_package_and_its_kernels(tree: Path, wheel: Path) -> None:
    names = in_wheel(wheel)
    assert names == expected_files(tree)
    assert {"minibert/py.typed", "minibert/kernels/cuda/probe.cu", "minibert/kernels/cpu/probe.py"} <= names


def test_wheel_is_the_same_without_symbolic_links(wheel: Path, tmp_path: Path) -> None:
    linkless = without_link(copy_checkout(tmp_path / "minibert"))
    assert in_wheel(build(linkless, "wheel", tmp_path / "wheel")) == in_wheel(wheel)


def test_sdist_and_the_wheel_built_from_it(tree: Path, wheel: Path, tmp_path: Path) -> None:
    sdist = build(tree, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert not [member.name for member in members if member.issym() or member.islnk()]
    assert not (unpacked / "kernels").exists()
    assert (unpacked / "minibert" / "kernels" / "cuda" / "probe.cu").is_file()
    assert in_wheel(build(unpacked, "wheel", tmp_path / "wheel")) == in_wheel(wheel)


# Runs a tiny model from wherever minibert is found, and says where that was.
TINY = """
import json, sys
import numpy, minibert, minibert.kernels.cpu.probe as probe
config = minibert.BertConfig(vocab_size=31, hidden_size=6, num_hidden_layers=1, num_attention_heads=2,
                             intermediate_size=7, max_position_embeddings=9)
out = minibert.BertModel(config)(numpy.array([[1, 2, 3]]))
print(json.dumps([minibert.__file__, probe.__file__, out.last_hidden_state.shape]))
"""


def test_plain_install_works_away_from_the_checkout(site: Path, tmp_path: Path) -> None:
    package, probe, shape = json.loads(run(sys.executable, "-c", TINY, cwd=tmp_path, path=site))
    assert Path(package) == site / "minibert" / "__init__.py"
    assert Path(probe) == site / "minibert" / "kernels" / "cpu" / "probe.py"
    assert shape == [1, 3, 6]
    assert not (site / "kernels").exists()


def test_console_script(site: Path, tmp_path: Path) -> None:
    help_text = run(sys.executable, str(site / "bin" / "minibert"), "--help", cwd=tmp_path, path=site)
    assert "fill-mask" in help_text


def test_editable_install_works(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("editables", reason="editables is not installed: pip install 'minibert[test]'")
    editable = build(tree, "wheel:editable", tmp_path / "wheel")
    site = install(editable, tmp_path / "site")
    code = (
        f"import site; site.addsitedir({str(site)!r}); import sys; sys.path.insert(0, sys.path.pop())\n{TINY}"
    )
    package, probe, _ = json.loads(run(sys.executable, "-c", code, cwd=tmp_path))
    assert Path(package) == tree / "minibert" / "__init__.py"
    assert Path(probe).resolve() == tree / "kernels" / "cpu" / "probe.py"


def test_editable_install_without_symbolic_links_says_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("editables", reason="editables is not installed: pip install 'minibert[test]'")
    linkless = without_link(copy_checkout(tmp_path / "minibert"))
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel:editable",
        "-d",
        str(tmp_path / "wheel"),
    ]
    assert "git config core.symlinks true" in run(*command, cwd=linkless, fails=True)


# ---- the name `kernels` ---------------------------------------------------------------------------------


def stand_in(site: Path) -> None:
    """A package called kernels with metadata, as Hugging Face's is, but without a network."""
    (site / "kernels").mkdir(parents=True)
    (site / "kernels" / "__init__.py").write_text("__version__ = '0.99'\n")
    information = site / "kernels-0.99.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: kernels\nVersion: 0.99\n")


def the_real_one(site: Path) -> None:
    """Hugging Face's own package, without its dependencies: it is looked for here, not used."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    command = [*pip, "--only-binary", ":all:", "--target", str(site), "kernels"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        pytest.skip(f"Hugging Face's kernels package could not be downloaded: {last}")


WHERE = """
import importlib.metadata, importlib.util, json
import minibert.kernels.cpu.probe as probe
spec = importlib.util.find_spec("kernels")
print(json.dumps([probe.ANSWER, probe.__file__, spec.origin, importlib.metadata.version("kernels")]))
"""


@pytest.mark.parametrize("put", [stand_in, the_real_one])
def test_installed_beside_the_other_package_of_that_name(
    put: object, wheel: Path, tree: Path, tmp_path: Path
) -> None:
    assert callable(put)
    site = tmp_path / "site"
    put(site)
    before = {path: (site / path).read_bytes() for path in files_below(site)}
    install(wheel, site)
    assert {path: (site / path).read_bytes() for path in before} == before, (
        "a file of the other package changed"
    )
    # From the checkout root too, where Python finds our folder first: a namespace gives way to a real package.
    for cwd in (tmp_path, tree):
        answer, probe, other, _ = json.loads(run(sys.executable, "-c", WHERE, cwd=cwd, path=site))
        assert answer == 42
        assert "minibert" in Path(probe).parts
        assert Path(other) == site / "kernels" / "__init__.py"


def test_our_folder_is_a_namespace_at_the_checkout_root() -> None:
    """What transformers' probe makes of our folder: no origin, no version, hence not installed."""
    assert not (ROOT / "kernels" / "__init__.py").exists(), (
        "kernels/ must have no __init__.py, or it hides Hugging Face's kernels package from whoever runs "
        "Python at the checkout root; kernels/README.md says more"
    )
    if importlib.util.find_spec("kernels") is None:
        code = "import sys, importlib.util as i; sys.path.insert(0, ''); print(i.find_spec('kernels').origin)"
        assert run(sys.executable, "-c", code, cwd=ROOT).strip() == "None"


@pytest.mark.oracle
def test_transformers_does_not_take_our_folder_for_the_package() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: make oracle")
    code = (
        "import sys; sys.path.insert(0, '')\n"
        "from importlib.metadata import PackageNotFoundError, version\n"
        "from transformers.utils.import_utils import _is_package_available as available\n"
        "try: expected = (True, version('kernels'))\n"
        "except PackageNotFoundError: expected = (False, 'N/A')\n"
        "print(available('kernels', return_version=True) == expected)"
    )
    assert run(sys.executable, "-c", code, cwd=ROOT).strip().endswith("True")
