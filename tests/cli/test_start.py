"""What a command loads: a few texts are answered without Numba, which would take longer than the answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from minibert.cli import main
assert main(sys.argv[2:]) == 0
assert ("numba" in sys.modules) == (sys.argv[1] == "loaded"), sorted(m for m in sys.modules if "numba" in m)[:3]
"""


@pytest.mark.parametrize(("repeats", "numba"), [(1, "not loaded"), (200, "loaded")])
def test_numba_only_for_much_text(repeats: int, numba: str, tiny_checkpoints: dict[str, Path]) -> None:
    command = [sys.executable, "-c", CODE, numba, "features", "--model", str(tiny_checkpoints["encoder"])]
    subprocess.run([*command, *["the cat sat on the mat"] * repeats], check=True, capture_output=True, timeout=120)
