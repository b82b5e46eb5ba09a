"""`import minibert` is cheap: it brings NumPy at most, and nothing heavy comes before it is used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Prints what the import brought (top-level names outside the standard library) and how long it took. The
# difference before/after leaves out what site brings in (hooks of editable installs, coverage).
IMPORT = """
import json, sys, time
before = set(sys.modules)
start = time.perf_counter()
import minibert
seconds = time.perf_counter() - start
{more}
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps([sorted(new - set(sys.stdlib_module_names)), seconds]))
"""

TOUCH_EVERYTHING = """
for name in minibert.__all__:
    getattr(minibert, name)
"""


def run(more: str = "") -> tuple[set[str], float]:
    code = IMPORT.format(more=more)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names, seconds = json.loads(done.stdout)
    return set(names), seconds


def test_import_brings_numpy_at_most() -> None:
    runs = [run() for _ in range(3)]
    names, allowed = runs[0][0], {"minibert", "numpy"}
    # The time is a figure, not an assertion: a busy machine must not fail the suite.
    # `make import-time` prints it too.
    print(f"import minibert: {min(seconds for _, seconds in runs):.3f} s (best of {len(runs)})")
    assert names <= allowed, f"import minibert also imports {sorted(names - allowed)}"


def test_public_names_bring_nothing_heavy() -> None:
    names, _ = run(TOUCH_EVERYTHING)
    heavy = {
        "torch",
        "transformers",
        "tokenizers",
        "cupy",
        "numba",
        "huggingface_hub",
        "safetensors",
        "matplotlib",
    }
    assert not names & heavy, f"looking up minibert's public names imports {sorted(names & heavy)}"


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import minibert.gradcheck",
        "from minibert import GradcheckError",
        "from minibert.gradcheck import gradcheck",
    ],
)
def test_gradcheck_can_be_called_whatever_was_imported_before(before: str) -> None:
    """The module and the function in it have one name."""
    code = f"""
{before}
from minibert import Tensor, gradcheck
assert gradcheck(lambda x: x * x, Tensor([1.0, 2.0], dtype="float64", requires_grad=True))
import minibert.gradcheck as module
assert module.gradcheck is not None and module.GradcheckError is not None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


FIRST_USE = """
import sys, threading, minibert
failed, barrier = [], threading.Barrier(4)
def use(first):
    barrier.wait()
    try:
        first()
        x = minibert.Tensor([1.0, 2.0], requires_grad=True)
        (x * 2.0 + 1.0).sum().backward()
        assert x.grad.tolist() == [2.0, 2.0]
        minibert.Tensor([x, x]).mean()
    except BaseException as error:
        failed.append(repr(error))
firsts = [lambda: None, lambda: __import__("minibert.ops"), lambda: minibert.BertModel, lambda: minibert.Op]
threads = [threading.Thread(target=use, args=(first,)) for first in firsts]
sys.setswitchinterval(1e-5)
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit("; ".join(failed) or 0)
"""


def test_threads_may_use_the_library_for_the_first_time_at_once() -> None:
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
