"""What is compared before anything is timed."""

from __future__ import annotations

import numpy as np
import pytest

from minibert.bench.agreement import TOLERANCES, Disagreement, difference
from minibert.bench.inputs import gradient_summary
from minibert.bench.workloads import WORKLOADS


def test_rounding_passes_and_is_told() -> None:
    a = {"x": np.ones(3), "loss": np.float32(2.0)}
    assert difference(a, {"x": np.ones(3) + 1e-6, "loss": np.float32(2.0)}, 1e-4) == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ({"x": np.array([1.0, 1.2])}, "x differs by 2.0e-01, and 1e-04 is allowed"),
        ({"x": np.ones(3)}, r"x has shape \(2,\) here and \(3,\) there"),
        ({"y": np.ones(2)}, "only one side gives 'x'"),
        ({"x": np.array([1.0, np.nan])}, "x holds an infinity or NaN"),
    ],
)
def test_refused(theirs: dict[str, np.ndarray], told: str) -> None:
    with pytest.raises(Disagreement, match=told):
        difference({"x": np.ones(2)}, theirs, 1e-4)


def test_every_kind_has_a_tolerance_with_a_reason() -> None:
    for workload in WORKLOADS:
        tolerance, reason = TOLERANCES[workload.kind]
        assert 0 < tolerance < 1e-3
        assert reason


def test_gradients_are_compared_by_norm_and_numbers() -> None:
    rng = np.random.default_rng(0)
    named = {"a": rng.standard_normal((5, 7)), "b": rng.standard_normal(3)}
    summary = gradient_summary(named.items())
    assert {row.shape for row in summary.values()} == {(9,)}
    assert sum(row[0] ** 2 for row in summary.values()) == pytest.approx(1.0)
    negated = gradient_summary([("a", -named["a"]), ("b", named["b"])])  # the same norms
    with pytest.raises(Disagreement, match="gradient of a"):
        difference(summary, negated, 1e-4)
