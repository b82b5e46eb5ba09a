"""No public entry that takes texts is slow by accident: time grows with the size of what is given, not its square."""

from __future__ import annotations

import pytest

from tests.doubling import BOUND, CASES, growth


@pytest.mark.parametrize("name", CASES)
def test_time_grows_with_the_size(name: str) -> None:
    n, small, large, ratio = growth(name, repeats=1)
    assert ratio <= BOUND, f"{small:.4f} s at {n}, {large:.4f} s at {4 * n}"


def test_a_quadratic_task_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CASES, "quadratic", (300, lambda n: lambda: [0 for _ in range(n) for _ in range(n)]))
    assert growth("quadratic", repeats=1)[3] > BOUND
