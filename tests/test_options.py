"""Names that do not exist: which one may be meant."""

from __future__ import annotations

import pytest

from minibert.options import did_you_mean, nearest, unknown_option


@pytest.mark.parametrize(
    ("name", "near"),
    [("fill_mask", "fill-mask"), ("FillMask", "fill-mask"), ("Top_K", "top_k"), ("tok", "top_k"), ("banana", None)],
)
def test_the_nearest_name(name: str, near: str | None) -> None:
    assert nearest(name, ["fill-mask", "top_k"]) == near


def test_messages() -> None:
    assert did_you_mean("meen", ["max", "mean"]) == "; did you mean mean?"
    assert did_you_mean("meen", ["mean"], quoted=True) == "; did you mean 'mean'?"
    assert did_you_mean("meen", ["mean"], cutoff=0.9) == ""
    assert unknown_option("f", "x", {"b", "a"}) == "f has no option 'x'; it takes a, b"
