"""Every notebook runs from top to bottom, without torch; what is stored in it is fit to be read by others."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from minibert.kernels.cuda.emulator import why_not

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 600_000  # pictures included: more is slow to open and heavy in every clone
SECONDS_A_CELL = 120

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

# Put behind the last cell: a student without torch must get as far as this.
LAST_CELL = "import sys\nassert 'torch' not in sys.modules, 'something imported torch'"


def test_there_are_notebooks() -> None:
    assert {"01_quickstart", "02_pretraining", "03_attention_kernels"} <= {path.stem for path in NOTEBOOKS}


# ---- running


class OwnInterpreter(AsyncKernelManager):
    """Starts kernels of the interpreter that runs the tests, whatever kernels this machine has installed.

    With no folder to look for kernels in, jupyter_client is left with "python3", which is then `sys.executable`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), **options)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[Path]]:
    """`run(notebook)` executes it in an empty folder, with nobody's start-up files; gives what it leaves there."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for variable in ("IPYTHONDIR", "MPLCONFIGDIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # pictures go into the notebook
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # small matrices: on a busy machine a pool only waits for itself
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # a debugger's remark on frozen modules

    def execute(notebook: Any) -> list[Path]:
        NotebookClient(
            notebook,
            kernel_name="python3",
            kernel_manager_class=OwnInterpreter,
            timeout=SECONDS_A_CELL,
            resources={"metadata": {"path": str(folder)}},
        ).execute()
        return list(folder.iterdir())

    return execute


@each_notebook
@pytest.mark.xdist_group("notebooks")  # one at a time: each has a kernel with threads of its own
def test_runs_from_top_to_bottom(
    path: Path, run: Callable[[Any], list[Path]], published: Callable[[str], Path]
) -> None:
    notebook, stored = read(path), read(path)
    for name in sorted(fetched(notebook)):
        published(name)  # no network: skipped here, with the reason
    if emulates(notebook) and why_not():
        pytest.skip(str(why_not()))  # no compiler: the same
    notebook.cells.append(nbformat.v4.new_code_cell(LAST_CELL))
    try:
        left_behind = run(notebook)
    except CellExecutionError as error:  # its text is the cell's source and the traceback
        pytest.fail(f"{path.name}: {without_colours(str(error))}", pytrace=False)
    assert [pictures(cell) for cell in notebook.cells[:-1]] == [pictures(cell) for cell in stored.cells]
    assert left_behind == []


@pytest.mark.xdist_group("notebooks")
def test_a_failing_cell_is_told_with_its_source_and_error(run: Callable[[Any], list[Path]]) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("a = 0\n1 / a")])
    with pytest.raises(CellExecutionError) as caught:
        run(notebook)
    assert "1 / a" in str(caught.value)
    assert "ZeroDivisionError" in str(caught.value)


@pytest.mark.xdist_group("notebooks")
def test_without_a_compiler_the_kernels_say_so_first(
    run: Callable[[Any], list[Path]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    notebook = read(ROOT / "notebooks" / "03_attention_kernels.ipynb")
    with pytest.raises(CellExecutionError, match=r"g\+\+, which is not installed\. Install g\+\+ 12 or newer"):
        run(notebook)
    assert [output.output_type for output in code_cells(notebook)[0].outputs] == ["error"]


# ---- what is stored


@each_notebook
def test_is_a_valid_notebook_for_any_python_3(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert path.stat().st_size <= MOST_BYTES, f"{path.name} has {path.stat().st_size:,} bytes"


@each_notebook
def test_stored_outputs_are_those_of_one_run_without_errors(path: Path) -> None:
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "restart, and run all cells"
    for cell in cells:
        if "raises-exception" in cell.metadata.get("tags", []):
            continue
        shown = "\n".join(texts(cell))
        assert "Traceback (most recent call last)" not in shown, cell.source
        assert not [output for output in cell.outputs if output.output_type == "error"], cell.source
        assert not [output for output in cell.outputs if output.get("name") == "stderr"], cell.source


@each_notebook
def test_nothing_tells_on_the_machine_that_ran_it(path: Path) -> None:
    places = [str(ROOT), str(Path.home()), os.sep + "tmp"]
    absolute = re.compile(r"(?<![\w.:/<])/(home|root|tmp|usr|opt|var|work|mnt|Users|private)/|\b[A-Z]:\\")
    for cell in read(path).cells:
        for text in (cell.source, *texts(cell)):
            assert not absolute.search(text), f"an absolute path in: {text}"
            assert not [place for place in places if len(place) > 4 and place in text], text
            assert socket.gethostname() not in text or len(socket.gethostname()) < 5, text


# ---- help


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell: Any) -> Iterator[str]:
    """What a cell printed, showed and complained of."""
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield "\n".join(output.get("traceback", []))
        yield from (value for kind, value in output.get("data", {}).items() if kind.startswith("text/"))


def pictures(cell: Any) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def fetched(notebook: Any) -> set[str]:
    """Names of the published checkpoints that a notebook asks for."""
    return {name for cell in code_cells(notebook) for name in re.findall(r"\bfetch\(\"([\w-]+)\"\)", cell.source)}


def emulates(notebook: Any) -> bool:
    """Whether a notebook runs CUDA kernels, for which it needs a C++ compiler."""
    return any("kernels.cuda.emulator" in cell.source for cell in code_cells(notebook))


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
