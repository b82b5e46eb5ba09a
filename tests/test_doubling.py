"""No public entry that takes texts is slow by accident: time grows with the size of what is given, not its square."""

from __future__ import annotations

import pytest

from tests.doubling import BOUND, CASES, growth


@pytest.mark.parametrize("name", CASES)
def test_time_grows_with_the_size(name: str) -> None:
    n, small, large, ratio = growth(name, repeats=1)
    assert ratio <= BOUND, f"{small:.4f} s at {n}, {large:.4f} s at {4 * n}"
