"""Holds what mypy says of user_script.py against the comments in it: `python -m tests.typing.check`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "user_script.py"


def differences(script: Path) -> list[str]:
    """What mypy --strict says of `script` that no comment expects, and what a comment expects and mypy does not say."""
    from mypy import api

    said, complaint, _ = api.run(["--strict", "--no-error-summary", "--hide-error-context", str(script)])
    errors: dict[int, list[str]] = {}
    wrong = [complaint.strip()] if complaint.strip() else []
    for line in said.splitlines():
        found = re.fullmatch(r"(.+?):(\d+): error: (.*)", line)
        if found is not None and Path(found[1]).resolve() == script.resolve():  # minibert itself is checked elsewhere
            errors.setdefault(int(found[2]), []).append(found[3])
    for number, text in enumerate(script.read_text(encoding="utf-8").splitlines(), 1):
        expected = text.partition("  # error: ")[2]
        got = errors.get(number, [])
        if bool(expected) != bool(got) or any(expected not in one for one in got):
            wrong.append(f"line {number}: expected {expected or 'no error'!r}, got {got}")
    return wrong


if __name__ == "__main__":
    found = differences(SCRIPT)
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
